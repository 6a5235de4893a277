"""One charge around one request: taken before the application runs, given back when it comes to nothing."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.http.costs import BadRequest, costs_of, whose_fault
from entitlements.http.fast_path import FastPath
from entitlements.http.headers import HeaderStyle, RateLimitHeaders
from entitlements.http.problems import check_switch
from entitlements.http.response import Response
from entitlements.http.unknown_accounts import as_unentitled, refused_within
from entitlements.http.websocket_messages import MeteredMessages
from entitlements.model.facts import Reason
from entitlements.model.limits import Rate
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.problems import Problems, Refusal
    from entitlements.http.routes import Cost, Route
    from entitlements.http.types import Headers, Receive, Scope, Send
    from entitlements.model.decision import Decision
    from entitlements.model.facts import Receipt

_log = logging.getLogger("entitlements.http")


class RequestCharger:
    """
    Charges requests, and gives back what came to nothing.

    Args:
        app: The application, which may refuse by itself.
        enforcer: Whose verbs.
        refund_on: Statuses for which quotas and allocations come back.
        refund_rates: Whether units of rates come back with them.
        style: How responses say what is left.
        problems: How refusals read.

    Raises:
        TypeError: For *refund_rates* that is neither True nor False.
        ValueError: For what is no status.
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
    ) -> None:
        wrong = [each for each in refund_on if type(each) is not int or not 100 <= each <= 599]
        if wrong:
            raise ValueError(f"refund_on holds {wrong[0]!r}, which is no HTTP status")
        self._app = app
        self._enforcer = enforcer
        self._waits = isinstance(enforcer, AsyncEnforcer) and enforcer.waits
        check_switch("refund_rates", refund_rates)
        self._refund_on = frozenset(refund_on)
        self._refund_rates = refund_rates
        self._problems = problems
        self._refunds: set[asyncio.Future[None]] = set()
        self._headers = RateLimitHeaders(style)
        self.headers = self._headers.of
        """From a decision to what the response says of the limits that it is about."""
        self.fast_path = FastPath(enforcer, self._headers, refund_rates=refund_rates)
        """The fast path for one unit of one rate."""

    def is_refundable(self, receipt: Receipt) -> bool:
        """Say whether a charge may have to be given back: one of rates alone stays spent, unless asked."""
        return receipt.operation is not None or self._refund_rates

    def response(self, receive: Receive, send: Send, decision: Decision) -> Response:
        """Return the response to a request whose charge may have to be given back."""
        return Response(receive, send, lambda status: self._told(decision, status))

    def _told(self, decision: Decision, status: int) -> Headers:
        """Return what a response of this status says, which may bring back what it took."""
        if status in self._refund_on:
            return self._headers.after_refund(decision, rates=self._refund_rates)
        return self.headers(decision)

    async def charge(self, account: Handle, route: Route, scope: Scope) -> Decision | None:
        """
        Same as `consume` for a whole request: one that is cancelled while it waits for its charge takes nothing.

        Raises:
            Exception: As `consume`.
        """
        if not self._waits or not self._has_refundable_limit(route):  # a task costs more than all that is done here
            return await self.consume(account, route, scope)
        charge = asyncio.ensure_future(self.consume(account, route, scope))
        try:
            return await asyncio.shield(charge)
        except asyncio.CancelledError:
            self._track(asyncio.ensure_future(self._refund_cancelled(charge)))
            raise

    def _has_refundable_limit(self, route: Route) -> bool:
        """Say whether a rule takes anything that a request which comes to nothing gets back."""
        limits = self._enforcer.policy.limits
        return self._refund_rates or not all(isinstance(limits.get(name), Rate) for name in route.consumes)

    async def _refund_cancelled(self, charge: asyncio.Future[Decision | None]) -> None:
        with suppress(Exception):  # then nothing is known to be taken
            decision = await charge
            if decision is not None and decision.allowed and self.is_refundable(decision.receipt):
                await self._refund(decision)

    async def consume(
        self, account: Handle, route: Route, scope: Scope, consumes: Mapping[str, Cost] | None = None
    ) -> Decision | None:
        """
        Take the units of one request, or of one message, all or nothing; None where that is none at all.

        Raises:
            BadRequest: For units or a scope that the rule has read from the request, and that can be none.
            Exception: What a rule raises that computes something, or a store.
        """
        costs = costs_of(route.consumes if consumes is None else consumes, scope, account.id)
        if not costs:
            return None
        whose = None if route.scope is None else route.scope(scope)
        what, n = next(iter(costs.items())) if len(costs) == 1 else (costs, 1)  # of one rate a step is kept ready
        try:
            if isinstance(self._enforcer, AsyncEnforcer):
                return await self._enforcer.consume(account.account, what, n, scope=whose)
            return self._enforcer.consume(account.account, what, n, scope=whose)
        except ValueError as error:
            if route.scope is None:
                raise
            raise whose_fault(error, whose, route) from error

    def refusal(self, why: Decision | Reason, route: Route, scope: Scope) -> Refusal:
        """
        Return the answer to a refused request.

        Args:
            why: What refused, or the standing of an account of which nothing was asked.
            route: The rule.
            scope: Of the request.

        Raises:
            BadRequest: As `consume`.
            Exception: What a rule raises that computes something, or what an application within asks.
        """
        if isinstance(why, Reason):
            within = self._within(scope) if why is Reason.UNKNOWN_ACCOUNT else None
            return within or self._problems.standing(why)
        if why.reason is not Reason.UNKNOWN_ACCOUNT:
            return self._problems.refused(why)
        like = self._as_lowest(route, scope)
        if like is not None:
            return self._problems.refused(why, like)
        return replace(self._within(scope) or self._problems.standing(why.reason), decision=why)

    def _within(self, scope: Scope) -> Refusal | None:
        return refused_within(self._app, scope, self._enforcer.policy)

    def _as_lowest(self, route: Route, scope: Scope) -> Decision | None:
        """Return how a rule refuses an account of the lowest tier; nothing is computed where its features do."""
        like = as_unentitled(self._enforcer.policy, route.requires, {})
        if like is not None:
            return like
        costs = costs_of(route.consumes, scope)
        whose = None if route.scope is None else route.scope(scope)
        try:
            return as_unentitled(self._enforcer.policy, (), costs, whose)
        except ValueError as error:
            if route.scope is None:
                raise
            raise whose_fault(error, whose, route) from error

    def error_refusal(self, error: Exception, what: object, account: Handle) -> Refusal:
        """Return the answer where *what* could not be decided: a store's, a directory's or a rule's error, or the request's."""
        if isinstance(error, BadRequest):
            return self._problems.bad_request()
        _log.error(
            "%s could not be decided, and nobody is let through\n%s", what, redacted_traceback(error, account.id)
        )
        return self._problems.unavailable()

    async def refund_if_failed(
        self, response: Response, decision: Decision, raised: BaseException | None = None
    ) -> None:
        """Give back what a request took that has come to nothing."""
        if self.should_refund(response, raised):
            await self._shielded_refund(decision)

    def should_refund(self, response: Response, raised: BaseException | None = None) -> bool:
        """
        Say whether a request has come to nothing.

        A client that hangs up during a response has had a part of it: what is raised or
        cancelled for that reason gives nothing back.
        """
        if response.status is None or response.status in self._refund_on:
            return True
        if raised is None or response.is_complete:
            return False
        return not (response.is_gone or isinstance(raised, asyncio.CancelledError))

    def metered_messages(
        self, account: Handle, route: Route, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Receive, Send]:
        """Return what charges each message of a websocket, and closes it with 1008 when refused."""

        async def charge() -> str | None:
            try:
                decision = await self.consume(account, route, scope, route.messages)
            except Exception as error:  # noqa: BLE001 - a store's or a rule's error: nothing passes uncounted
                return self.error_refusal(error, f"a message on {route}", account).kind
            return None if decision is None or decision.allowed else self._problems.refused(decision).kind

        messages = MeteredMessages(receive, send, charge)
        return messages.receive, messages.send

    async def _shielded_refund(self, decision: Decision) -> None:
        """Give back, where there is anything to give, also when the request was cancelled."""
        if not self.is_refundable(decision.receipt):
            return
        await asyncio.shield(self._track(asyncio.ensure_future(self._refund(decision))))

    def _track(self, refund: asyncio.Future[None]) -> asyncio.Future[None]:
        """Hold a refund until it is done: a loop itself holds its tasks only weakly."""
        self._refunds.add(refund)
        refund.add_done_callback(self._refunds.discard)
        return refund

    async def _refund(self, decision: Decision) -> None:
        """Give back; the response stands whatever becomes of it."""
        try:
            if isinstance(self._enforcer, AsyncEnforcer):
                await self._enforcer.refund(decision, rates=self._refund_rates)
            else:
                self._enforcer.refund(decision, rates=self._refund_rates)
        except Exception as error:  # noqa: BLE001 - as above
            told = redacted_traceback(error, decision.account)
            _log.error("the units of a request that came to nothing could not be given back\n%s", told)
