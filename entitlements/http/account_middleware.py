"""Account middleware: finds the account of each request."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING

from entitlements.handles import AsyncBoundAccount, BoundAccount
from entitlements.http.account_lookup import AccountFinder
from entitlements.http.account_scope import handle_of
from entitlements.http.current import ENFORCER, serving
from entitlements.http.eager import fails_at_start
from entitlements.http.problems import Problems, Refusal
from entitlements.http.refusals import check_on_denied, refuse
from entitlements.http.startup_checks import startup_checked_send
from entitlements.model.callables import described_result, is_async, is_generator, takes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.identify import Identify
    from entitlements.http.refusals import OnDenied
    from entitlements.http.types import App, Receive, Scope, Send

SERVED_TYPES = frozenset({"http", "websocket"})
HANDLE_TYPES = (AsyncBoundAccount, BoundAccount)


class AccountMiddleware:
    """
    Finds the account of a request, and puts its bound handle into `request.state.account`.

    A request that cannot be identified is answered with 401. The handle of an account that
    is suspended, or that the account source does not know, refuses everything.

    Args:
        app: The application.
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Returns the account of a scope; see `entitlements.http.identify`.
        exempt: Returns True for a scope that passes without an account.
        problems: Renders refusals.
        on_denied: Returns the ASGI app that answers a refusal, or None for the problem document.

    Raises:
        TypeError: If `identify` is not callable, or the enforcer would block the loop.
    """

    @fails_at_start
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
        if exempt is not None and (
            not callable(exempt) or is_async(exempt) or is_generator(exempt) or not takes(exempt, {})
        ):
            raise TypeError(
                f"exempt {exempt!r} must be a plain function of the scope; a coroutine would exempt every request"
            )
        self._exempt = exempt
        self._on_denied = check_on_denied(on_denied)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in SERVED_TYPES:
            if scope["type"] == "lifespan":
                ENFORCER.set(self._enforcer)
                send = startup_checked_send(self.app, scope, send)
            await self.app(scope, receive, send)
            return
        if self._exempt is not None and self._is_exempt(self._exempt(scope)):
            with serving(handle_of(scope)):
                await self.app(scope, receive, send)
            return
        found = self._finder.find(scope)
        if not isinstance(found, HANDLE_TYPES):
            loaded = await load_or_refuse(found, scope, receive, send, on_denied=self._on_denied)
            if loaded is None:
                return
            found = loaded
        with serving(found):
            await self.app(scope, receive, send)

    def _is_exempt(self, result: object) -> bool:
        """Return the result of `exempt`; an awaitable, which is always true, raises `TypeError`."""
        if isawaitable(result):
            raise TypeError(
                f"exempt: {described_result(self._exempt, result)}; write a plain function that returns a bool"
            )
        return bool(result)


async def load_or_refuse(
    loading: Awaitable[Handle | Refusal], scope: Scope, receive: Receive, send: Send, *, on_denied: OnDenied | None
) -> Handle | None:
    """Return the account that is being loaded; answer the request and return None if it is refused."""
    loaded = await loading
    if not isinstance(loaded, Refusal):
        return loaded
    with serving(handle_of(scope)):
        await refuse(scope, receive, send, loaded, headers=[], on_denied=on_denied)
    return None
