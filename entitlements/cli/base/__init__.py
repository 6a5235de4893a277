"""
`entitlements base`: reports on a base of accounts as a whole.

Begin with `commands.py`; `loading.py` reads the accounts and tells of their faults.
"""
