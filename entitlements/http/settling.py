"""
Reserved requests: what a route consumes is an estimate, and the response settles it.

The units are reserved before the application runs. Then an endpoint commits what it used
(`request.state.reservation.commit(…)`), or the route's `settles` computes it from the status and the headers of the
response. Without either the estimate stands. A request that failed cancels. The methods named `_sync` do on threads
what the others do on event loops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
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
        self.held: AsyncReservation | Reservation | None = None
        """The reservation, for the endpoint; None before it is made."""
        self._status = 0
        self._headers: dict[str, str] = {}

    async def reserve(self, call: ChargeCall) -> Decision:
        """Reserve the units of the request, and return the decision."""
        return self._opened(await awaited(self._reservation(call)))

    def reserve_sync(self, call: ChargeCall) -> Decision:
        """Reserve the units of the request on a thread, and return the decision."""
        return self._opened(self._reservation(call))

    def _reservation(self, call: ChargeCall) -> Any:
        account, what, n, scope, key = call
        return self._enforcer.reserve(account, what, n, ttl=self._route.ttl, key=key, scope=scope)

    def _opened(self, held: AsyncReservation | Reservation) -> Decision:
        self.held = held
        assert held.decision is not None
        return held.decision

    def attach(self, scope: Scope) -> None:
        """Keep the reservation in the scope, as `request.state.reservation`."""
        scope["state"] = {**(scope.get("state") or {}), "reservation": self.held}

    def respond(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Note the status and the headers of the application's response."""
        self._status, self._headers = status, {name.lower(): value for name, value in headers}

    def recorded(self, send: Send) -> Send:
        """Return a `send` that notes the status and the headers of the application's response."""

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                message = {**message, "headers": headers}
                self.respond(
                    message["status"], ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
                )
            await send(message)

        return record

    async def settle(self, *, failed: bool) -> None:
        """Cancel what a failed request reserved, else commit what it used; an error is logged, the response stays."""
        try:
            with suppress(asyncio.CancelledError):  # it goes on without this task
                await awaited(self._ended(failed=failed))
        except Exception as error:  # noqa: BLE001 - any error of the store; the reservation lapses
            self._log_error(error)

    def settle_sync(self, *, failed: bool) -> None:
        """Do on a thread what `settle` does."""
        try:
            self._ended(failed=failed)
        except Exception as error:  # noqa: BLE001 - as above
            self._log_error(error)

    def _ended(self, *, failed: bool) -> Any:
        held: Any = self.held
        return held.cancel() if failed else held.commit(self._used())

    def _log_error(self, error: Exception) -> None:
        decision = self.held and self.held.decision
        trace = redacted_traceback(error, decision.account if decision else "")
        _log.error("settling of %s failed\n%s", self._route, trace, extra={"route": str(self._route)})

    def _used(self) -> Mapping[str, int] | None:
        """Return the units that the request used; None for the estimate, also where `settles` fails."""
        settles = self._route.settles
        if not callable(settles) or not self._status:
            return None
        decision = self.held.decision if self.held else None
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
