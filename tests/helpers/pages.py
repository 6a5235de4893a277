"""The pages of the application that every framework serves: their answers, and what they say that they used."""

from __future__ import annotations

from entitlements.http.current import current_account
from entitlements.http.types import awaited


def leads_used(status, headers):
    """Return the leads that a response says it used, besides the one request."""
    return {"leads": int(headers["x-leads"])} if "x-leads" in headers else None


def is_stream(path):
    return "stream" in path


def own_headers(path):
    """Return the headers of a page that says what it used: `/settled/header-5`, `/settled/stream-header-5`."""
    _, says, n = path.partition("header-")
    return {"X-Leads": n} if says else {}


def commits(path):
    """Return the leads that a page commits itself: `/settled/commit-2`, `/settled/stream-commit-2`."""
    _, does, n = path.partition("commit-")
    return int(n) if does else None


def commit(reservation, path):
    if commits(path) is not None:
        reservation.commit({"leads": commits(path)})


async def commit_async(reservation, path):
    if commits(path) is not None:
        await awaited(reservation.commit({"leads": commits(path)}))  # of an `Enforcer` it is no coroutine


def chunks(path, reservation=None):
    yield f"one {current_account().id} ".encode()
    if path.endswith("broken"):
        raise RuntimeError("broken")
    commit(reservation, path)
    yield b"two"


async def chunks_async(path, reservation=None):
    yield f"one {current_account().id} ".encode()
    if path.endswith("broken"):
        raise RuntimeError("broken")
    await commit_async(reservation, path)
    yield b"two"


def page(path):
    """Return the status and the body of a page; raise if it is the one that is broken."""
    head, _, tail = path.strip("/").removeprefix("settled/").partition("/")
    if head == "broken":
        raise RuntimeError("broken")
    if head == "denied":
        current_account().decide("sso").raise_for_denied()
    if head == "who":
        return 200, f"{current_account().id} {current_account().can('sso')}"
    return (int(tail) if head == "fail" else 200), "hello"
