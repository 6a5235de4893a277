"""Finding the account of a request: at once where it is loaded here, else by waiting for it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.enforcer import Enforcer
from entitlements.errors import UnknownAccount
from entitlements.http.problems import Problems, Refusal
from entitlements.model.account import Account
from entitlements.model.names import check_id
from entitlements.model.redaction import redact, redacted_traceback

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from entitlements.http.current import Handle
    from entitlements.http.identify import Identify
    from entitlements.http.types import Scope

HANDLE_KEY = "entitlements.account"
"""Where the scope keeps the enforcer, the handle that was found, and by which `identify`."""

IDENTIFY_WITHIN = 1.0
"""Seconds that an async `identify` may take."""

LOADED_WITHIN = 5.0
"""Seconds that the account source may take for one request; what it brings later serves the next."""

_log = logging.getLogger("entitlements.http")


class AccountFinder:
    """
    Finds whose request it is.

    Args:
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Says whose request it is; see `entitlements.http.identify`.
        problems: How refusals read.

    Raises:
        TypeError: Without a callable `identify`, and for an enforcer that would block the loop.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, identify: Identify, problems: Problems) -> None:
        if not callable(identify):
            raise TypeError(
                f"identify {identify!r} must be a callable from the ASGI scope to an account's id;"
                " see entitlements.http.identify for ready-made ones"
            )
        self._enforcer = check_enforcer(enforcer)
        self._identify = identify
        self._problems = problems
        self._known = enforcer.known if isinstance(enforcer, AsyncEnforcer) else None

    def find(self, scope: Scope) -> Handle | Coroutine[Any, Any, Handle | Refusal]:
        """Return the handle, which the scope then has too, or a coroutine of it or of why there is none."""
        outer = scope.get(HANDLE_KEY)
        if outer is not None and outer[0] is self._enforcer and outer[2] is self._identify:
            return outer[1]  # type: ignore[no-any-return]
        try:
            identity = self._identify(scope)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it raises, nobody passes
            return self._failed(error, None)
        if type(identity) is str and self._known is not None:
            handle = self._known(identity)
            if handle is not None:
                return self._note(scope, handle)
        return self._wait(scope, identity)

    def _note(self, scope: Scope, handle: Handle) -> Handle:
        state = scope.get("state")
        if state is None:
            state = scope["state"] = {}
        state["account"] = handle
        scope[HANDLE_KEY] = (self._enforcer, handle, self._identify)
        return handle

    async def _wait(self, scope: Scope, identity: Any) -> Handle | Refusal:
        try:
            if inspect.isawaitable(identity):
                async with asyncio.timeout(IDENTIFY_WITHIN):
                    identity = await (asyncio.shield(identity) if asyncio.isfuture(identity) else identity)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # the request itself, not what it waits for
                raise
            return await self._failed(error, None)
        except Exception as error:  # noqa: BLE001 - as above
            return await self._failed(error, None)
        if identity is None:
            return self._problems.account_required()
        try:
            if not isinstance(self._enforcer, AsyncEnforcer):
                return self._note(scope, self._enforcer.account(identity))
            async with asyncio.timeout(LOADED_WITHIN):
                return self._note(scope, await self._enforcer.account(identity))
        except Exception as error:  # noqa: BLE001 - a directory's error of any kind
            if isinstance(identity, str) and not _is_id(identity):
                return self._problems.account_required()
            return await self._failed(error, _id_of(identity))

    async def _failed(self, error: BaseException, id: str | None) -> Refusal:
        if isinstance(error, UnknownAccount):
            _log.warning("nobody is let through: %s", redact(str(error), id or ""))
            return self._problems.account_required()
        _log.error("the account could not be found out, and nobody is let through\n%s", redacted_traceback(error, id))
        return self._problems.unavailable()


def check_enforcer(enforcer: object) -> AsyncEnforcer | Enforcer:
    """
    Return an enforcer that an event loop can use.

    Raises:
        TypeError: For one that would block it, and for what is none.
    """
    if isinstance(enforcer, AsyncEnforcer):
        return enforcer
    if not isinstance(enforcer, Enforcer):
        raise TypeError(f"enforcer {enforcer!r} is not one; pass AsyncEnforcer(policy, accounts=..., store=...)")
    if enforcer.via != "memory":
        raise TypeError("an Enforcer on a networked store would block the event loop; pass an AsyncEnforcer")
    return enforcer


def _id_of(identity: object) -> str | None:
    """Return the id that an identity is or has, whatever `identify` gave."""
    id = identity.id if isinstance(identity, Account) else identity
    return id if isinstance(id, str) else None


def _is_id(identity: str) -> bool:
    with suppress(ValueError):
        check_id(identity)
        return True
    return False
