"""Account lookup: returns the handle of a loaded account at once, and otherwise a coroutine that loads it."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from entitlements.async_call import require_asyncio
from entitlements.async_enforcer import AsyncEnforcer
from entitlements.enforcer import Enforcer
from entitlements.http.account_scope import attach, attached, load_refusal, lookup_refusal
from entitlements.http.identify import check_identify
from entitlements.http.problems import Problems, Refusal

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from entitlements.http.current import Handle
    from entitlements.http.identify import Identify
    from entitlements.http.types import Scope

IDENTIFY_TIMEOUT = 1.0
"""Seconds that an async `identify` may take."""

LOAD_TIMEOUT = 5.0
"""Seconds that a request waits for the account source; a load that ends later serves the next request."""


class AccountFinder:
    """
    Finds the account of a request.

    Args:
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Returns the account of a scope; see `entitlements.http.identify`.
        problems: Renders refusals.

    Raises:
        TypeError: If `identify` is not callable, or the enforcer would block the loop.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, identify: Identify, problems: Problems) -> None:
        check_identify(identify)
        self._enforcer = check_enforcer(enforcer)
        self._identify = identify
        self._problems = problems
        self._known = enforcer._handle if isinstance(enforcer, AsyncEnforcer) else None

    def find(self, scope: Scope) -> Handle | Coroutine[Any, Any, Handle | Refusal]:
        """Return the handle, or a coroutine that returns it or a refusal; the scope keeps the handle too."""
        outer = attached(scope, self._enforcer, self._identify)
        if outer is not None:
            return outer
        try:
            identity = self._identify(scope)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any error refuses the request
            return self._failed(error)
        if type(identity) is str and self._known is not None:
            handle = self._known(identity)
            if handle is not None:
                return attach(scope, self._enforcer, handle, self._identify, self._problems)
        return self._load(scope, identity)

    def _attach(self, scope: Scope, handle: Handle) -> Handle:
        return attach(scope, self._enforcer, handle, self._identify, self._problems)

    async def _failed(self, error: BaseException) -> Refusal:
        return lookup_refusal(error, None, self._problems)

    async def _load(self, scope: Scope, identity: Any) -> Handle | Refusal:
        require_asyncio()
        try:
            if inspect.isawaitable(identity):
                async with asyncio.timeout(IDENTIFY_TIMEOUT):
                    identity = await (asyncio.shield(identity) if asyncio.isfuture(identity) else identity)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise  # the request was cancelled, not the future of `identify`
            return lookup_refusal(error, None, self._problems)
        if identity is None:
            return self._problems.account_required()
        try:
            if not isinstance(self._enforcer, AsyncEnforcer):
                return self._attach(scope, self._enforcer.account(identity))
            async with asyncio.timeout(LOAD_TIMEOUT):
                return self._attach(scope, await self._enforcer.account(identity))
        except Exception as error:  # noqa: BLE001 - any error of the account source
            return load_refusal(error, identity, self._problems)


def check_enforcer(enforcer: object) -> AsyncEnforcer | Enforcer:
    """
    Return *enforcer* if an event loop can use it.

    Raises:
        TypeError: If it would block the loop, or is not an enforcer.
    """
    if isinstance(enforcer, AsyncEnforcer):
        return enforcer
    if not isinstance(enforcer, Enforcer):
        raise TypeError(f"enforcer {enforcer!r} is not one; pass AsyncEnforcer(policy, accounts=..., store=...)")
    if enforcer.via != "memory":
        raise TypeError("an Enforcer on a networked store would block the event loop; pass an AsyncEnforcer")
    return enforcer
