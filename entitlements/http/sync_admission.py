"""Admission of requests on threads: what the middlewares of WSGI, Flask and Django share."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.enforcer import Enforcer
from entitlements.http.account_scope import attach, attached, load_refusal, lookup_refusal
from entitlements.http.admission import log_refund_error
from entitlements.http.endpoint_rules import decide_endpoint
from entitlements.http.fast_path import FastPath
from entitlements.http.identify import check_identify
from entitlements.http.metered_request import MeteredRequest
from entitlements.http.middleware_options import MiddlewareOptions, build_admission
from entitlements.http.problems import Refusal
from entitlements.http.questions import run_sync
from entitlements.http.refusals import check_on_denied, log_denied_error
from entitlements.http.routes import route_of
from entitlements.http.settling import RequestReservation
from entitlements.model.answers import Outcome
from entitlements.model.callables import described_result, is_async

if TYPE_CHECKING:
    from entitlements.http.current import Handle
    from entitlements.http.identify import Identify
    from entitlements.http.questions import ChargeCall
    from entitlements.http.routes import Route
    from entitlements.http.types import Scope
    from entitlements.model.charge import Charge
    from entitlements.model.decision import Decision
    from entitlements.rules.planning import PreparedCharge


class SyncAdmission:
    """
    Admits requests with an `Enforcer`, refunds those that fail, and settles those that reserved an estimate.

    Args:
        app: The application, whose own refusals unknown accounts get.
        enforcer: The enforcer.
        identify: Returns the account of a scope: an id, an `Account` or None.
        options: The options of a middleware.

    Raises:
        TypeError: If `identify` is async or not callable, or the enforcer is one for event loops.
        ValueError: If a rule can never match, or names something that the policy does not define.
    """

    def __init__(
        self, app: object, *, enforcer: Enforcer, identify: Identify, **options: Unpack[MiddlewareOptions]
    ) -> None:
        check_identify(identify)
        if is_async(identify):
            raise TypeError(f"identify {identify!r} is async, and no event loop runs here; write a plain function")
        self._enforcer = check_sync_enforcer(enforcer)
        self._identify = identify
        self._on_denied = check_on_denied(options.pop("on_denied", None))
        self.table, self.admission = build_admission(app, enforcer, **options)
        self._fast_path = FastPath(
            enforcer, self.admission.encoder,
            refund_rates=self.admission.refund_rates, reads_keys=self.admission.reads_keys,
        )  # fmt: skip

    def admit(self, scope: Scope) -> MeteredRequest:
        """Find the account of a request and decide it."""
        admission = self.admission
        route = route_of(self.table, scope)
        if route is None:
            return MeteredRequest(admission, scope, refusal=admission.ambiguous_path())
        if route.exempt:
            return MeteredRequest(admission, scope)
        found = attached(scope, self._enforcer, self._identify) or self._find(scope)
        if isinstance(found, Refusal):
            return MeteredRequest(admission, scope, refusal=found)
        if route.settles:
            reserved = RequestReservation(self._enforcer, route)
            verdict = run_sync(admission.decide(found, route, scope), reserved.reserve_sync)
            return MeteredRequest(admission, scope, *verdict, reserved=reserved)
        fixed = self._fast_path.prepared(found, route)
        if fixed is not None:
            admitted = self._admit_prepared(found, route, scope, *fixed)
            if admitted is not None:
                return admitted
        return MeteredRequest(admission, scope, *run_sync(admission.decide(found, route, scope), self._consume))

    def _admit_prepared(
        self, found: Handle, route: Route, scope: Scope, prepared: PreparedCharge, order: Charge
    ) -> MeteredRequest | None:
        """Decide a request by the prepared charge of its route; None if the account is outdated."""
        enforcer, path, admission = self._enforcer, self._fast_path, self.admission
        try:
            if prepared.counted:
                charged = enforcer._charge_counted(prepared, order, found._resolved)
                if charged is None:
                    return None
                order, operation, answer = charged
            else:
                operation, answer = None, enforcer._store.execute(order)  # type: ignore[assignment]
                if (type(answer) is not Outcome or answer[6]) and enforcer._is_outdated(found._resolved, answer):
                    return None
            headers = path.headers(prepared, answer)
            decide = partial(prepared.decide, order.account, answer, enforcer._via, operation, order.scope)
            if headers is not None:
                return MeteredRequest(admission, scope, admitted=(headers, decide if prepared.counted else None))
            decision = decide()
            if enforcer._hooks.enabled:
                enforcer._hooks.consumed(decision, answer)
        except Exception as error:  # noqa: BLE001 - a store failed: no request passes uncounted
            return MeteredRequest(admission, scope, refusal=admission.error_refusal(error, route, found))
        return MeteredRequest(admission, scope, *admission.verdict(decision, found, route, scope))

    def charge(self, request: MeteredRequest, rule: Route, given: Any, where: str = "") -> Decision | None:
        """
        Decide the rule of an endpoint, as a part of its request.

        Raises:
            AccountRequired: For a request without an account.
            Exception: As `decide_endpoint`.
        """
        decision = run_sync(decide_endpoint(request.require_account(), rule, given, where), self._consume)
        if decision is not None:
            request.add(decision)
        return decision

    def settle(self, request: MeteredRequest, raised: BaseException | None = None) -> None:
        """Refund the charges of a request that has ended, if it failed, and settle what it reserved."""
        end = request.take_end(raised)
        for decision in end.refunds:
            try:
                self._enforcer.refund(decision, rates=self.admission.refund_rates)
            except Exception as error:  # noqa: BLE001 - any error of the store
                log_refund_error(error, decision.account)
        if end.reserved is not None:
            end.reserved.settle_sync(failed=end.failed)

    def custom_answer(self, request: MeteredRequest) -> Any:
        """Return what `on_denied` returns for a refused request; None for the problem document, also if it fails."""
        assert request.refusal is not None
        try:
            return self._on_denied and self._on_denied(request.scope, request.refusal)
        except Exception as error:  # noqa: BLE001 - the problem document is an answer too
            log_denied_error(error, request.refusal)
            return None

    def _find(self, scope: Scope) -> Handle | Refusal:
        problems = self.admission.problems
        try:
            identity = self._identify(scope)
            if type(identity) is not str and inspect.isawaitable(identity):
                raise TypeError(f"identify: {described_result(self._identify, identity)}; write a plain function")  # noqa: TRY301
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any error refuses the request
            return lookup_refusal(error, None, problems)
        if identity is None:
            return problems.account_required()
        try:
            return attach(scope, self._enforcer, self._enforcer.account(identity), self._identify, problems)
        except Exception as error:  # noqa: BLE001 - any error of the account source
            return load_refusal(error, identity, problems)

    def _consume(self, call: ChargeCall) -> Decision:
        account, what, n, scope, key = call
        return self._enforcer.consume(account, what, n, key=key, scope=scope)


def check_sync_enforcer(enforcer: object) -> Enforcer:
    """
    Return *enforcer* if a thread can use it.

    Raises:
        TypeError: If it is for event loops, or is not an enforcer.
    """
    if isinstance(enforcer, AsyncEnforcer):
        raise TypeError(
            "an AsyncEnforcer needs an event loop, and none runs here; pass Enforcer(policy, accounts=..., store=...)"
        )
    if not isinstance(enforcer, Enforcer):
        raise TypeError(f"enforcer {enforcer!r} is not one; pass Enforcer(policy, accounts=..., store=...)")
    return enforcer
