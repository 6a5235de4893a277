"""Routes under /v1; each shows one way to count or to gate."""

from __future__ import annotations

from typing import Annotated

from answers import BODY, answers
from database import Database
from fastapi import APIRouter, Depends, HTTPException, Path, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, Field

from entitlements import ReservationExpired
from entitlements.http.fastapi import CurrentAccount, CurrentEntitlements, consume, require

INVITED_FOR = 7 * 24 * 3600  # seconds until an invitation expires and gives its seat back
BYTES = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}

key_header = APIKeyHeader(name="x-api-key", scheme_name="API key", auto_error=False)  # the middleware looks it up
api = APIRouter(prefix="/v1", dependencies=[Security(key_header)])


def database(request: Request) -> Database:
    """Return the application's database."""
    return request.app.state.database


Kept = Annotated[Database, Depends(database)]
FileName = Annotated[str, Path(max_length=200)]


class NewLead(BaseModel):
    """A person who may become a customer."""

    name: str = Field(min_length=1, max_length=200)
    email: str = Field(min_length=3, max_length=200, pattern="@")


class Lead(NewLead):
    """A stored lead."""

    id: int


# -- leads: the middleware charges the API rate and the monthly quota together --------------


@api.post("/leads", status_code=201, responses=answers(201, *BODY))
async def create_lead(lead: NewLead, account: CurrentAccount, kept: Kept) -> Lead:
    """Store a lead; it counts against the monthly quota."""
    ((id,),) = kept.run(
        "INSERT INTO leads (account, name, email) VALUES (?, ?, ?) RETURNING id", account.id, lead.name, lead.email
    )
    return Lead(id=id, **lead.model_dump())


@api.get("/leads", responses=answers(200))
async def list_leads(account: CurrentAccount, kept: Kept) -> list[Lead]:
    """Return the account's leads, newest first, 100 at most."""
    rows = kept.run("SELECT id, name, email FROM leads WHERE account = ? ORDER BY id DESC LIMIT 100", account.id)
    return [Lead(id=id, name=name, email=email) for id, name, email in rows]


@api.post("/imports", status_code=201, responses=answers(201, *BODY))
async def import_leads(
    leads: Annotated[list[NewLead], Field(min_length=1, max_length=500)], account: CurrentAccount, kept: Kept
) -> dict[str, int]:
    """Store all leads or none. Only the endpoint knows their number, so it charges by itself."""
    charge = (await account.consume("leads", len(leads))).raise_for_denied()
    rows = [(account.id, lead.name, lead.email) for lead in leads]
    try:
        kept.run_all("INSERT INTO leads (account, name, email) VALUES (?, ?, ?)", rows)
    except Exception:
        await account.refund(charge)
        raise
    return {"created": len(leads)}


# -- agents: a seat is held while an invitation is open, and taken when it is accepted -----


class Invitation(BaseModel):
    """A seat that is reserved for a future agent."""

    id: str
    expires_at: str


@api.post("/invitations", status_code=201, responses=answers(201))
async def invite(account: CurrentAccount, kept: Kept) -> Invitation:
    """Reserve a seat for an agent."""
    reservation = await account.reserve("agents", ttl=INVITED_FOR)
    reservation.decision.raise_for_denied()
    try:
        kept.run("INSERT INTO invitations VALUES (?, ?, FALSE)", account.id, reservation.id)
    except Exception:
        await reservation.cancel()
        raise
    return Invitation(id=reservation.id, expires_at=reservation.expires_at.isoformat())


def invited(id: str, account: CurrentAccount, kept: Kept) -> str:
    """Return the id of an invitation of this account; an unknown or withdrawn one is a 404."""
    if not kept.run("SELECT 1 FROM invitations WHERE account = ? AND id = ?", account.id, id):
        raise HTTPException(404, "there is no such invitation")
    return id


Invited = Annotated[str, Depends(invited)]


@api.post("/invitations/{id}/acceptance", status_code=204, responses=answers(204, 404, 410, 422))
async def accept(id: Invited, account: CurrentAccount, kept: Kept) -> None:
    """Take the reserved seat, on any worker. A repeat changes nothing; an expired invitation is a 410."""
    try:
        await account.reservation(id).commit()
    except ReservationExpired:
        raise HTTPException(410, "the invitation has expired") from None
    kept.run("UPDATE invitations SET accepted = TRUE WHERE account = ? AND id = ?", account.id, id)


