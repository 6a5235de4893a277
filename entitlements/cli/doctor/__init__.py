"""
`entitlements doctor`: checks of a Redis server that is to hold meters.

Begin with `command.py`. `queries` reads `facts` from the servers. `findings` checks the store,
`server_checks` each server, `round_trips` the latency; these three are pure.
"""
