"""
`entitlements doctor`: check a server that is to hold meters.

Begin with `command.py`. `queries` asks the server, `facts` holds what it answered, `findings` (of a store),
`node_findings` (of one server) and `round_trips` judge the facts and ask nothing.
"""
