"""
Fast path of routes that charge the same for every request, and ask nothing else.

The prepared charge of the account goes straight to the store, and the response headers are made from the store's
outcome: no `Decision` is built until a hook or a refund reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from entitlements.model.answers import Status
from entitlements.rules.planning import order_of

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.rate_limit_headers import RateLimitHeaders
    from entitlements.http.routes import Route
    from entitlements.http.types import Headers
    from entitlements.model.answers import Outcome
    from entitlements.model.charge import Charge
    from entitlements.rules.planning import PreparedCharge

E = TypeVar("E", "AsyncEnforcer", "Enforcer")

_ADMITTED = Status.ADMITTED


class FastPath(Generic[E]):
    """
    The enforcer and the response headers for charges that are the same at every request.

    Args:
        enforcer: The enforcer of the middleware; None if it calls another kind.
        headers: Encodes the headers of responses.
        refund_rates: Units of rates can be refunded, which takes another path than theirs alone.
        reads_keys: Requests name the keys of their charges, so none is prepared.
    """

    def __init__(self, enforcer: E | None, headers: RateLimitHeaders, *, refund_rates: bool, reads_keys: bool) -> None:
        self._headers = headers.of_admitted
        self.enforcer: E | None = None if reads_keys else enforcer
        """The enforcer to call; None if no charge is prepared."""
        has_hooks = enforcer is not None and enforcer._hooks.enabled
        self._needs_decision = refund_rates or has_hooks or not headers.supports_fast_path

    def prepared(self, found: Handle, route: Route) -> tuple[PreparedCharge, Charge] | None:
        """Return the charge of a route as it was prepared, and for its account; None if it takes the ordinary path."""
        charge, enforcer = route._fixed_units, self.enforcer
        if charge is None or enforcer is None:
            return None
        resolved = found._resolved
        prepared = resolved.charges.get(charge)
        if prepared is None or prepared.leased:  # the enforcer may hold the units of a lease
            return None
        order = resolved.made.get(prepared) or order_of(prepared, resolved.entitlements)
        if order is None:
            return None
        if prepared.counted:
            return (prepared, order) if prepared.since <= enforcer._clock() < prepared.until else None
        return None if self._needs_decision else (prepared, order)

    def headers(self, prepared: PreparedCharge, answer: Outcome) -> Headers | None:
        """Return the response headers for units that the store admitted; None if they take a decision."""
        status, now, lines, _, _, fallbacks, _ = answer
        if status is not _ADMITTED or fallbacks or self._needs_decision:
            return None
        return self._headers(prepared.decide, now, lines)
