"""
Pure-ASGI middlewares: who is asking, what the route needs of them, and one line for both.

Headers are added to the first `http.response.start` only; bodies and trailers pass
untouched, and nothing is buffered. What a charge took is given back when the request
comes to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.bound import AsyncBoundAccount, BoundAccount
from entitlements.http.charging import Charging
from entitlements.http.current import ACCOUNT, ENFORCER
from entitlements.http.finding import HANDLE, AccountFinder, check_enforcer
from entitlements.http.headers import HeaderStyle
from entitlements.http.lifespan import LifespanMiddleware
from entitlements.http.prefixes import check_prefix, checking
from entitlements.http.problems import Problems, Refusal
from entitlements.http.refusing import check_on_denied, refuse
from entitlements.http.response import adding
from entitlements.http.routes import Route, RouteTable, route_of
from entitlements.model.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.identify import Identify
    from entitlements.http.refusing import OnDenied
    from entitlements.http.types import App, Receive, Scope, Send
    from entitlements.model.facts import Reason

SERVED = frozenset({"http", "websocket"})
HANDLES = (AsyncBoundAccount, BoundAccount)


class AccountMiddleware:
    """
    Finds the account of a request, and puts its bound handle into `request.state.account`.

    Whoever cannot be identified is answered with 401. The handle of an account that the
    directory does not know, or that is suspended, refuses whatever it is asked.

    Args:
        app: The application.
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Says whose request it is; see `entitlements.http.identify`.
        exempt: Says which scopes pass without an account.
        problems: How refusals read.
        on_denied: What may answer a refusal instead.

    Raises:
        TypeError: Without a callable `identify`, and for an enforcer that would block the loop.
    """

    def __init__(
        self,
        app: App,
        *,
        enforcer: AsyncEnforcer | Enforcer,
        identify: Identify,
        exempt: Callable[[Scope], bool] | None = None,
        problems: Problems | None = None,
        on_denied: OnDenied | None = None,
    ) -> None:
        self.app = app
        self._problems = problems or Problems()
        self._enforcer = enforcer
        self._finder = AccountFinder(enforcer, identify, self._problems)
        self._exempt = exempt
        self._on_denied = check_on_denied(on_denied)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in SERVED or (self._exempt is not None and self._exempt(scope)):
            if scope["type"] == "lifespan":
                ENFORCER.set(self._enforcer)
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
            await self.app(scope, receive, send)
        finally:
            ACCOUNT.reset(token)


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
        route = route_of(self._table, scope)
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
            step = None if route.one is None else self._one.step(route.one, found)
            if step is None:
                await self._routes.serve(scope, receive, send, route, found)
                return
            try:
                answer = self._one.at_once(step)
                told = self._one.told(step, await self._one.beyond(step) if answer is None else answer)
            except Exception as error:  # noqa: BLE001 - a store's: nobody passes uncounted
                await self._routes.fail(scope, receive, send, route, found, error)
                return
            if isinstance(told, Decision):
                await self._routes.go_on(scope, receive, send, route, found, decision=told)
            else:
                await self.app(scope, receive, adding(send, told))
        finally:
            ACCOUNT.reset(token)
