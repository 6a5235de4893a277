"""
What happens while a store is slow or gone.

Begin with `store.py`: a store around a store. `policy` decides retry, replay and fallback for one order,
`circuit_breaker` when to stop calling, `replay_journal` and `owing` hold what is to be replayed,
`local_limits` decides rates in process, `outage_log` writes the log lines.
"""
