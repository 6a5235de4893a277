"""
YAML files as one tree; every key and value has its file and line.

Begin with `files.py`. `reader` parses one text, `scalars` types plain scalars, `tree` defines the nodes,
`merge` joins several files, `mappings` reads a Python mapping instead of files.
"""
