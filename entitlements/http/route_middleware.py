"""What the route needs: features that the account must have, units that a request takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.account_lookup import HANDLE, check_enforcer
from entitlements.http.account_middleware import SERVED
from entitlements.http.headers import HeaderStyle
from entitlements.http.problems import Problems, Refusal
from entitlements.http.refusals import check_on_denied, refuse
from entitlements.http.request_charge import Charging
from entitlements.http.response import adding
from entitlements.http.root_path import check_prefix, checking
from entitlements.http.routes import Route, RouteTable, route_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.refusals import OnDenied
    from entitlements.http.types import App, Receive, Scope, Send
    from entitlements.model.decision import Decision
    from entitlements.model.facts import Reason


class RoutesMiddleware:
    """
    Gates, limits and meters by route, for the account that an `AccountMiddleware` found.

    Args:
        app: The application.
        enforcer: The same that found the account.
        routes: Rules in order; the first that matches counts.
        default: What counts where none does: by default, an account is all it takes.
        refund_on: Statuses for which quotas and allocations come back.
        refund_rates: Whether units of rates come back with them.
        headers: How responses say what is left.
        problems: How refusals read.
        on_denied: What may answer a refusal instead.

    Raises:
        ValueError: For rules that cannot match, or that name what the policy does not know.
    """

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
    ) -> None:
        self.app = app
        self._enforcer = check_enforcer(enforcer)
        self._table = routes if isinstance(routes, RouteTable) else RouteTable(routes, default)
        self._table.check(enforcer.policy)
        check_prefix(app, self._table)
        self._problems = problems or Problems()
        self._on_denied = check_on_denied(on_denied)
        self.charging = Charging(
            app,
            enforcer,
            refund_on=refund_on,
            refund_rates=refund_rates,
            style=HeaderStyle(headers),
            problems=self._problems,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in SERVED:
            await self.app(scope, receive, checking(scope, send, self._table))
            return
        route = route_of(self._table, scope)
        if route.exempt:
            await self.app(scope, receive, send)
            return
        outer = scope.get(HANDLE)
        if outer is None or outer[0] is not self._enforcer:
            await self._refuse(scope, receive, send, self._problems.account_required())
            return
        await self.serve(scope, receive, send, route, outer[1])

    async def serve(self, scope: Scope, receive: Receive, send: Send, route: Route, account: Handle) -> None:
        """Serve a request of *account* that falls under *route*."""
        charging, decision, standing = self.charging, None, None
        try:
            for name in route.requires:
                decision = account.decide(name)
                if not decision.allowed:
                    break
            else:
                if route.consumes:
                    decision = await charging.take(account, route, scope)
                if decision is None:
                    standing = account.entitlements().standing
        except Exception as error:  # noqa: BLE001 - a store's, a directory's or a rule's error: nobody passes uncounted
            await self.fail(scope, receive, send, route, account, error)
            return
        await self.go_on(scope, receive, send, route, account, decision=decision, standing=standing)

    async def go_on(
        self, scope: Scope, receive: Receive, send: Send, route: Route, account: Handle, *,
        decision: Decision | None, standing: Reason | None = None,
    ) -> None:  # fmt: skip
        """Serve a request of which this was decided; where nothing was asked, the account's standing says whether."""
        charging = self.charging
        refused = standing if decision is None or decision.given[0] else decision
        if refused is not None:
            try:
                refusal = charging.refused(refused, route, scope)
            except Exception as error:  # noqa: BLE001 - as above
                refusal = charging.undecided(error, route, account)
            await self._refuse(scope, receive, send, refusal, decision)
            return
        if route.messages and scope["type"] == "websocket":
            receive, send = charging.metered(account, route, scope, receive, send)
        if decision is None:
            await self.app(scope, receive, send)
            return
        _, _, facts, receipt, _, _ = decision.given
        if facts.limit is None:
            await self.app(scope, receive, send)
            return
        if not charging.may_give_back(receipt):
            await self.app(scope, receive, adding(send, charging.headers(decision)))
            return
        response = charging.response(receive, send, decision)
        try:
            await self.app(scope, response.receive, response.send)
        except BaseException as error:
            await charging.settle(response, decision, error)
            raise
        if charging.is_void(response):
            await charging.settle(response, decision)

    async def fail(
        self, scope: Scope, receive: Receive, send: Send, route: Route, account: Handle, error: Exception
    ) -> None:
        """Answer a request of which nothing could be decided."""
        await self._refuse(scope, receive, send, self.charging.undecided(error, route, account))

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, refusal: Refusal, decision: Decision | None = None
    ) -> None:
        headers = [] if decision is None else self.charging.headers(decision)
        await refuse(scope, receive, send, refusal, headers=headers, on_denied=self._on_denied)
