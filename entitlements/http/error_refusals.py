"""Error refusals: the answers to exceptions that verbs and dependencies raise, for the handlers of any framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entitlements.errors import AccountError, AccountsUnavailable, Denied, StoreError
from entitlements.http.costs import BadRequest
from entitlements.http.rate_limit_headers import HeaderStyle, rate_limit_headers

if TYPE_CHECKING:
    from entitlements.http.problems import Problems, Refusal
    from entitlements.http.types import Headers
    from entitlements.model.decision import Decision


class AccountRequired(Exception):
    """A dependency needs the account of a request, and no middleware has found one."""


class UnknownAccountDenied(Denied):
    """
    The denial of an unknown account.

    Args:
        decision: The decision.
        rendered: The one to render instead; None if there is none.
    """

    def __init__(self, decision: Decision, rendered: Decision | None) -> None:
        super().__init__(decision)
        self.rendered = rendered

    def __reduce__(self) -> tuple[type[Denied], tuple[Any, ...]]:
        """Pickle the constructor's arguments."""
        return (UnknownAccountDenied, (self.decision, self.rendered))


REFUSED_ERRORS: tuple[type[Exception], ...] = (
    Denied, BadRequest, AccountRequired, StoreError, AccountError, AccountsUnavailable,
)  # fmt: skip
"""The exceptions that have an answer."""


def error_refusal(error: Exception, problems: Problems) -> Refusal:
    """Return the answer to one of `REFUSED_ERRORS`."""
    if isinstance(error, Denied):
        return problems.refused(error.decision, error.rendered if isinstance(error, UnknownAccountDenied) else None)
    if isinstance(error, BadRequest):
        return problems.bad_request()
    return problems.account_required() if isinstance(error, AccountRequired) else problems.unavailable()


def error_headers(error: Exception, style: HeaderStyle) -> Headers:
    """Return the rate limit headers of the answer."""
    return rate_limit_headers(error.decision, style) if isinstance(error, Denied) else []
