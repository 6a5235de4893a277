"""
`entitlements ledger`: usage from the ledger, and counters compared with it and rebuilt from it.

Begin with `commands.py`. `counters.py` has `rebuild`, `drift` and `writers`, `entries.py` what is read and closed
by month, and `context.py` opens the ledger.
"""
