"""
Retry, replay and fallback while a store is slow or gone.

Begin with `store.py`: a store around a store. `policy` drives one order past a store that may fail:
`circuit_breaker` says when to stop calling it, `replay_journal` holds what it must count later, `fallback`
decides without it, `local_limits` decides rates in this process, and `outage_log` writes the log lines.
"""
