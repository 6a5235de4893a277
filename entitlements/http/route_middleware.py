"""Route middleware: requires features of an account and charges limits, by route."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from entitlements.http.account_lookup import check_enforcer
from entitlements.http.account_middleware import SERVED_TYPES
from entitlements.http.account_scope import HANDLE_KEY, handle_of
from entitlements.http.admission import Admission
from entitlements.http.current import serving
from entitlements.http.eager import fails_at_start
from entitlements.http.problems import Problems, Refusal, check_switch
from entitlements.http.questions import run_async
from entitlements.http.rate_limit_headers import HeaderStyle
from entitlements.http.refusals import check_on_denied, refuse
from entitlements.http.request_charge import RequestCharger
from entitlements.http.response import with_headers
from entitlements.http.root_path import check_prefix, takes_empty_parameters
from entitlements.http.routes import Route, RouteTable, route_of
from entitlements.http.settling import RequestReservation
from entitlements.http.startup_checks import startup_checked_send
from entitlements.model.decision_fields import fields_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.admission import RequestVerdict
    from entitlements.http.current import Handle
    from entitlements.http.refusals import OnDenied
    from entitlements.http.request_charge import ChargedResponse
    from entitlements.http.types import App, Receive, Scope, Send
    from entitlements.model.decision import Decision


class RoutesMiddleware:
    """
    Gates and meters requests by route, for the account that an `AccountMiddleware` found.

    Args:
        app: The application.
        enforcer: The enforcer of the `AccountMiddleware`.
        routes: Rules in order of precedence: the first match counts.
        default: The rule for a request that no other rule matches; by default it only needs an account.
        refund_on: Statuses that refund quotas and allocations.
        refund_rates: Refund units of rates too.
        headers: Style of the rate limit headers.
        problems: Renders refusals.
        on_denied: Returns the ASGI app that answers a refusal, or None for the problem document.
        normalise: Refuse a path (400) of which another spelling falls under a different rule.
        idempotency_key: Charge a `POST` or `PATCH` once for each `Idempotency-Key` header. Only for applications that
            answer a repeat from what they kept, as it passes for free.

    Raises:
        ValueError: If a rule can never match, or names something that the policy does not define.
    """

    @fails_at_start
    def __init__(
        self,
        app: App,
        *,
        enforcer: AsyncEnforcer | Enforcer,
        routes: Iterable[Route] | RouteTable = (),
        default: Route | None = None,
        refund_on: Collection[int] = range(500, 600),
        refund_rates: bool = False,
        headers: HeaderStyle | str = HeaderStyle.DRAFT_11,
        problems: Problems | None = None,
        on_denied: OnDenied | None = None,
        normalise: bool = True,
        idempotency_key: bool = False,
    ) -> None:
        check_switch("normalise", normalise)
        self.app = app
        self._enforcer = check_enforcer(enforcer)
        self._table = (
            routes
            if isinstance(routes, RouteTable)
            else RouteTable(routes, default, normalise=normalise, empty=takes_empty_parameters(app))
        )
        self._table.check(enforcer.policy)
        check_prefix(app, self._table)
        self._problems = problems or Problems()
        self._on_denied = check_on_denied(on_denied)
        self._admission = Admission(
            app,
            enforcer,
            refund_on=refund_on,
            refund_rates=refund_rates,
            style=HeaderStyle(headers),
            problems=self._problems,
            reads_keys=idempotency_key,
        )
        self._charger = RequestCharger(enforcer, self._admission)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in SERVED_TYPES:
            await self.app(scope, receive, startup_checked_send(self.app, scope, send, self._table))
            return
        route = route_of(self._table, scope)
        if route is None:
            await self._refuse_path(scope, receive, send)
            return
        if route.exempt:
            with serving(handle_of(scope)):
                await self.app(scope, receive, send)
            return
        outer = scope.get(HANDLE_KEY)
        if outer is None or outer[0] is not self._enforcer:
            with serving(handle_of(scope)):
                await self._refuse(scope, receive, send, self._problems.account_required())
            return
        await self._serve(scope, receive, send, route, outer[1])

    async def _serve(self, scope: Scope, receive: Receive, send: Send, route: Route, account: Handle) -> None:
        """Serve a request of *account* that matches *route*."""
        if route.settles:
            await self._serve_reserved(scope, receive, send, route, account)
            return
        await self._serve_decided(
            scope, receive, send, route, account, await self._charger.decide(account, route, scope)
        )

    async def _serve_reserved(self, scope: Scope, receive: Receive, send: Send, route: Route, account: Handle) -> None:
        """Serve a request whose units are reserved, and settle them by its response."""
        reserved = RequestReservation(self._enforcer, route)
        decision, refusal = await run_async(self._admission.decide(account, route, scope), reserved.reserve)
        if refusal is not None:
            await self._refuse(scope, receive, send, refusal, decision)
            return
        if decision is None or fields_of(decision)[2].limit is None:
            await self.app(scope, receive, send)
            return
        reserved.attach(scope)
        response = self._charger.response(receive, send, decision)
        try:
            await self.app(scope, response.receive, reserved.recorded(response.send))
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            await reserved.settle(failed=self._admission.should_refund(response, error, cancelled=cancelled))
            raise
        await reserved.settle(failed=self._admission.should_refund(response))

    async def _serve_decided(
        self, scope: Scope, receive: Receive, send: Send, route: Route, account: Handle, verdict: RequestVerdict
    ) -> None:
        """Serve a request that was decided."""
        charger, (decision, refusal) = self._charger, verdict
        if refusal is not None:
            await self._refuse(scope, receive, send, refusal, decision)
            return
        if route.messages and scope["type"] == "websocket":
            receive, send = charger.metered_messages(account, route, scope, receive, send)
        if decision is None:
            await self.app(scope, receive, send)
            return
        _, _, facts, receipt, _, _ = fields_of(decision)
        if facts.limit is None:
            await self.app(scope, receive, send)
            return
        if not self._admission.is_refundable(receipt):
            await self.app(scope, receive, with_headers(send, self._admission.headers(decision)))
            return
        await self._serve_charged(scope, charger.response(receive, send, decision))

    async def _serve_charged(self, scope: Scope, response: ChargedResponse) -> None:
        """Serve a request that was charged, and refund the charge if it fails."""
        try:
            await self.app(scope, response.receive, response.send)
        except BaseException as error:
            if self._admission.should_refund(response, error, cancelled=isinstance(error, asyncio.CancelledError)):
                with suppress(asyncio.CancelledError):  # of a cancel scope: the application's own error stands
                    await self._charger.refund(response.decide())
            raise
        if response.has_failed:
            await self._charger.refund(response.decide())

    async def _refuse_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request of which another spelling of the path falls under another rule."""
        with serving(handle_of(scope)):
            await self._refuse(scope, receive, send, self._admission.ambiguous_path())

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, refusal: Refusal, decision: Decision | None = None
    ) -> None:
        headers = [] if decision is None else self._admission.headers(decision)
        await refuse(scope, receive, send, refusal, headers=headers, on_denied=self._on_denied)
