"""
HTTP: pure-ASGI middlewares that identify accounts, gate routes and charge limits, and dependencies for FastAPI.

Begin with `asgi.py` (`EntitlementsMiddleware`). `account_middleware` finds the account of a request with an
`identify` callable, `route_middleware` applies the rules of `routes`, `request_charge` charges and refunds.
`problems` renders refusals, `headers` encodes `RateLimit` headers, `lifespan` opens and closes the store.
`fastapi/` holds dependencies for single endpoints.
"""
