"""
HTTP: pure-ASGI middlewares that identify accounts, gate routes and charge limits, and dependencies for FastAPI.

Begin with `admission.py`: the decision about a request, in code that knows no framework. `request_charge` carries it
out on an event loop and `asgi.py` serves it (`EntitlementsMiddleware`); `sync_admission` and `async_admission` do so
for frameworks with requests of their own, in `entitlements.integrations`. `account_middleware` finds the account of a
request with an `identify` callable, `route_middleware` applies the rules of `routes`, `problems` renders refusals,
`rate_limit_headers` encodes headers, `lifespan` opens and closes the store. `fastapi/` holds dependencies for single
endpoints; `endpoint_rules` decides them, and the decorators of other frameworks.
"""
