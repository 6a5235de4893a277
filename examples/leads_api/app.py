"""
A small lead-management API: its plans, quotas and rate limits are a policy file, its routes a list.

    make demo-api                                          # on the memory store
    ENTITLEMENTS_STORE=redis://127.0.0.1 make demo-api     # on a Redis, with four workers
"""

from __future__ import annotations

import csv
import os
import sys
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Annotated

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import uvicorn  # noqa: E402
from database import Database  # noqa: E402
from fastapi import Depends, FastAPI, HTTPException, Request  # noqa: E402
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse  # noqa: E402
from jinja2 import Environment, FileSystemLoader  # noqa: E402
from plan import plan_of  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402
from starlette.datastructures import Headers  # noqa: E402

from entitlements import AsyncEnforcer, CsvAccounts, Policy, ReservationExpired  # noqa: E402
from entitlements.http.asgi import EntitlementsMiddleware  # noqa: E402
from entitlements.http.fastapi import (  # noqa: E402
    CurrentAccount,
    CurrentEntitlements,
    consume,
    install,
    require,
    responses,
)
from entitlements.http.identify import api_key  # noqa: E402
from entitlements.http.problems import Problems  # noqa: E402
from entitlements.http.routes import Route  # noqa: E402

ROOT = HERE.parents[1]
LARGEST_FILE = 1_000_000  # bytes
INVITED_FOR = 7 * 24 * 3600  # seconds until an invitation that nobody accepts gives its seat back

policy = Policy.load(ROOT / "policies" / "customer-tiers")
customers = CsvAccounts(ROOT / "examples" / "accounts.csv", policy=policy)
with (HERE / "keys.csv").open(encoding="utf-8") as file:
    keys = {row["key"]: row["account"] for row in csv.DictReader(file)}

enforcer = AsyncEnforcer(policy, accounts=customers, store=os.environ.get("ENTITLEMENTS_STORE") or "memory://")
database = Database(os.environ.get("LEADS_DATABASE"))
pages = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True)

by_header = api_key(keys)


def identify(scope):
    """Return the account of an API key: from its header, or in a browser from the cookie that /signin sets."""
    cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get("key")
    return by_header(scope) or (keys.get(cookie.value) if cookie else None)


ROUTES = [
    *(Route(path, exempt=True) for path in ("/", "/healthz", "/signin", "/docs", "/openapi.json")),
    Route("/plan"),  # an account is all it takes: whoever has no API access sees the plan too
    Route("/v1/leads", methods={"POST"}, requires={"lead-management"}, consumes={"api": 1, "leads": 1}),
]

app = FastAPI(title="Leads", version="1", redoc_url=None)
install(app, problems=Problems(upgrade_url="/plan"))
app.add_middleware(
    EntitlementsMiddleware,
    enforcer=enforcer,
    identify=identify,
    routes=ROUTES,
    default=Route(consumes={"api": 1}),
    upgrade_url="/plan",
)

REFUSALS = responses(401, 403, 429, 503)


class NewLead(BaseModel):
    """A person who may become a customer."""

    name: str = Field(min_length=1, max_length=200)
    email: str = Field(min_length=3, max_length=200, pattern="@")


class Lead(NewLead):
    """A lead as it is kept."""

    id: int


@app.get("/", include_in_schema=False)
async def start() -> RedirectResponse:
    """Lead to the documentation."""
    return RedirectResponse("/docs")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process is up; nobody is asked who they are."""
    return {"status": "up"}


# -- leads: the middleware charges the API rate and the monthly quota in one go ------------


@app.post("/v1/leads", status_code=201, responses=REFUSALS)
async def create_lead(lead: NewLead, account: CurrentAccount) -> Lead:
    """Keep a lead; it counts against the month."""
    ((id,),) = database.run(
        "INSERT INTO leads (account, name, email) VALUES (?, ?, ?) RETURNING id", account.id, lead.name, lead.email
    )
    return Lead(id=id, **lead.model_dump())


@app.get("/v1/leads", responses=REFUSALS)
async def list_leads(account: CurrentAccount) -> list[Lead]:
    """Return the account's leads, newest first, 100 at most."""
    rows = database.run("SELECT id, name, email FROM leads WHERE account = ? ORDER BY id DESC LIMIT 100", account.id)
    return [Lead(id=id, name=name, email=email) for id, name, email in rows]


@app.post("/v1/imports", status_code=201, responses=REFUSALS)
async def import_leads(
    leads: Annotated[list[NewLead], Field(min_length=1, max_length=500)], account: CurrentAccount
) -> dict[str, int]:
    """Keep many leads or none: how many there are is known only here, so the endpoint charges."""
    (await account.consume("leads", len(leads))).raise_for_denied()
    rows = [(account.id, lead.name, lead.email) for lead in leads]
    database.run_all("INSERT INTO leads (account, name, email) VALUES (?, ?, ?)", rows)
    return {"created": len(leads)}


# -- agents: a seat is held while an invitation is open, and taken when it is accepted -----


class Invitation(BaseModel):
    """A seat that is held for somebody."""

    id: str
    expires_at: str


@app.post("/v1/invitations", status_code=201, responses=REFUSALS)
async def invite(account: CurrentAccount) -> Invitation:
    """Hold a seat for an agent."""
    reservation = await account.reserve("agents", ttl=INVITED_FOR)
    reservation.decision.raise_for_denied()
    return Invitation(id=reservation.id, expires_at=reservation.expires_at.isoformat())


