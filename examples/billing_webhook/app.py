"""
Webhooks of a billing provider: each event is applied once, and every worker decides by the new plan when it is answered.

    BILLING_SECRET=whsec_… ACCOUNTS=postgresql+asyncpg://app@db/shop ENTITLEMENTS_STORE=redis://cache \
        uvicorn --app-dir examples/billing_webhook --workers 2 app:app
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from events import Ignored, Refused, account_after, event_of  # noqa: E402
from fastapi import FastAPI, Request  # noqa: E402
from fastapi.responses import JSONResponse  # noqa: E402
from signatures import SignatureError, check_signature  # noqa: E402

from entitlements import AccountError, AsyncEnforcer, EntitlementsError, Policy  # noqa: E402
from entitlements.accounts.sql import AsyncSqlAccounts  # noqa: E402
from entitlements.http.asgi import EntitlementsMiddleware  # noqa: E402
from entitlements.http.eager import checked  # noqa: E402
from entitlements.http.fastapi import CurrentAccount  # noqa: E402
from entitlements.http.routes import Route  # noqa: E402

LARGEST_EVENT = 256_000  # bytes
ANSWER_WITHIN = 5.0  # seconds; a provider gives up soon after, and sends the event again
SECRET = os.environ["BILLING_SECRET"].encode()

policy = Policy.load(os.environ.get("POLICY", HERE.parents[1] / "policies" / "customer-tiers"))
accounts = AsyncSqlAccounts(os.environ["ACCOUNTS"], timeout=float(os.environ.get("ACCOUNTS_TIMEOUT", "2")))
enforcer = AsyncEnforcer(policy, accounts=accounts, store=os.environ["ENTITLEMENTS_STORE"])


@asynccontextmanager
async def lifespan(_app: FastAPI):
    """Create the tables and connect before the first request; close both at the end."""
    await accounts.create_tables()
    async with enforcer:
        await enforcer.open()
        yield
    await accounts.close_engine()


app = FastAPI(title="Billing", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)


def identify(scope):
    """Return the account of a request: here its own word for it, in production that of a session or a key."""
    return dict(scope["headers"]).get(b"x-account", b"").decode("latin-1") or None


app.add_middleware(
    checked(
        EntitlementsMiddleware,
        enforcer=enforcer,
        identify=identify,
        routes=[Route(path, exempt=True) for path in ("/webhooks/billing", "/healthz", "/admin/accounts")],
        default=Route(),
    )
)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Report that the process is up."""
    return {"status": "up"}


@app.post("/leads")
async def leads(account: CurrentAccount) -> dict[str, object]:
    """Store a lead, and tell by which plan it was decided, in which worker."""
    decision = (await account.consume("leads")).raise_for_denied()
    return {"tier": decision.tier, "worker": os.getpid()}


@app.get("/admin/accounts")
async def overview() -> list[dict[str, object]]:
    """List all accounts with what they use, in a few statements and round trips; in production behind a sign-in."""
    found = [account async for account in accounts]
    usage = await enforcer.usage_of(found)
    return [
        {"account": each.id, "tier": each.tier, "usage": {name: one.used for name, one in usage[each.id].items()}}
        for each in found
    ]


@app.post("/webhooks/billing")
async def billing(request: Request) -> JSONResponse:
    """Apply an event of the billing provider."""
    if int(request.headers.get("content-length") or LARGEST_EVENT + 1) > LARGEST_EVENT:
        return answer(413, "refused", f"an event has a content-length of {LARGEST_EVENT} at most")
    body = await request.body()
    try:
        check_signature(SECRET, request.headers.get("billing-signature", ""), body)
        event = event_of(json.loads(body))
    except SignatureError as error:
        return answer(401, "refused", str(error))
    except Ignored as error:
        return answer(200, "ignored", str(error))
    except (Refused, ValueError) as error:
        return answer(422 if isinstance(error, Refused) else 400, "refused", str(error))
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            outcome = await accounts.apply(
                event.id, event.account, lambda account: account_after(event, account), at=event.at,
                reason=event.type, author="billing", enforcer=enforcer,
            )  # fmt: skip
    except AccountError as error:  # a tier that the policy does not have, an account that no policy can read
        return answer(422, "refused", str(error))
    except (EntitlementsError, TimeoutError) as error:  # database or store: the provider sends it again
        return answer(503, "unavailable", str(error) or "no answer in time", {"retry-after": "5"})
    return answer(200, str(outcome), event.type)


def answer(status: int, outcome: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an answer that the provider's log shows."""
    return JSONResponse({"outcome": outcome, "detail": detail}, status, headers)
