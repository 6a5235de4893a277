"""
Pure-ASGI middlewares: who is asking, what the route needs of them, and one line for both.

Headers are added to the first `http.response.start` only; bodies and trailers pass
untouched, and nothing is buffered. What a charge took is given back when the request
comes to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.account_lookup import AccountFinder, check_enforcer
from entitlements.http.account_middleware import HANDLES, SERVED, AccountMiddleware
from entitlements.http.current import ACCOUNT
from entitlements.http.headers import HeaderStyle
from entitlements.http.lifespan import LifespanMiddleware
from entitlements.http.problems import Problems, Refusal
from entitlements.http.refusals import check_on_denied, refuse
from entitlements.http.response import adding
from entitlements.http.root_path import checking
from entitlements.http.route_middleware import RoutesMiddleware
from entitlements.http.routes import Route, RouteTable, route_of
from entitlements.stores.pending import Failed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.identify import Identify
    from entitlements.http.refusals import OnDenied
    from entitlements.http.types import App, Receive, Scope, Send

__all__ = ["AccountMiddleware", "EntitlementsMiddleware", "RoutesMiddleware"]


class EntitlementsMiddleware:
    """
    All of it in one line: `AccountMiddleware` around `RoutesMiddleware`, and `LifespanMiddleware` beside them.

    With `app.add_middleware`, which builds it only at the first call, write `checked(EntitlementsMiddleware,
    …)` of `entitlements.http.starting`: what is wrong is then raised there.

    Args:
        app: The application.
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Says whose request it is: an id, an `Account` or None, sync or async.
        routes: Rules in order; by default those of the policy.
        default: What counts where none matches.
        refund_on: Statuses for which quotas and allocations come back; add 404 for requests
            that no route of the application took.
        refund_rates: Whether units of rates come back with them.
        headers: `draft-11`, `draft-06`, `x-ratelimit` or `none`.
        docs_url: Where the problem types are explained.
        upgrade_url: Where people go to have more.
        payment_required: 402 instead of 403 where an upgrade or an add-on would help.
        retry_after_cap: Seconds above which `Retry-After` is left out.
        on_denied: From the scope and the refusal to an ASGI app that answers instead, or None.

    Raises:
        TypeError: Without a callable `identify`, for an enforcer that would block the loop, and for other useless options.
        ValueError: For rules that cannot match, or that name what the policy does not know.
    """

    def __init__(
        self,
        app: App,
        *,
        enforcer: AsyncEnforcer | Enforcer,
        identify: Identify,
        routes: Iterable[Route] | None = None,
        default: Route | None = None,
        refund_on: Collection[int] = range(500, 600),
        refund_rates: bool = False,
        headers: HeaderStyle | str = HeaderStyle.DRAFT_11,
        docs_url: str | None = None,
        upgrade_url: str | None = None,
        payment_required: bool = False,
        retry_after_cap: int = 3_660,
        on_denied: OnDenied | None = None,
    ) -> None:
        problems = Problems(
            docs_url=docs_url,
            upgrade_url=upgrade_url,
            payment_required=payment_required,
            retry_after_cap=retry_after_cap,
        )
        table = RouteTable(check_enforcer(enforcer).policy.routes if routes is None else routes, default)
        self.app = app
        self._table = table
        self._finder = AccountFinder(enforcer, identify, problems)
        self._routes = RoutesMiddleware(
            app,
            enforcer=enforcer,
            routes=table,
            refund_on=refund_on,
            refund_rates=refund_rates,
            headers=headers,
            problems=problems,
            on_denied=on_denied,
        )
        self._one = self._routes.charging.one
        self._on_denied = check_on_denied(on_denied)
        self._lifespan = LifespanMiddleware(app, enforcer=enforcer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in SERVED:
            await self._lifespan(scope, receive, checking(scope, send, self._table))
            return
        route = route_of(self._table, scope) if self._table.routes else self._table.default
        if route.exempt:
            await self.app(scope, receive, send)
            return
        found = self._finder.find(scope)
        if not isinstance(found, HANDLES):
            waited = await found
            if isinstance(waited, Refusal):
                await refuse(scope, receive, send, waited, headers=[], on_denied=self._on_denied)
                return
            found = waited
        token = ACCOUNT.set(found)
        try:
            asks = self._one.asks
            step = None if asks is None or route.one is None else found.step(route.one)
            if asks is None or step is None or step.facts is None:
                await self._routes.serve(scope, receive, send, route, found)
                return
            try:
                answer = asks.at_once(step.order)
                if answer is None:
                    try:
                        answer = await asks.beyond(step.order)
                    except Failed as failed:
                        answer = await asks.after(step.order, failed)
                told = self._one.told(step.facts, answer)  # type: ignore[arg-type]  # of a charge
                decision = asks.finished(step, answer) if told is None else None
            except Exception as error:  # noqa: BLE001 - a store's: nobody passes uncounted
                await self._routes.fail(scope, receive, send, route, found, error)
                return
            if told is None:
                await self._routes.go_on(scope, receive, send, route, found, decision=decision)
            else:
                await self.app(scope, receive, adding(send, told))
        finally:
            ACCOUNT.reset(token)