@app.post("/v1/invitations/{id}/acceptance", status_code=204, responses=REFUSALS | {404: {}})
async def accept(id: str, account: CurrentAccount) -> None:
    """Take the seat that was held, from whichever worker."""
    try:
        await account.reservation(id).commit()
    except (ReservationExpired, ValueError):
        raise HTTPException(404, "there is no such invitation, or it has lapsed") from None


@app.delete("/v1/invitations/{id}", status_code=204, responses=REFUSALS | {404: {}})
async def withdraw(id: str, account: CurrentAccount) -> None:
    """Give the seat back; again, or after it lapsed, changes nothing."""
    try:
        await account.reservation(id).cancel()
    except ValueError:
        raise HTTPException(404, "there is no such invitation") from None


# -- files: storage is an allocation in bytes ----------------------------------------------


@app.put("/v1/files/{name}", status_code=201, responses=REFUSALS | {413: {}})
async def upload(name: str, request: Request, account: CurrentAccount) -> dict[str, int]:
    """Store a file; its bytes are taken before they are kept."""
    body = await request.body()
    if len(body) > LARGEST_FILE:
        raise HTTPException(413, f"a file has at most {LARGEST_FILE:,} bytes")
    before = database.run("SELECT size FROM files WHERE account = ? AND name = ?", account.id, name)
    more = len(body) - (before[0][0] if before else 0)
    if more > 0:
        (await account.consume("storage", more)).raise_for_denied()
    elif more < 0:
        await account.release("storage", -more)
    database.run("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", account.id, name, len(body))
    return {"size": len(body)}


@app.delete("/v1/files/{name}", status_code=204, responses=REFUSALS | {404: {}})
async def delete_file(name: str, account: CurrentAccount) -> None:
    """Drop a file, and free its bytes."""
    gone = database.run("DELETE FROM files WHERE account = ? AND name = ? RETURNING size", account.id, name)
    if not gone:
        raise HTTPException(404, "there is no such file")
    if gone[0][0]:
        await account.release("storage", gone[0][0])


# -- gates: a level, a switch, and a charge of one endpoint --------------------------------


@app.get("/v1/reports/funnel", dependencies=[Depends(require("analytics:standard"))], responses=REFUSALS)
async def funnel(account: CurrentAccount, mine: CurrentEntitlements) -> dict[str, object]:
    """Count the leads; advanced analytics say where they come from as well."""
    ((leads,),) = database.run("SELECT count(*) FROM leads WHERE account = ?", account.id)
    report: dict[str, object] = {"leads": leads}
    if mine.can("analytics:advanced"):
        rows = database.run(
            "SELECT substr(email, instr(email, '@') + 1), count(*) FROM leads WHERE account = ? GROUP BY 1", account.id
        )
        report["by_domain"] = dict(rows)
    return report


@app.post("/v1/reports", status_code=201, dependencies=[Depends(consume("custom-reports"))], responses=REFUSALS)
async def save_report() -> dict[str, str]:
    """Save a report of one's own; it takes one of those that the plan has, and gives it back if this fails."""
    return {"saved": "yes"}


class Sso(BaseModel):
    """Where single sign-on leads to."""

    issuer: str = Field(max_length=500, pattern="^https://")


@app.put("/v1/settings/sso", dependencies=[Depends(require("sso"))], responses=REFUSALS)
async def set_sso(sso: Sso, account: CurrentAccount) -> Sso:
    """Keep the settings of single sign-on."""
    database.run("INSERT OR REPLACE INTO sso VALUES (?, ?)", account.id, sso.issuer)
    return sso


# -- pages ---------------------------------------------------------------------------------


@app.get("/signin", include_in_schema=False)
async def sign_in(key: str = "") -> RedirectResponse:
    """Remember a key in this browser, and show its plan."""
    answer = RedirectResponse("/plan", 303)
    if key in keys:
        answer.set_cookie("key", key, httponly=True, samesite="lax")
    return answer


@app.get("/plan", response_class=HTMLResponse, responses=responses(401))
async def plan(account: CurrentAccount, mine: CurrentEntitlements) -> HTMLResponse:
    """Show the account's plan, its meters, and what the next tier adds."""
    found = plan_of(customers.find(account.id), mine, await account.usage())
    return HTMLResponse(pages.get_template("plan.html").render(found), headers={"cache-control": "no-store"})


@app.get("/v1/usage", responses=REFUSALS)
async def usage(account: CurrentAccount) -> JSONResponse:
    """Return every meter."""
    return JSONResponse({name: each.to_dict() for name, each in (await account.usage()).items()})


def main() -> None:
    """Serve: one worker on the memory store, several on a shared one."""
    shared = bool(os.environ.get("ENTITLEMENTS_STORE"))
    port = int(os.environ.get("PORT", "8000"))
    if shared:
        os.environ.setdefault("LEADS_DATABASE", database._path)
    print(f"Leads on http://127.0.0.1:{port}, counting in {enforcer.via}.", flush=True)
    print(f"  http://127.0.0.1:{port}/signin?key=demo-bluefinch      a plan page; also {', '.join(list(keys)[:2])} …")
    print(f"  curl -i -H 'x-api-key: demo-bluefinch' http://127.0.0.1:{port}/v1/leads", flush=True)
    workers = int(os.environ.get("WEB_CONCURRENCY", "4")) if shared else 1
    uvicorn.run("app:app", app_dir=str(HERE), port=port, workers=workers, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
