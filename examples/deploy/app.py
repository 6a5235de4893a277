"""
The program of this folder: a limited route, and one that says whether the process is ready.

    ENTITLEMENTS_STORE=redis://localhost:6379 gunicorn --config gunicorn.conf.py app:app
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Response

from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.eager import checked
from entitlements.http.fastapi import install
from entitlements.http.identify import api_key
from entitlements.http.routes import Route

HERE = Path(__file__).resolve().parent

enforcer = AsyncEnforcer(
    Policy.load(HERE / "policy.yaml"),
    accounts={"acme": "free", "globex": "pro"},
    store=os.environ.get("ENTITLEMENTS_STORE", "memory://"),
)
ready = False


@asynccontextmanager
async def lifespan(_app: FastAPI):
    """Be ready between the start of the application and its end."""
    global ready  # noqa: PLW0603 - one process, one state
    ready = True
    yield
    ready = False


app = FastAPI(lifespan=lifespan)
install(app)
app.add_middleware(
    checked(
        EntitlementsMiddleware,
        enforcer=enforcer,
        identify=api_key({"demo": "acme", "other": "globex"}),
        routes=[
            Route("/healthz", exempt=True),
            Route("/readyz", exempt=True),
            Route("/leads", consumes={"api": 1, "leads": 1}),
        ],
    )
)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Report that the process runs."""
    return {"status": "up"}


@app.get("/readyz")
async def readyz(response: Response) -> dict[str, object]:
    """Report whether requests may come; a store that is away is shown, and is no reason to send none."""
    decision = await enforcer.peek("globex", "leads")
    response.status_code = 200 if ready else 503
    return {"ready": ready, "counts": "by itself" if decision.degraded else "in the store", "worker": os.getpid()}


@app.get("/leads")
async def leads() -> dict[str, object]:
    """Return a lead, and the worker that answered."""
    return {"leads": ["a lead"], "worker": os.getpid()}
