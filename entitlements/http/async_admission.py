"""Admission of requests on event loops, for frameworks with a request and response of their own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Unpack

from entitlements.http.account_lookup import AccountFinder, check_enforcer
from entitlements.http.endpoint_rules import decide_endpoint
from entitlements.http.metered_request import MeteredRequest
from entitlements.http.middleware_options import MiddlewareOptions, build_admission
from entitlements.http.problems import Refusal
from entitlements.http.questions import run_async
from entitlements.http.refusals import check_on_denied, log_denied_error
from entitlements.http.request_charge import RequestCharger
from entitlements.http.routes import route_of
from entitlements.http.settling import RequestReservation
from entitlements.http.types import awaited

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.identify import Identify
    from entitlements.http.routes import Route
    from entitlements.http.types import Scope
    from entitlements.model.decision import Decision


class AsyncAdmission:
    """
    Admits requests, and refunds those that fail; see `SyncAdmission`.

    Args:
        app: The application, whose own refusals unknown accounts get.
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Returns the account of a scope: an id, an `Account` or None, sync or async.
        options: The options of a middleware.

    Raises:
        TypeError: If `identify` is not callable, or the enforcer would block the loop.
        ValueError: If a rule can never match, or names something that the policy does not define.
    """

    def __init__(
        self,
        app: object,
        *,
        enforcer: AsyncEnforcer | Enforcer,
        identify: Identify,
        **options: Unpack[MiddlewareOptions],
    ) -> None:
        self._on_denied = check_on_denied(options.pop("on_denied", None))
        self._enforcer = enforcer
        self.table, self.admission = build_admission(app, check_enforcer(enforcer), **options)
        self._finder = AccountFinder(enforcer, identify, self.admission.problems)
        self._charger = RequestCharger(enforcer, self.admission)

    async def admit(self, scope: Scope) -> MeteredRequest:
        """Find the account of a request and decide it."""
        route = route_of(self.table, scope)
        if route is None:
            return MeteredRequest(self.admission, scope, refusal=self.admission.ambiguous_path())
        if route.exempt:
            return MeteredRequest(self.admission, scope)
        found = await awaited(self._finder.find(scope))
        if isinstance(found, Refusal):
            return MeteredRequest(self.admission, scope, refusal=found)
        if route.settles:
            reserved = RequestReservation(self._enforcer, route)
            verdict = await run_async(self.admission.decide(found, route, scope), reserved.reserve)
            return MeteredRequest(self.admission, scope, *verdict, reserved=reserved)
        return MeteredRequest(self.admission, scope, *await self._charger.decide(found, route, scope))

    async def charge(self, request: MeteredRequest, rule: Route, given: Any, where: str = "") -> Decision | None:
        """
        Decide the rule of an endpoint, as a part of its request.

        Raises:
            AccountRequired: For a request without an account.
            Exception: As `decide_endpoint`.
        """
        question = decide_endpoint(request.require_account(), rule, given, where)
        decision = await run_async(question, self._charger.consume)
        if decision is not None:
            request.add(decision)
        return decision

    async def settle(self, request: MeteredRequest, raised: BaseException | None = None) -> None:
        """Refund the charges of a request that has ended, if it failed, also when it was cancelled; see `SyncAdmission`."""
        end = request.take_end(raised, cancelled=isinstance(raised, asyncio.CancelledError))
        for decision in end.refunds:
            await self._charger.refund(decision)
        if end.reserved is not None:
            await end.reserved.settle(failed=end.failed)

    async def custom_answer(self, request: MeteredRequest) -> Any:
        """Return what `on_denied` returns for a refused request; None for the problem document, also if it fails."""
        assert request.refusal is not None
        try:
            return self._on_denied and await awaited(self._on_denied(request.scope, request.refusal))
        except Exception as error:  # noqa: BLE001 - the problem document is an answer too
            log_denied_error(error, request.refusal)
            return None
