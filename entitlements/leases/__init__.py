"""
Leases: units that this process has taken in advance, for both enforcers.

`rules/leases.py` has the law. `book.py` keeps what is held and says what to take and to return, without I/O.
`threads.py` and `loops.py` are two shells around it.
"""
