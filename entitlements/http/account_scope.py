"""The account of a request, kept in its scope, and the answers to lookups that fail."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from entitlements.errors import UnknownAccount
from entitlements.http.identify import is_malformed_id
from entitlements.http.problems import Problems
from entitlements.model.account import Account
from entitlements.model.names import shown
from entitlements.model.redaction import redact_error, redacted_traceback

if TYPE_CHECKING:
    from entitlements.http.current import Handle
    from entitlements.http.problems import Refusal
    from entitlements.http.types import Scope

HANDLE_KEY = "entitlements.account"
"""Scope key of the enforcer, the handle that was found, the `identify` that found it, and what renders refusals."""

_log = logging.getLogger("entitlements.http")


def attach(scope: Scope, enforcer: object, handle: Handle, identify: object, problems: Problems) -> Handle:
    """Keep the handle that was found in the scope, and return it."""
    state = scope.get("state")  # a copy: some servers share one dictionary between the requests of a connection
    scope["state"] = {"account": handle} if state is None else {**state, "account": handle}
    scope[HANDLE_KEY] = (enforcer, handle, identify, problems)
    return handle


def attached(scope: Scope, enforcer: object, identify: object) -> Handle | None:
    """Return the handle that the same `identify` found for the same enforcer; None if it did not run yet."""
    outer = scope.get(HANDLE_KEY)
    return outer[1] if outer is not None and outer[0] is enforcer and outer[2] is identify else None


def handle_of(scope: Scope) -> Handle | None:
    """Return the handle that a middleware around the application found for this scope; None if it found none."""
    found = scope.get(HANDLE_KEY)
    return None if found is None else found[1]


def problems_of(scope: Scope) -> Problems:
    """Return the renderer of refusals of the middleware that found the account; the default one if there is none."""
    found = scope.get(HANDLE_KEY)
    return Problems() if found is None else found[3]


def load_refusal(error: Exception, identity: object, problems: Problems) -> Refusal:
    """
    Return the answer to an account that could not be loaded: 401 if it cannot be one, else as `lookup_refusal`.

    Raises:
        TypeError: For an identity of a wrong type: another attempt would not help.
    """
    if is_malformed_id(identity):
        return problems.account_required()
    if not isinstance(identity, str | Account):
        what = f"identify returned {shown(identity)}, of type {type(identity).__name__}"
        raise TypeError(f"{what}; return the account's id as a str, an Account, or None") from None
    id = identity.id if isinstance(identity, Account) else identity
    return lookup_refusal(error, id if isinstance(id, str) else None, problems)


def lookup_refusal(error: BaseException, id: str | None, problems: Problems) -> Refusal:
    """Return the answer to a lookup that failed: 401 for an account that is unknown, else 503, which is logged."""
    if isinstance(error, UnknownAccount):
        problem = redact_error(error, id or "")
        _log.warning("request refused: %s", problem, extra={"problem": problem})
        return problems.account_required()
    _log.error(
        "account lookup failed; request refused with 503\n%s",
        redacted_traceback(error, id),
        extra={"error": type(error).__name__},
    )
    return problems.unavailable()