@api.delete("/invitations/{id}", status_code=204, responses=answers(204, 404, 409, 422))
async def withdraw(id: Invited, account: CurrentAccount, kept: Kept) -> None:
    """Give the seat back and delete the invitation, unless it was accepted."""
    if kept.run("SELECT 1 FROM invitations WHERE account = ? AND id = ? AND accepted", account.id, id):
        raise HTTPException(409, "the invitation has been accepted")
    await account.reservation(id).cancel()
    kept.run("DELETE FROM invitations WHERE account = ? AND id = ?", account.id, id)


# -- files: storage is an allocation in bytes ----------------------------------------------


@api.put("/files/{name}", status_code=201, responses=answers(201, *BODY), openapi_extra=BYTES)
async def upload(name: FileName, request: Request, account: CurrentAccount, kept: Kept) -> dict[str, int]:
    """
    Store a file; its bytes are charged before they are written.

    Only the difference to the stored size is charged. If another request has changed the
    size meanwhile, the charge is refunded and the loop tries again.
    """
    size = len(await request.body())
    await free(account, kept)
    while True:
        before = kept.size_of(account.id, name)
        more = size - (before or 0)
        charge = (await account.consume("storage", more)).raise_for_denied() if more > 0 else None
        is_written = False
        try:
            is_written = kept.resize(account.id, name, before, size)
        finally:
            if charge and not is_written:
                await account.refund(charge)
        if is_written:
            break
    await free(account, kept)
    return {"size": size}


@api.delete("/files/{name}", status_code=204, responses=answers(204, 404, 422))
async def delete_file(name: FileName, account: CurrentAccount, kept: Kept) -> None:
    """Delete a file and release its bytes."""
    is_found = kept.drop(account.id, name)
    await free(account, kept)
    if not is_found:
        raise HTTPException(404, "there is no such file")


async def free(account: CurrentAccount, kept: Kept) -> None:
    """
    Release the bytes of deleted and shortened files of the account.

    They stay recorded while the store is away: the next request about any file of the
    account releases them.
    """
    while owed := kept.take_owed(account.id):
        name, size = owed
        try:
            await account.release("storage", size)
        except BaseException:
            kept.owe(account.id, name, size)
            raise


# -- gates: a level, a switch, and a charge of one endpoint --------------------------------


@api.get("/reports/funnel", dependencies=[Depends(require("analytics:standard"))], responses=answers(200))
async def funnel(account: CurrentAccount, mine: CurrentEntitlements, kept: Kept) -> dict[str, object]:
    """Count the leads; with advanced analytics also by domain."""
    ((leads,),) = kept.run("SELECT count(*) FROM leads WHERE account = ?", account.id)
    report: dict[str, object] = {"leads": leads}
    if mine.can("analytics:advanced"):
        rows = kept.run(
            "SELECT substr(email, instr(email, '@') + 1), count(*) FROM leads WHERE account = ? GROUP BY 1", account.id
        )
        report["by_domain"] = dict(rows)
    return report


@api.post("/reports", status_code=201, dependencies=[Depends(consume("custom-reports"))], responses=answers(201))
async def save_report() -> dict[str, str]:
    """Save a custom report; it is charged, and refunded if this fails."""
    return {"saved": "yes"}


class Sso(BaseModel):
    """Settings of single sign-on."""

    issuer: str = Field(max_length=500, pattern="^https://")


@api.put("/settings/sso", dependencies=[Depends(require("sso"))], responses=answers(200, *BODY))
async def set_sso(sso: Sso, account: CurrentAccount, kept: Kept) -> Sso:
    """Store the settings of single sign-on."""
    kept.run("INSERT OR REPLACE INTO sso VALUES (?, ?)", account.id, sso.issuer)
    return sso


@api.get("/usage", responses=answers(200))
async def usage(account: CurrentAccount) -> JSONResponse:
    """Return every meter."""
    return JSONResponse({name: each.to_dict() for name, each in (await account.usage()).items()})
