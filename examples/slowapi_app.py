"""
slowapi with the sliding window of this library: `register()` and two settings.

    .venv/bin/python examples/slowapi_app.py
    curl -i localhost:8000/reports -H 'X-Account: acme'        the fourth time within a minute: 429

RATELIMIT_STORAGE names the storage, for example entitlements+redis://localhost:6379, which several
processes can share.
"""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI, Request, Response
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded

from entitlements.integrations.limits import register


def account_of(request: Request) -> str:
    return request.headers.get("x-account", "anonymous")


register()

limiter = Limiter(
    key_func=account_of,
    storage_uri=os.environ.get("RATELIMIT_STORAGE", "entitlements+memory://"),
    strategy="entitlements-sliding",  # or "entitlements-token-bucket"
    headers_enabled=True,
    in_memory_fallback_enabled=True,  # the same algorithm in this process while the server cannot be reached
)

app = FastAPI()
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)


@app.get("/reports")
@limiter.limit("3/minute")
def reports(request: Request, response: Response) -> dict[str, list[str]]:  # `request` and `response` are for slowapi
    return {"reports": ["spring", "summer"]}


@app.get("/exports")
@limiter.limit("100/hour", cost=lambda request: int(request.query_params.get("rows", "1")))
def exports(request: Request, response: Response) -> dict[str, str]:
    return {"rows": request.query_params.get("rows", "1")}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
