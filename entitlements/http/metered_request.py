"""One request of a middleware outside of ASGI: its account, its charges, and the progress of its response."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from entitlements.http.account_scope import HANDLE_KEY
from entitlements.http.error_refusals import AccountRequired
from entitlements.model.decision_fields import fields_of, receipt_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from entitlements.http.admission import Admission
    from entitlements.http.current import Handle
    from entitlements.http.problems import Refusal
    from entitlements.http.settling import RequestReservation
    from entitlements.http.types import Headers, Scope
    from entitlements.model.decision import Decision
    from entitlements.reservations import AsyncReservation, Reservation


class RequestEnd(NamedTuple):
    """
    The refunds and the settlement that a request leaves at its end.

    Args:
        reserved: The reservation to settle, if there is one.
        refunds: The charges to refund.
        failed: True if the request failed.
    """

    reserved: RequestReservation | None
    refunds: tuple[Decision, ...]
    failed: bool


Admitted: TypeAlias = "tuple[Headers, Callable[[], Decision] | None]"
_NOT_ADMITTED: Admitted = ([], None)
_NOTHING_LEFT = RequestEnd(None, (), failed=False)


class MeteredRequest:
    """
    A request that was decided.

    Args:
        admission: Decided it.
        scope: Its scope; it has the handle of the account.
        decision: The decision by its route.
        refusal: The answer, if it is refused.
        admitted: The rate limit headers of a charge that was admitted without a decision, and what makes its decision for
            a refund; None for one that is never refunded.
        reserved: The reservation of the request, if its route settles.
    """

    __slots__ = (
        "_charges",
        "_decide",
        "_decision",
        "_headers",
        "account",
        "admission",
        "is_complete",
        "is_disconnected",
        "is_followed",
        "refusal",
        "reserved",
        "scope",
        "status",
    )

    def __init__(
        self,
        admission: Admission,
        scope: Scope,
        decision: Decision | None = None,
        refusal: Refusal | None = None,
        admitted: Admitted = _NOT_ADMITTED,
        reserved: RequestReservation | None = None,
    ) -> None:
        self.admission = admission
        self.scope = scope
        self.refusal = refusal
        outer = scope.get(HANDLE_KEY)
        self.account: Handle | None = None if outer is None else outer[1]
        """The account; None for a request without one."""
        self._decision = decision
        self._headers, self._decide = admitted
        self._charges: list[Decision] = []
        self.status: int | None = None
        self.is_complete = False
        self.is_disconnected = False
        self.is_followed = False  # its body is made later, and settles it at its end
        if decision is not None and refusal is None:
            self.add(decision)
        self.reserved = reserved if self._charges else None

    @property
    def reservation(self) -> AsyncReservation | Reservation | None:
        """The reservation that the endpoint may commit; None if its route does not settle, or was refused."""
        return None if self.reserved is None else self.reserved.held

    def require_account(self) -> Handle:
        """
        Return the account.

        Raises:
            AccountRequired: For a request without one, as on an exempt route.
        """
        account = self.account
        if account is None:
            raise AccountRequired(
                "an endpoint needs the account, and its route is exempt; take it from the exempt ones"
            )
        return account

    def add(self, decision: Decision) -> None:
        """Add a charge of the request: the response has its headers, and a failed request refunds it."""
        if fields_of(decision)[2].limit is not None:
            self._charges.append(decision)

    def _add_admitted(self) -> None:
        """Add the admitted charge, which came first, now that its decision is needed."""
        assert self._decide is not None
        self._charges.insert(0, self._decide())
        self._decide, self._headers = None, []

    @property
    def waits_for_body(self) -> bool:
        """True if the end of its body settles the request, or says whether it failed; its status does not."""
        return self.is_followed and (self.reserved is not None or not self.admission.refunds(self.status))

    def headers(self, status: int, own: Iterable[tuple[str, str]] = ()) -> Headers:
        """Return the rate limit headers of a response with this status and *own* headers, and note that it started."""
        self.status = status
        if self.reserved is not None:
            self.reserved.respond(status, own)
        if self.refusal is not None:
            return [] if self._decision is None else self.admission.headers(self._decision)
        if self._decide is not None and self.admission.refunds(status):
            self._add_admitted()
        if not self._charges:
            return self._headers
        return [*self._headers, *self.admission.response_headers(self._charges, status)]

    def take_end(self, raised: BaseException | None = None, *, cancelled: bool = False) -> RequestEnd:
        """Return the refunds and the settlement that are left, once, now that the request has ended."""
        if not self._charges and self._decide is None and self.reserved is None:
            return _NOTHING_LEFT
        has_charged = self._decide is not None or bool(self._charges)
        failed = has_charged and self.admission.should_refund(self, raised, cancelled=cancelled)
        if failed and self._decide is not None:
            self._add_admitted()
        (charges, self._charges), (reserved, self.reserved) = (self._charges, []), (self.reserved, None)
        self._decide = None
        if not failed:
            return RequestEnd(reserved, (), failed=False)
        own = None if reserved is None else self._decision
        refunds = tuple(each for each in charges if each is not own and self.admission.is_refundable(receipt_of(each)))
        return RequestEnd(reserved, refunds, failed=True)
