"""
Reserved requests: what a route consumes is an estimate, and the response settles it.

The units are reserved before the application runs. Then an endpoint commits what it used
(`request.state.reservation.commit(…)`), or the route's `settles` computes it from the status and the headers of the
response. Without either the estimate stands. A request that failed cancels.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from entitlements.http.types import awaited
from entitlements.model.callables import described_result
from entitlements.model.decision_fields import receipt_of
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.questions import ChargeCall
    from entitlements.http.routes import Route
    from entitlements.http.types import Message, Scope, Send
    from entitlements.model.decision import Decision
    from entitlements.reservations import AsyncReservation, Reservation

_log = logging.getLogger("entitlements.http")


class RequestReservation:
    """
    The reservation of one request.

    Args:
        enforcer: The enforcer of the middleware.
        route: The rule of the request.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, route: Route) -> None:
        self._enforcer, self._route = enforcer, route
        self._held: AsyncReservation | Reservation | None = None
        self._status = 0
        self._headers: dict[str, str] = {}

    async def reserve(self, call: ChargeCall) -> Decision:
        """Reserve the units of the request, and return the decision."""
        account, what, n, scope, key = call
        held: Any = self._enforcer.reserve(account, what, n, ttl=self._route.ttl, key=key, scope=scope)
        self._held = await awaited(held)
        decision: Decision | None = self._held.decision
        assert decision is not None
        return decision

    def attach(self, scope: Scope) -> None:
        """Keep the reservation in the scope, as `request.state.reservation`."""
        scope["state"] = {**(scope.get("state") or {}), "reservation": self._held}

    def recorded(self, send: Send) -> Send:
        """Return a `send` that notes the status and the headers of the application's response."""

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                headers = [*message.get("headers", ())]
                message = {**message, "headers": headers}
                self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
            await send(message)

        return record

    async def settle(self, *, failed: bool) -> None:
        """Cancel what a failed request reserved, else commit what it used; an error is logged, the response stays."""
        held = self._held
        try:
            with suppress(asyncio.CancelledError):  # it goes on without this task
                if failed:
                    await awaited(held.cancel())  # type: ignore[union-attr]
                else:
                    await awaited(held.commit(self._used()))  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001 - any error of the store; the reservation lapses
            decision = held and held.decision
            account = decision.account if decision else ""
            trace = redacted_traceback(error, account)
            _log.error("settling of %s failed\n%s", self._route, trace, extra={"route": str(self._route)})

    def _used(self) -> Mapping[str, int] | None:
        """Return the units that the request used; None for the estimate, also where `settles` fails."""
        settles = self._route.settles
        if not callable(settles) or not self._status:
            return None
        decision = self._held.decision if self._held else None
        assert decision is not None
        try:
            used = settles(self._status, self._headers)
        except Exception as error:  # noqa: BLE001 - a callable of the rule
            text = redacted_traceback(error, decision.account)
            _log.error(
                "%s: settles failed, and the estimate counts\n%s", self._route, text, extra={"route": str(self._route)}
            )
            return None
        if used is None:
            return None
        if not isinstance(used, Mapping) or not used.keys() <= self._route.consumes.keys():
            limits = ", ".join(self._route.consumes)
            what = described_result(settles, used)
            _log.error(
                "%s: %s; return units by limit, of %s. The estimate counts",
                self._route,
                what,
                limits,
                extra={"route": str(self._route)},
            )
            return None
        return {name: receipt_of(part).cost for name, part in decision.parts.items()} | dict(used)
