"""
`entitlements review -o FILE`: the reviews of a base of any size, in a file.

Begin with `run.py`. `chunks.py` reads the accounts in chunks, `worker.py` reviews a chunk in a process
of its own, and `parts.py` keeps what is finished, so that a run can be resumed.
"""
