"""
Emulator: the verbs of an enforcer over HTTP, for tests of applications in other languages.

`entitlements serve` runs it. It counts in its own memory; a test sets accounts, moves the clock and lets the store
fail. It is made for tests, and has no authentication.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.clock import system_clock
from entitlements.errors import KeyReused, ReservationExpired, StoreError, UnknownAccount, UnknownFeature
from entitlements.http.types import Receive, Scope, Send, path_of
from entitlements.integrations.emulated_accounts import (
    FIELDS,
    AccountSource,
    EmulatedAccounts,
    read_account,
    read_instant,
)
from entitlements.integrations.json_app import UnreadableRequest, handle_other, read_object, send_json
from entitlements.integrations.ofrep import OfrepApp
from entitlements.model.decision import Decision
from entitlements.model.display import in_json
from entitlements.model.instants import MICROSECOND, to_datetime, to_instant
from entitlements.model.names import nearest
from entitlements.model.policy import PolicyData
from entitlements.testing.faulty_store import Fault, FaultyStore

__all__ = ["Emulator"]

MAX_KEPT = 10_000
"""Decisions that can be refunded; older ones are dropped."""
STATUSES = {UnknownFeature: 404, UnknownAccount: 404, KeyReused: 409, ReservationExpired: 410, StoreError: 503}
"""Status of a response, by the error that it reports; 400 for any other."""

Arguments = dict[str, Any]
Handler = Callable[[Arguments], Awaitable[object]]


class EmulatedClock:
    """
    The system's clock until a test moves it; frozen if it was set.

    Args:
        now: Microseconds at which it is frozen; None to let it run.
    """

    is_fake = True

    def __init__(self, now: int | None = None) -> None:
        self._frozen, self._offset = now, 0

    def __call__(self) -> int:
        """Return the present instant."""
        return self._offset + (system_clock() if self._frozen is None else self._frozen)

    def set(self, now: int) -> None:
        """Freeze the clock at an instant."""
        self._frozen, self._offset = now, 0

    def advance(self, by: int) -> None:
        """Move the clock by microseconds."""
        self._offset += by


class Emulator:
    """
    ASGI application: `POST /v1/{verb}` with the arguments of the verb as a JSON object, and the endpoint of OFREP.

    Args:
        policy: The policy.
        accounts: Where accounts come from; None for those alone that a test sets.
        now: Microseconds at which the clock is frozen; None to let it run.
    """

    def __init__(self, policy: PolicyData, accounts: AccountSource | None = None, *, now: int | None = None) -> None:
        self._clock, self._fault, self._accounts = EmulatedClock(now), Fault(), EmulatedAccounts(accounts)
        store = FaultyStore(self._clock, self._fault).guarded_async()
        self._enforcer = AsyncEnforcer(policy, accounts=self._accounts, store=store, clock=self._clock)
        self._ofrep = OfrepApp(self._enforcer)
        self._decisions: OrderedDict[str, Decision] = OrderedDict()
        self.verbs: dict[str, Handler] = {
            "can": lambda given: self._plain("can", "allowed", given, "feature"),
            "decide": lambda given: self._decided("decide", given, "feature"),
            "value": lambda given: self._plain("value", "value", given, "key"),
            "consume": lambda given: self._decided("consume", given, "what", "n", "key", "scope"),
            "peek": lambda given: self._decided("peek", given, "what", "n", "scope"),
            "refund": self._refund,
            "reserve": self._reserve,
            "commit": self._commit,
            "cancel": self._cancel,
            "assign": lambda given: self._decided("assign", given, "limit", "holder", "scope"),
            "unassign": lambda given: self._plain("unassign", "released", given, "limit", "holder", "scope"),
            "release": lambda given: self._plain("release", "released", given, "limit", "amount", "scope"),
            "holders": lambda given: self._plain("holders", "holders", given, "limit", "scope"),
            "set_usage": lambda given: self._plain("set_usage", "usage", given, "limit", "total", "scope"),
            "reset": lambda given: self._plain("reset", "reset", given, "limit", "scope"),
            "usage": lambda given: self._plain("usage", "usage", given, "scope"),
            "history": lambda given: self._plain("history", "periods", given, "limit", "scope"),
            "forget": lambda given: self._plain("forget", "forgotten", given, "scope"),
            "account": self._set_account,
            "clock": self._set_clock,
            "fault": self._set_fault,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = path_of(scope) if scope["type"] == "http" else ""
        if path.startswith("/ofrep/"):
            await self._ofrep(scope, receive, send)
        elif not await handle_other(scope, receive, send):
            status, body = await self._answer(scope["method"], path, receive)
            await send_json(send, status, body)

    async def _answer(self, method: str, path: str, receive: Receive) -> tuple[int, object]:
        if path == "/" and method == "GET":
            return 200, {"policy": self._enforcer.policy.version, "verbs": sorted(self.verbs)}
        verb = path.removeprefix("/v1/")
        handler = self.verbs.get(verb)
        if handler is None:
            return _problem(404, "NotFound", f"there is no {path}{nearest(verb, self.verbs)}")
        if method != "POST":
            return _problem(405, "MethodNotAllowed", f"{method} {path}: send a POST")
        try:
            return 200, await handler(await read_object(receive))
        except UnreadableRequest as error:
            return _problem(error.status, "BadRequest", str(error))
        except KeyError as error:
            return _problem(400, "BadRequest", f"{verb} needs {error}")
        except Exception as error:  # noqa: BLE001 - a test reads every error in its response
            status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 400)
            return _problem(status, type(error).__name__, str(error))

    # -- verbs ---------------------------------------------------------------------------

    async def _call(self, verb: str, given: Arguments, *names: str) -> Any:
        """Call a verb with those of its arguments that are given."""
        _check_names(given, "account", *names)
        arguments = {name: given[name] for name in names if name in given}
        return await getattr(self._enforcer, verb)(given["account"], **arguments)

    async def _plain(self, verb: str, key: str, given: Arguments, *names: str) -> object:
        found = await self._call(verb, given, *names)
        return {key: True if found is None and verb in ("reset", "forget") else in_json(found)}

    async def _decided(self, verb: str, given: Arguments, *names: str) -> object:
        decision = await self._call(verb, given, *names)
        return {"id": self._keep(decision), **decision.to_dict()}

    def _keep(self, decision: Decision) -> str:
        id = uuid4().hex
        self._decisions[id] = decision
        if len(self._decisions) > MAX_KEPT:
            self._decisions.popitem(last=False)
        return id

    async def _refund(self, given: Arguments) -> object:
        _check_names(given, "id", "rates")
        decision = self._decisions.get(given["id"])
        if decision is None:
            raise UnreadableRequest(f"no decision has the id {given['id']!r}; it is part of each decision", 404)
        return {"refunded": await self._enforcer.refund(decision, rates=given.get("rates", False))}

    async def _reserve(self, given: Arguments) -> object:
        _check_names(given, "account", "what", "n", "ttl", "key", "scope")
        arguments = {name: given[name] for name in ("n", "ttl", "key", "scope") if name in given}
        reservation = await self._enforcer.reserve(given["account"], given["what"], **arguments)
        decision = reservation.decision
        assert decision is not None, "it was just made"
        expires = in_json(reservation.expires_at) if reservation else None
        return {"reservation": reservation.id, "expires_at": expires, "decision": decision.to_dict()}

    async def _commit(self, given: Arguments) -> object:
        _check_names(given, "account", "reservation", "n")
        await self._enforcer.reservation(given["account"], given["reservation"]).commit(given.get("n"))
        return {"committed": True}

    async def _cancel(self, given: Arguments) -> object:
        _check_names(given, "account", "reservation")
        await self._enforcer.reservation(given["account"], given["reservation"]).cancel()
        return {"cancelled": True}

    # -- what a test arranges ------------------------------------------------------------

    async def _set_account(self, given: Arguments) -> object:
        _check_names(given, *FIELDS)
        if "id" not in given or "tier" not in given:
            raise UnreadableRequest("account needs 'id' and 'tier'")
        account = read_account(self._enforcer.policy, given)
        self._accounts.set[account.id] = account
        await self._enforcer.invalidate(account.id)
        return {"id": account.id, "tier": account.tier}

    async def _set_clock(self, given: Arguments) -> object:
        _check_names(given, "set", "advance")
        if "set" in given:
            self._clock.set(to_instant(read_instant("set", given["set"])))
        if "advance" in given:
            self._clock.advance(timedelta(seconds=given["advance"]) // MICROSECOND)
        return {"now": in_json(to_datetime(self._clock()))}

    async def _set_fault(self, given: Arguments) -> object:
        _check_names(given, "store")
        toggles = {
            "up": self._fault.up,
            "down": self._fault.down,
            "silent": self._fault.silent,
            "lossy": self._fault.lossy,
        }
        toggle = toggles.get(given["store"])
        if toggle is None:
            raise UnreadableRequest(f"store {given['store']!r} is none of {', '.join(toggles)}")
        toggle()
        return {"store": self._fault.mode}


def _check_names(given: Mapping[str, object], *names: str) -> None:
    unknown = [name for name in given if name not in names]
    if unknown:
        raise UnreadableRequest(
            f"{unknown[0]!r} is none of the arguments {', '.join(names)}{nearest(unknown[0], names)}"
        )


def _problem(status: int, error: str, message: str) -> tuple[int, object]:
    return status, {"error": error, "message": message}
