"""
Pure-ASGI middlewares: who is asking, what the route needs of them, and one line for both.

Headers are added to the first `http.response.start` only; bodies and trailers pass
untouched, and nothing is buffered. What a charge took is given back when the request
comes to nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.enforcer import Enforcer
from entitlements.errors import UnknownAccount
from entitlements.http.charging import Charging
from entitlements.http.current import ACCOUNT
from entitlements.http.headers import HeaderStyle
from entitlements.http.lifespan import LifespanMiddleware
from entitlements.http.problems import Problems, Refusal
from entitlements.http.refusing import refuse
from entitlements.http.routes import Route, RouteTable, route_of
from entitlements.model.names import check_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from entitlements.http.current import Handle
    from entitlements.http.identify import Identify
    from entitlements.http.refusing import OnDenied
    from entitlements.http.types import App, Receive, Scope, Send
    from entitlements.model.decision import Decision

HANDLE = "entitlements.account"
"""Where the scope keeps the enforcer, the handle that an `AccountMiddleware` found, and by which `identify`."""

IDENTIFY_WITHIN = 1.0
"""Seconds that an async `identify` may take."""

_log = logging.getLogger("entitlements.http")


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
        if not callable(identify):
            raise TypeError(
                f"identify {identify!r} must be a callable from the ASGI scope to an account's id;"
                " see entitlements.http.identify for ready-made ones"
            )
        self.app = app
        self._enforcer = _checked(enforcer)
        self._identify = identify
        self._exempt = exempt
        self._problems = problems or Problems()
        self._on_denied = on_denied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in {"http", "websocket"} or (self._exempt is not None and self._exempt(scope)):
            await self.app(scope, receive, send)
            return
        found = await self._handle(scope)
        if found is None or isinstance(found, Refusal):
            refusal = found or self._problems.account_required()
            await refuse(scope, receive, send, refusal, headers=[], on_denied=self._on_denied)
            return
        scope.setdefault("state", {})["account"] = found
        scope[HANDLE] = (self._enforcer, found, self._identify)
        token = ACCOUNT.set(found)
        try:
            await self.app(scope, receive, send)
        finally:
            ACCOUNT.reset(token)

    async def _handle(self, scope: Scope) -> Handle | Refusal | None:
        """Return the account's handle, why there is none, or None for nobody."""
        outer = scope.get(HANDLE)
        if outer is not None and outer[0] is self._enforcer and outer[2] is self._identify:
            return outer[1]  # type: ignore[no-any-return]
        try:
            identity = self._identify(scope)
            if type(identity) is not str and inspect.isawaitable(identity):
                async with asyncio.timeout(IDENTIFY_WITHIN):
                    identity = await identity
        except Exception:  # noqa: BLE001 - whatever it raises, nobody passes
            _log.exception("identify failed, and nobody is let through")
            return self._problems.unavailable()
        if identity is None:
            return None
        try:
            if isinstance(self._enforcer, AsyncEnforcer):
                return self._enforcer.known(identity) or await self._enforcer.account(identity)
            return self._enforcer.account(identity)
        except UnknownAccount as error:
            _log.warning("nobody is let through: %s", error)
            return None
        except Exception:  # noqa: BLE001 - a directory's error of any kind
            if isinstance(identity, str) and not _is_id(identity):
                return None
            _log.exception("the account could not be loaded, and nobody is let through")
            return self._problems.unavailable()


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
        self._enforcer = _checked(enforcer)
        self._table = routes if isinstance(routes, RouteTable) else RouteTable(routes, default)
        self._table.check(enforcer.policy)
        self._problems = problems or Problems()
        self._on_denied = on_denied
        self._charging = Charging(
            enforcer,
            refund_on=refund_on,
            refund_rates=refund_rates,
            style=HeaderStyle(headers),
            problems=self._problems,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        route = route_of(self._table, scope)
        if route.exempt:
            await self.app(scope, receive, send)
            return
        outer = scope.get(HANDLE)
        if outer is None or outer[0] is not self._enforcer:
            await self._refuse(scope, receive, send, self._problems.account_required())
            return
        account: Handle = outer[1]
        decision = None
        try:
            for name in route.requires:
                decision = account.decide(name)
                if not decision.allowed:
                    break
            else:
                if route.consumes:
                    decision = await self._charging.consume(account, route, scope)
            standing = account.entitlements().standing if decision is None else None
        except Exception:  # noqa: BLE001 - a store's, a directory's or a rule's error: nobody passes uncounted
            _log.exception("%s could not be decided, and nobody is let through", route)
            await self._refuse(scope, receive, send, self._problems.unavailable())
            return
        if decision is not None and not decision.allowed:
            await self._refuse(scope, receive, send, self._problems.refused(decision), decision)
            return
        if standing is not None:
            await self._refuse(scope, receive, send, self._problems.standing(standing))
            return
        if route.messages and scope["type"] == "websocket":
            receive, send = self._charging.metered(account, route, scope, receive, send)
        if decision is None or decision.facts.limit is None:
            await self.app(scope, receive, send)
        else:
            await self._charging.run(self.app, scope, receive, send, decision)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, refusal: Refusal, decision: Decision | None = None
    ) -> None:
        headers = [] if decision is None else self._charging.headers(decision)
        await refuse(scope, receive, send, refusal, headers=headers, on_denied=self._on_denied)


class EntitlementsMiddleware:
    """
    All of it in one line: `AccountMiddleware` around `RoutesMiddleware`, and `LifespanMiddleware` beside them.

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
        TypeError: Without a callable `identify`, and for an enforcer that would block the loop.
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
        table = RouteTable(_checked(enforcer).policy.routes if routes is None else routes, default)
        gated = RoutesMiddleware(
            app,
            enforcer=enforcer,
            routes=table,
            refund_on=refund_on,
            refund_rates=refund_rates,
            headers=headers,
            problems=problems,
            on_denied=on_denied,
        )
        found = AccountMiddleware(
            gated,
            enforcer=enforcer,
            identify=identify,
            exempt=lambda scope: route_of(table, scope).exempt,
            problems=problems,
            on_denied=on_denied,
        )
        self.app = app
        self._found = found
        self._lifespan = LifespanMiddleware(app, enforcer=enforcer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        await (self._lifespan if scope["type"] == "lifespan" else self._found)(scope, receive, send)


def _checked(enforcer: object) -> AsyncEnforcer | Enforcer:
    """Return an enforcer that an event loop can use."""
    if isinstance(enforcer, AsyncEnforcer):
        return enforcer
    if not isinstance(enforcer, Enforcer):
        raise TypeError(f"enforcer {enforcer!r} is not one; pass AsyncEnforcer(policy, accounts=..., store=...)")
    if enforcer.via != "memory":
        raise TypeError("an Enforcer on a networked store would block the event loop; pass an AsyncEnforcer")
    return enforcer


def _is_id(identity: str) -> bool:
    with suppress(ValueError):
        check_id(identity)
        return True
    return False
