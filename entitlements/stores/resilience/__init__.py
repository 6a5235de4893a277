"""
Retry, replay and fallback while a store is slow or gone.

Begin with `store.py`: a store around a store. `policy` drives one order past a store that may fail, for threads
and, by `attempts`, for event loops: `circuit_breaker` says when to stop calling it, `fallback` decides without it,
`local_limits` decides rates in this process, `replay_journal` and its `replay_queue` hold what it must count later,
`replay` and `replay_timer` bring that to it, and `outage_log` writes the log lines.
"""
