"""
A small lead-management API: plans, quotas and rate limits are a policy, the rules of its routes a list.

    make demo-api                                          # on the memory store
    ENTITLEMENTS_STORE=redis://127.0.0.1 make demo-api     # on a Redis, with four workers
"""

from __future__ import annotations

import csv
import os
import socket
import sys
import threading
import time
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import answers  # noqa: E402
import uvicorn  # noqa: E402
from answers import LargestBody  # noqa: E402
from api import api, key_header  # noqa: E402
from database import Database  # noqa: E402
from fastapi import FastAPI, Security  # noqa: E402
from fastapi.responses import HTMLResponse, RedirectResponse, Response  # noqa: E402
from fastapi.security import APIKeyCookie  # noqa: E402
from jinja2 import Environment, FileSystemLoader  # noqa: E402
from plan import plan_of  # noqa: E402
from starlette.datastructures import Headers  # noqa: E402

from entitlements import AsyncEnforcer, CsvAccounts, Policy  # noqa: E402
from entitlements.http.asgi import EntitlementsMiddleware  # noqa: E402
from entitlements.http.eager import checked  # noqa: E402
from entitlements.http.fastapi import CurrentAccount, CurrentEntitlements, install, responses  # noqa: E402
from entitlements.http.identify import api_key  # noqa: E402
from entitlements.http.routes import Route  # noqa: E402

ROOT = HERE.parents[1]
LARGEST_BODY = 1_000_000  # bytes
STORE = os.environ.get("ENTITLEMENTS_STORE") or "memory://"
WORKERS = 1 if STORE == "memory://" else int(os.environ.get("WEB_CONCURRENCY", "4"))

policy = Policy.load(ROOT / "policies" / "customer-tiers")
customers = CsvAccounts(ROOT / "examples" / "accounts.csv", policy=policy)
with (HERE / "keys.csv").open(encoding="utf-8") as file:
    keys = {row["key"]: row["account"] for row in csv.DictReader(file)}

enforcer = AsyncEnforcer(policy, accounts=customers, store=STORE, expected_processes=WORKERS)
database = Database(os.environ.get("LEADS_DATABASE"))
pages = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True)

by_header = api_key(keys)


def identify(scope):
    """Return the account of an API key: from the header, else from the cookie that /signin sets."""
    return by_header(scope) if "x-api-key" in Headers(scope=scope) else by_cookie(scope)


def by_cookie(scope):
    try:
        cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get("key")
    except CookieError:
        return None
    return keys.get(cookie.value) if cookie else None


ROUTES = [
    *(Route(path, exempt=True) for path in ("/", "/healthz", "/signin", "/docs", "/openapi.json")),
    Route("/plan"),  # any account: those without API access see their plan too
    Route("/v1/leads", methods={"POST"}, requires={"lead-management"}, consumes={"api": 1, "leads": 1}),
]

app = FastAPI(title="Leads", version="1", redoc_url=None)
app.state.database = database
app.include_router(api)
answers.install(app)
install(app)
app.add_middleware(LargestBody, most=LARGEST_BODY)
app.add_middleware(
    checked(  # raises a wrong option here, not at the first request
        EntitlementsMiddleware,
        enforcer=enforcer,
        identify=identify,
        routes=ROUTES,
        default=Route(consumes={"api": 1}),
        # An invalid body costs no lead: 400, 413 and 422 give it back, as failures do.
        refund_on={*answers.BODY, *range(500, 600)},
        upgrade_url="/plan",
    )
)


@app.get("/", include_in_schema=False)
async def start() -> RedirectResponse:
    """Redirect to the documentation."""
    return RedirectResponse("/docs")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Report that the process is up, without identification."""
    return {"status": "up"}


# -- pages ---------------------------------------------------------------------------------


@app.get("/signin", include_in_schema=False)
async def sign_in(key: str = "") -> Response:
    """Store a key in a cookie and show its plan; ask for a key if it is unknown."""
    if key not in keys:
        found = {"wrong": bool(key), "example": next(iter(keys))}
        return HTMLResponse(pages.get_template("signin.html").render(found), 401 if key else 200)
    answer = RedirectResponse("/plan", 303)
    answer.set_cookie("key", key, httponly=True, samesite="lax")
    return answer


KEY = [Security(key_header), Security(APIKeyCookie(name="key", scheme_name="cookie", auto_error=False))]


@app.get("/plan", response_class=HTMLResponse, dependencies=KEY, responses=responses(401, 403, 503))
async def plan(account: CurrentAccount, mine: CurrentEntitlements) -> HTMLResponse:
    """Show the account's plan, its meters, and what the next tier adds."""
    found = plan_of(customers.find(account.id), mine, await account.usage())
    return HTMLResponse(pages.get_template("plan.html").render(found), headers={"cache-control": "no-store"})


def greet(port: int) -> None:
    """Print where to look, once the server accepts connections."""
    while not is_served(port):
        time.sleep(0.05)
    url = f"http://127.0.0.1:{port}"
    print(f"Leads on {url}, counting in {enforcer.via}.")
    print(f"  {url}/signin?key=demo-bluefinch      a plan page; also {', '.join(list(keys)[:2])} …")
    print(f"  curl -i -H 'x-api-key: demo-bluefinch' {url}/v1/leads", flush=True)


def is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Serve with one worker on the memory store, with several on a shared one."""
    port = int(os.environ.get("PORT", "8000"))
    if WORKERS > 1:
        os.environ.setdefault("LEADS_DATABASE", database._path)
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        sys.exit(f"127.0.0.1:{port}: {os.strerror(error.errno)}; name another port, as by PORT=8001 make demo-api")
    threading.Thread(target=greet, args=[port], daemon=True).start()
    uvicorn.run("app:app", app_dir=str(HERE), port=port, workers=WORKERS, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
