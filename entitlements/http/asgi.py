"""
Pure-ASGI middleware: `EntitlementsMiddleware` composes the account, route and lifespan middlewares.

Headers are added to the first `http.response.start` only. Bodies and trailers pass
unchanged, and nothing is buffered. A charge is refunded when its request fails.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from entitlements.http.account_lookup import AccountFinder, check_enforcer
from entitlements.http.account_middleware import HANDLE_TYPES, SERVED_TYPES, AccountMiddleware, load_or_refuse
from entitlements.http.account_scope import handle_of
from entitlements.http.current import ACCOUNT, serving
from entitlements.http.eager import fails_at_start
from entitlements.http.lifespan import LifespanMiddleware
from entitlements.http.problems import Problems, check_switch
from entitlements.http.rate_limit_headers import HeaderStyle
from entitlements.http.refusals import check_on_denied
from entitlements.http.request_charge import ChargedResponse
from entitlements.http.response import with_headers
from entitlements.http.retry_after import DEFAULT_RETRY_AFTER_CAP
from entitlements.http.root_path import takes_empty_parameters
from entitlements.http.route_middleware import RoutesMiddleware
from entitlements.http.routes import Route, RouteTable, route_of
from entitlements.http.startup_checks import startup_checked_send
from entitlements.model.answers import Outcome

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
    `AccountMiddleware`, `RoutesMiddleware` and `LifespanMiddleware` in one.

    Starlette's `app.add_middleware` builds a middleware at the first call only: wrong options then fail the
    start of the server. Pass it `checked(EntitlementsMiddleware, …)` of `entitlements.http.eager` to raise them at once.

    Args:
        app: The application.
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Returns the account of a scope: an id, an `Account` or None, sync or async.
        routes: Rules in order of precedence; those of the policy by default.
        default: The rule for a request that no other rule matches.
        refund_on: Statuses that refund quotas and allocations; add 404 to refund requests
            that no route of the application matches.
        refund_rates: Refund units of rates too.
        headers: `draft-11`, `draft-06`, `x-ratelimit` or `none`.
        docs_url: The page that documents the problem types.
        upgrade_url: The page on which a customer can upgrade.
        payment_required: Answer 402 instead of 403 where an upgrade or an add-on would help.
        retry_after_cap: Seconds above which `Retry-After` is left out.
        on_denied: Returns the ASGI app that answers a refusal, or None for the problem document.
        normalise: Refuse a path (400) of which another spelling falls under a different rule.
        idempotency_key: Charge a `POST` or `PATCH` once for each `Idempotency-Key` header. Only for applications that
            answer a repeat from what they kept, as it passes for free.

    Raises:
        TypeError: If `identify` is not callable, the enforcer would block the loop, or an option has the wrong type.
        ValueError: If a rule can never match, or names something that the policy does not define.
    """

    @fails_at_start
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
        retry_after_cap: int = DEFAULT_RETRY_AFTER_CAP,
        on_denied: OnDenied | None = None,
        normalise: bool = True,
        idempotency_key: bool = False,
    ) -> None:
        check_switch("normalise", normalise)
        problems = Problems(
            docs_url=docs_url,
            upgrade_url=upgrade_url,
            payment_required=payment_required,
            retry_after_cap=retry_after_cap,
        )
        rules = check_enforcer(enforcer).policy.routes if routes is None else routes
        table = RouteTable(rules, default, normalise=normalise, empty=takes_empty_parameters(app))
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
            idempotency_key=idempotency_key,
        )
        self._fast_path = self._routes._charger.fast_path
        self._abandon = self._routes._charger.abandon
        self._on_denied = check_on_denied(on_denied)
        self._lifespan = LifespanMiddleware(app, enforcer=enforcer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in SERVED_TYPES:
            await self._lifespan(scope, receive, startup_checked_send(self.app, scope, send, self._table))
            return
        route = route_of(self._table, scope) if self._table.routes else self._table.default
        if route is None:
            await self._routes._refuse_path(scope, receive, send)
            return
        if route.exempt:
            with serving(handle_of(scope)):
                await self.app(scope, receive, send)
            return
        found: Any = self._finder.find(scope)
        if not isinstance(found, HANDLE_TYPES):
            found = await load_or_refuse(found, scope, receive, send, on_denied=self._on_denied)
            if found is None:
                return
        token = ACCOUNT.set(found)
        try:
            path = self._fast_path
            enforcer: Any = path.enforcer
            fixed, charged = path.prepared(found, route), None
            try:
                if fixed is not None:
                    prepared, order = fixed
                    if prepared.counted:
                        charged = await enforcer._charge_counted(prepared, order, found._resolved, self._abandon)
                    else:
                        answer = await enforcer._execute(order)
                        if (type(answer) is Outcome and not answer[6]) or not enforcer._is_outdated(
                            found._resolved, answer
                        ):
                            charged = order, None, answer  # `answer[6]`: refused here, without asking the store
                if charged is not None:
                    order, operation, answer = charged
                    headers = path.headers(prepared, answer)
                    decide = partial(prepared.decide, order.account, answer, enforcer._via, operation, order.scope)
                    if headers is None:
                        decision = enforcer._decided(decide(), answer)
            except Exception as error:  # noqa: BLE001 - a store failed: no request passes uncounted
                refusal = self._routes._admission.error_refusal(error, route, found)
                await self._routes._refuse(scope, receive, send, refusal)
                return
            if charged is None:
                await self._routes._serve(scope, receive, send, route, found)
            elif headers is None:
                verdict = self._routes._admission.verdict(decision, found, route, scope)
                await self._routes._serve_decided(scope, receive, send, route, found, verdict)
            elif operation is None:  # rates alone, which are not refunded
                await self.app(scope, receive, with_headers(send, headers))
            else:
                response = ChargedResponse(receive, send, self._routes._admission, headers, decide)
                await self._routes._serve_charged(scope, response)
        finally:
            ACCOUNT.reset(token)
