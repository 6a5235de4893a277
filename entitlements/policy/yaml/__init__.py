"""
YAML files to one tree in which every key and value knows its file and line.

Begin with `files.py`. `reader` parses one text, `scalars` types plain scalars, `tree` is what comes out,
`merge` joins several files, `mappings` takes a Python mapping instead of files.
"""
