"""Account lookup: returns the handle of a loaded account at once, and otherwise a coroutine that loads it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from entitlements.async_call import require_asyncio
from entitlements.async_enforcer import AsyncEnforcer
from entitlements.enforcer import Enforcer
from entitlements.errors import UnknownAccount
from entitlements.http.identify import check_identify, is_malformed_id
from entitlements.http.problems import Problems, Refusal
from entitlements.model.account import Account
from entitlements.model.redaction import redact, redacted_traceback

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from entitlements.http.current import Handle
    from entitlements.http.identify import Identify
    from entitlements.http.types import Scope

HANDLE_KEY = "entitlements.account"
"""Scope key of the enforcer, the handle that was found, the `identify` that found it, and what renders refusals."""

IDENTIFY_TIMEOUT = 1.0
"""Seconds that an async `identify` may take."""

LOAD_TIMEOUT = 5.0
"""Seconds that a request waits for the account source; a load that ends later serves the next request."""

_log = logging.getLogger("entitlements.http")


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
        outer = scope.get(HANDLE_KEY)
        if outer is not None and outer[0] is self._enforcer and outer[2] is self._identify:
            return outer[1]  # type: ignore[no-any-return]
        try:
            identity = self._identify(scope)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any error refuses the request
            return self._error_refusal(error, None)
        if type(identity) is str and self._known is not None:
            handle = self._known(identity)
            if handle is not None:
                return self._attach(scope, handle)
        return self._load(scope, identity)

    def _attach(self, scope: Scope, handle: Handle) -> Handle:
        state = scope.get("state")  # a copy: some servers share one dictionary between the requests of a connection
        scope["state"] = {"account": handle} if state is None else {**state, "account": handle}
        scope[HANDLE_KEY] = (self._enforcer, handle, self._identify, self._problems)
        return handle

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
            return await self._error_refusal(error, None)
        if identity is None:
            return self._problems.account_required()
        try:
            if not isinstance(self._enforcer, AsyncEnforcer):
                return self._attach(scope, self._enforcer.account(identity))
            async with asyncio.timeout(LOAD_TIMEOUT):
                return self._attach(scope, await self._enforcer.account(identity))
        except Exception as error:  # noqa: BLE001 - any error of the account source
            if is_malformed_id(identity):
                return self._problems.account_required()
            return await self._error_refusal(error, _id_of(identity))

    async def _error_refusal(self, error: BaseException, id: str | None) -> Refusal:
        if isinstance(error, UnknownAccount):
            _log.warning("request refused: %s", redact(str(error), id or ""))
            return self._problems.account_required()
        _log.error("account lookup failed; request refused with 503\n%s", redacted_traceback(error, id))
        return self._problems.unavailable()


def handle_of(scope: Scope) -> Handle | None:
    """Return the handle that a middleware around the application found for this scope; None if it found none."""
    found = scope.get(HANDLE_KEY)
    return None if found is None else found[1]


def problems_of(scope: Scope) -> Problems:
    """Return the renderer of refusals of the middleware that found the account; the default one if there is none."""
    found = scope.get(HANDLE_KEY)
    return Problems() if found is None else found[3]


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


def _id_of(identity: object) -> str | None:
    """Return the id of an identity; None for an object of any other type."""
    id = identity.id if isinstance(identity, Account) else identity
    return id if isinstance(id, str) else None
