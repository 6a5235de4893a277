"""
Admission of requests: the decision about a request, in code that knows no framework and does no I/O.

`Admission.decide` is a generator: it yields the charge that the store has to decide, and returns a `RequestVerdict`.
`run_sync` and `run_async` of `questions.py` carry it out. Every middleware, on threads and on event loops, is a shell around it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from entitlements.errors import KeyReused
from entitlements.http.costs import BadRequest, check_scope_error, costs_of, scope_of
from entitlements.http.error_refusals import error_headers, error_refusal
from entitlements.http.idempotency_key import idempotency_key
from entitlements.http.problems import check_switch
from entitlements.http.questions import ChargeCall
from entitlements.http.rate_limit_headers import HeaderStyle, RateLimitHeaders
from entitlements.http.unknown_accounts import inner_refusal, lowest_tier_denial
from entitlements.model.decision_fields import fields_of
from entitlements.model.limits import Rate
from entitlements.model.reasons import Reason
from entitlements.model.redaction import redacted_traceback
from entitlements.model.resolution import resolution_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.problems import Problems, Refusal
    from entitlements.http.questions import Question
    from entitlements.http.routes import Cost, Route
    from entitlements.http.types import Headers, Scope
    from entitlements.model.decision import Decision
    from entitlements.model.facts import Receipt

_log = logging.getLogger("entitlements.http")


class RequestVerdict(NamedTuple):
    """The outcome for a request: the decision about it if there is one, and the refusal if it is refused."""

    decision: Decision | None
    refusal: Refusal | None


class ResponseProgress(Protocol):
    """The progress of a response: its status, None before it has started, and its end."""

    status: int | None
    is_complete: bool
    is_disconnected: bool


class Admission:
    """
    Decides requests, renders their refusals and headers, and says which failed requests are refunded.

    Args:
        app: The application, whose own refusals unknown accounts get.
        enforcer: The enforcer of the middleware.
        refund_on: Statuses that refund quotas and allocations.
        refund_rates: Refund units of rates too.
        style: Style of the rate limit headers.
        problems: Renders refusals.
        reads_keys: Pass the `Idempotency-Key` of a request on as the key of its charge.

    Raises:
        TypeError: If *refund_rates* or *reads_keys* is not a bool.
        TypeError: If *refund_on* is no collection.
        ValueError: If *refund_on* holds anything but HTTP statuses.
    """

    def __init__(
        self,
        app: object,
        enforcer: AsyncEnforcer | Enforcer,
        *,
        refund_on: Collection[int],
        refund_rates: bool,
        style: HeaderStyle,
        problems: Problems,
        reads_keys: bool = False,
    ) -> None:
        if isinstance(refund_on, str) or not isinstance(refund_on, Collection):
            raise TypeError(
                f"refund_on {refund_on!r} must be a collection of HTTP statuses; write refund_on={{500, 502}}"
            )
        wrong = [each for each in refund_on if type(each) is not int or not 100 <= each <= 599]
        if wrong:
            raise ValueError(f"refund_on holds {wrong[0]!r}, which is no HTTP status")
        check_switch("refund_rates", refund_rates)
        check_switch("idempotency_key", reads_keys)
        self.reads_keys = reads_keys
        self._app = app
        self._enforcer = enforcer
        self._refund_on = frozenset(refund_on)
        self.refund_rates = refund_rates
        self.problems = problems
        self.style = style
        self.encoder = RateLimitHeaders(style)
        self.headers = self.encoder.of
        """Returns the rate limit headers for a decision."""

    def decide(self, account: Handle, route: Route, scope: Scope) -> Question[RequestVerdict]:
        """Decide a request of *account* that matches *route*; every error refuses it."""
        decision, standing = None, None
        try:
            for name in route.requires:
                decision = account.decide(name)
                if not decision.allowed:
                    break
            else:
                if route.consumes:
                    decision = yield from self.charge(account, route, scope, route.consumes)
                if decision is None:
                    standing = resolution_of(account.entitlements()).refusal
        except Exception as error:  # noqa: BLE001 - a store, a directory or a rule failed: no request passes uncounted
            return RequestVerdict(None, self.error_refusal(error, route, account))
        return self.verdict(decision, account, route, scope, standing=standing)

    def charge(
        self, account: Handle, route: Route, scope: Scope, consumes: Mapping[str, Cost]
    ) -> Question[Decision | None]:
        """
        Charge a request, or a message, all or nothing.

        Returns:
            The decision; None if it costs nothing.

        Raises:
            BadRequest: If a cost or a scope that was read from the request is missing or invalid.
            Exception: From a callable of the rule, or the store.
        """
        costs = costs_of(consumes, scope, route, account.id)
        if not costs:
            return None
        meter_scope = scope_of(route, scope, route)
        what, n = next(iter(costs.items())) if len(costs) == 1 else (costs, 1)  # a charge of one rate has a ready step
        try:
            key = idempotency_key(scope) if self.reads_keys else None
            return (yield ChargeCall(account.account, what, n, meter_scope, key))
        except ValueError as error:
            check_scope_error(error, route, meter_scope)
            raise

    def verdict(
        self,
        decision: Decision | None,
        account: Handle,
        route: Route,
        scope: Scope,
        *,
        standing: Reason | None = None,
    ) -> RequestVerdict:
        """Return the verdict on a request that was decided; without a decision, *standing* refuses it if there is one."""
        refused = standing if decision is None or fields_of(decision)[0] else decision
        if refused is None:
            return RequestVerdict(decision, None)
        try:
            return RequestVerdict(decision, self._refusal(refused, route, scope))
        except Exception as error:  # noqa: BLE001 - as in `decide`
            return RequestVerdict(decision, self.error_refusal(error, route, account))

    def _refusal(self, why: Decision | Reason, route: Route, scope: Scope) -> Refusal:
        """
        Return the answer to a refused request.

        Args:
            why: The decision that refused; or the reason for which an account is refused everything.
            route: The rule that the request matched.
            scope: The scope of the request.

        Raises:
            BadRequest: As `charge`.
            Exception: From a callable of the rule, or of an inner application.
        """
        reason, decision = (why, None) if isinstance(why, Reason) else (why.reason, why)
        if reason is not Reason.UNKNOWN_ACCOUNT:
            return self.problems.standing(reason) if decision is None else self.problems.refused(decision)
        if decision is not None:
            rendered = self._lowest_tier_denial(route, scope)
            if rendered is not None:
                return self.problems.refused(decision, rendered)
        inner = inner_refusal(self._app, scope, self._enforcer.policy)
        return replace(inner or self.problems.standing(reason), decision=decision)

    def _lowest_tier_denial(self, route: Route, scope: Scope) -> Decision | None:
        """Return the decision by which a rule refuses the lowest tier; costs are computed only if features allow it."""
        denial = lowest_tier_denial(self._enforcer.policy, route.requires, {})
        if denial is not None:
            return denial
        costs = costs_of(route.consumes, scope, route)
        meter_scope = scope_of(route, scope, route)
        try:
            return lowest_tier_denial(self._enforcer.policy, (), costs, meter_scope)
        except ValueError as error:
            check_scope_error(error, route, meter_scope)
            raise

    def error_refusal(self, error: Exception, what: object, account: Handle) -> Refusal:
        """Return the answer to *what* could not be decided: 400 for a bad request, else 503, which is logged."""
        if isinstance(error, BadRequest):
            return self.problems.bad_request()
        if isinstance(error, KeyReused):
            return self.problems.key_reused()
        _log.error(
            "charge failed for %s; request refused with 503\n%s",
            what,
            redacted_traceback(error, account.id),
            extra={"charge": what, "error": type(error).__name__},
        )
        return self.problems.unavailable()

    def ambiguous_path(self) -> Refusal:
        """Return the answer to a request of which another spelling of the path falls under another rule."""
        _log.info("bad request: another spelling of the path falls under another rule")
        return self.problems.ambiguous_path()

    def error_answer(self, error: Exception) -> tuple[Refusal, Headers]:
        """Return the answer to one of `REFUSED_ERRORS` that an endpoint raised, and its rate limit headers."""
        return error_refusal(error, self.problems), error_headers(error, self.style)

    def is_refundable(self, receipt: Receipt) -> bool:
        """Return True if a failed request refunds the charge; one of rates alone, and that of a repeat, stays spent."""
        if self.reads_keys and receipt.replayed:
            return False
        return receipt.operation is not None or self.refund_rates

    def has_refundable_limit(self, route: Route) -> bool:
        """Return True if a rule consumes a limit whose units a failed request refunds."""
        limits = self._enforcer.policy.limits
        return self.refund_rates or not all(isinstance(limits.get(name), Rate) for name in route.consumes)

    def response_headers(self, decisions: Iterable[Decision], status: int) -> Headers:
        """Return the headers of a response; a status in `refund_on` shows the usage after the refund."""
        if status in self._refund_on:
            return self.encoder.after_refund(decisions, rates=self.refund_rates)
        return self.encoder.of_all(decisions)

    def refunds(self, status: int | None) -> bool:
        """Return True if a response with this status is that of a failed request; None if it has not started."""
        return status is None or status in self._refund_on

    def should_refund(
        self, response: ResponseProgress, raised: BaseException | None = None, *, cancelled: bool = False
    ) -> bool:
        """
        Return True if a request failed.

        A client that disconnects during a response has received a part of it. An error or a
        cancellation that follows from that does not count as a failure.

        Args:
            response: The progress of its response.
            raised: The error that the application raised.
            cancelled: True if that error is a cancellation.
        """
        if response.status is None or response.status in self._refund_on:
            return True
        if raised is None or response.is_complete:
            return False
        return not (response.is_disconnected or cancelled)


def log_refund_error(error: Exception, account: Any) -> None:
    """Log the error of a refund; the response stays as it is."""
    _log.error(
        "refund of a failed request failed\n%s",
        redacted_traceback(error, account),
        extra={"error": type(error).__name__},
    )
