"""One request of a middleware outside of ASGI: its account, its charges, and the progress of its response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.account_scope import HANDLE_KEY
from entitlements.http.error_refusals import AccountRequired
from entitlements.model.decision_fields import fields_of, receipt_of

if TYPE_CHECKING:
    from entitlements.http.admission import Admission
    from entitlements.http.current import Handle
    from entitlements.http.problems import Refusal
    from entitlements.http.types import Headers, Scope
    from entitlements.model.decision import Decision


class MeteredRequest:
    """
    A request that was decided.

    Args:
        admission: Decided it.
        scope: Its scope; it has the handle of the account.
        decision: The decision by its route.
        refusal: The answer, if it is refused.
        headers: The rate limit headers of a charge that is never refunded, where no decision was made.
    """

    __slots__ = (
        "_charges",
        "_decision",
        "_headers",
        "account",
        "admission",
        "is_complete",
        "is_disconnected",
        "is_followed",
        "refusal",
        "scope",
        "status",
    )

    def __init__(
        self,
        admission: Admission,
        scope: Scope,
        decision: Decision | None = None,
        refusal: Refusal | None = None,
        headers: Headers | None = None,
    ) -> None:
        self.admission = admission
        self.scope = scope
        self.refusal = refusal
        outer = scope.get(HANDLE_KEY)
        self.account: Handle | None = None if outer is None else outer[1]
        """The account; None for a request without one."""
        self._decision = decision
        self._headers: Headers = headers or []
        self._charges: list[Decision] = []
        self.status: int | None = None
        self.is_complete = False
        self.is_disconnected = False
        self.is_followed = False  # its body is made later, and settles it at its end
        if decision is not None and refusal is None:
            self.add(decision)

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

    @property
    def waits_for_body(self) -> bool:
        """True if the end of its body says whether the request failed; its status does not."""
        return self.is_followed and not self.admission.refunds(self.status)

    def headers(self, status: int) -> Headers:
        """Return the rate limit headers of a response with this status, and note that it started."""
        self.status = status
        if self.refusal is not None:
            return [] if self._decision is None else self.admission.headers(self._decision)
        if not self._charges:
            return self._headers
        return [*self._headers, *self.admission.response_headers(self._charges, status)]

    def take_refunds(self, raised: BaseException | None = None, *, cancelled: bool = False) -> list[Decision]:
        """Return the charges to refund, once, now that the request has ended; none if it did not fail."""
        charges, self._charges = self._charges, []
        if not charges or not self.admission.should_refund(self, raised, cancelled=cancelled):
            return []
        return [each for each in charges if self.admission.is_refundable(receipt_of(each))]
