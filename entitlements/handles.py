"""The verbs bound to one account: what a request handler is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import NotIncluded
    from entitlements.model.policy import Value
    from entitlements.model.usage import Period, Usage
    from entitlements.reservations import AsyncReservation, Reservation
    from entitlements.resolved_cache import ResolvedAccount
    from entitlements.rules.planning import Wanted
    from entitlements.rules.steps import Step
    from entitlements.tiering.changes import ChangePreview
    from entitlements.tiering.health import Health
    from entitlements.tiering.reviews import Review
    from entitlements.tiering.sla import ServiceLevel
    from entitlements.tiering.triggers import FeatureRequest
    from entitlements.tiering.uptime import Uptime


class BoundAccount:
    """
    An enforcer's verbs without the account; each is documented there.

    Args:
        enforcer: Whose verbs.
        account: The account, or its id.
    """

    __slots__ = ("_enforcer", "account", "id")

    def __init__(self, enforcer: Enforcer, account: str | Account) -> None:
        self._enforcer = enforcer
        self.account = account
        self.id = account if isinstance(account, str) else account.id

    def __repr__(self) -> str:
        """Return whose verbs these are."""
        return f"<BoundAccount {self.id!r}>"

    def can(self, feature: str) -> bool:
        """Same as `Enforcer.can`, for this account."""
        return self._enforcer.can(self.account, feature)

    def decide(self, feature: str) -> Decision:
        """Same as `Enforcer.decide`, for this account."""
        return self._enforcer.decide(self.account, feature)

    def value(self, key: str) -> Value | NotIncluded:
        """Same as `Enforcer.value`, for this account."""
        return self._enforcer.value(self.account, key)

    def entitlements(self) -> Entitlements:
        """Same as `Enforcer.entitlements`, for this account."""
        return self._enforcer.entitlements(self.account)

    def sla(self, priority: str) -> ServiceLevel:
        """Same as `Enforcer.sla`, for this account."""
        return self._enforcer.sla(self.account, priority)

    def uptime(self) -> Uptime:
        """Same as `Enforcer.uptime`, for this account."""
        return self._enforcer.uptime(self.account)

    def health(self, measured: Mapping[str, object] | None = None) -> Health:
        """Same as `Enforcer.health`, for this account."""
        return self._enforcer.health(self.account, measured)

    def consume(self, what: Wanted, n: int = 1, *, key: str | None = None, scope: str | None = None) -> Decision:
        """Same as `Enforcer.consume`, for this account."""
        return self._enforcer.consume(self.account, what, n, key=key, scope=scope)

    def step(self, limit: str) -> None:
        """Return None: what may block has nothing ready to be asked without a verb."""

    def peek(self, what: Wanted, n: int = 1, *, scope: str | None = None) -> Decision:
        """Same as `Enforcer.peek`, for this account."""
        return self._enforcer.peek(self.account, what, n, scope=scope)

    def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """Same as `Enforcer.refund`, for this account."""
        return self._enforcer.refund(decision, rates=rates)

    def reserve(self, what: Wanted, n: int = 1, *, ttl: float | timedelta = 60, key: str | None = None) -> Reservation:
        """Same as `Enforcer.reserve`, for this account."""
        return self._enforcer.reserve(self.account, what, n, ttl=ttl, key=key)

    def reservation(self, id: str) -> Reservation:
        """Same as `Enforcer.reservation`, for this account."""
        return self._enforcer.reservation(self.account, id)

    def assign(self, limit: str, holder: str) -> Decision:
        """Same as `Enforcer.assign`, for this account."""
        return self._enforcer.assign(self.account, limit, holder)

    def unassign(self, limit: str, holder: str) -> bool:
        """Same as `Enforcer.unassign`, for this account."""
        return self._enforcer.unassign(self.account, limit, holder)

    def release(self, limit: str, amount: int = 1) -> int:
        """Same as `Enforcer.release`, for this account."""
        return self._enforcer.release(self.account, limit, amount)

    def holders(self, limit: str) -> tuple[str, ...]:
        """Same as `Enforcer.holders`, for this account."""
        return self._enforcer.holders(self.account, limit)

    def set_usage(self, limit: str, total: int) -> Usage:
        """Same as `Enforcer.set_usage`, for this account."""
        return self._enforcer.set_usage(self.account, limit, total)

    def usage(self, *, scope: str | None = None) -> dict[str, Usage]:
        """Same as `Enforcer.usage`, for this account."""
        return self._enforcer.usage(self.account, scope=scope)

    def history(self, limit: str) -> tuple[Period, ...]:
        """Same as `Enforcer.history`, for this account."""
        return self._enforcer.history(self.account, limit)

    def plan_change(self, to: str, *, at: datetime | None = None) -> ChangePreview:
        """Same as `Enforcer.plan_change`, for this account."""
        return self._enforcer.plan_change(self.account, to, at=at)

    def review(self, *, requests: Iterable[FeatureRequest] = (), events: Iterable[str] = ()) -> Review:
        """Same as `Enforcer.review`, for this account."""
        return self._enforcer.review(self.account, requests=requests, events=events)

    def forget(self) -> None:
        """Same as `Enforcer.forget`, for this account."""
        self._enforcer.forget(self.account)

    def refresh(self) -> None:
        """Same as `Enforcer.refresh`, for this account."""
        self._enforcer.refresh(self.account)


class AsyncBoundAccount:
    """
    Same as `BoundAccount` for an event loop; `can`, `value`, `decide` and `entitlements` are plain calls.

    Args:
        enforcer: Whose verbs.
        account: The account, or its id.
        kept: What was loaded for it.
    """

    __slots__ = ("_enforcer", "_kept", "account")

    def __init__(self, enforcer: AsyncEnforcer, account: str | Account, kept: ResolvedAccount) -> None:
        self._enforcer = enforcer
        self._kept = kept
        self.account = account

    @property
    def id(self) -> str:
        """The account's id."""
        return self.account if isinstance(self.account, str) else self.account.id

    def __repr__(self) -> str:
        """Return whose verbs these are."""
        return f"<AsyncBoundAccount {self.id!r}>"

    def can(self, feature: str) -> bool:
        """Same as `AsyncEnforcer.can`, for this account."""
        return self._enforcer.can_plainly(self.entitlements(), feature)

    def decide(self, feature: str) -> Decision:
        """Same as `AsyncEnforcer.decide`, for this account."""
        return self._enforcer.decide_plainly(self.entitlements(), feature)

    def value(self, key: str) -> Value | NotIncluded:
        """Same as `AsyncEnforcer.value`, for this account."""
        return self.entitlements().value(key)

    def entitlements(self) -> Entitlements:
        """Same as `AsyncEnforcer.entitlements`, for this account."""
        self._kept = self._enforcer.again(self.account, self._kept)
        return self._kept.entitlements

    async def sla(self, priority: str) -> ServiceLevel:
        """Same as `AsyncEnforcer.sla`, for this account."""
        return await self._enforcer.sla(self.account, priority)

    async def uptime(self) -> Uptime:
        """Same as `AsyncEnforcer.uptime`, for this account."""
        return await self._enforcer.uptime(self.account)

    async def health(self, measured: Mapping[str, object] | None = None) -> Health:
        """Same as `AsyncEnforcer.health`, for this account."""
        return await self._enforcer.health(self.account, measured)

    def step(self, limit: str) -> Step[Decision] | None:
        """
        Return what consumes one unit of a rate; None where that has not been made yet.

        For a handle that was made just now: it does not look whether the account has changed since.
        """
        return self._kept.ready.get(limit)

    async def consume(self, what: Wanted, n: int = 1, *, key: str | None = None, scope: str | None = None) -> Decision:
        """Same as `AsyncEnforcer.consume`, for this account."""
        return await self._enforcer.consume(self.account, what, n, key=key, scope=scope)

    async def peek(self, what: Wanted, n: int = 1, *, scope: str | None = None) -> Decision:
        """Same as `AsyncEnforcer.peek`, for this account."""
        return await self._enforcer.peek(self.account, what, n, scope=scope)

    async def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """Same as `AsyncEnforcer.refund`, for this account."""
        return await self._enforcer.refund(decision, rates=rates)

    def reserve(
        self, what: Wanted, n: int = 1, *, ttl: float | timedelta = 60, key: str | None = None
    ) -> AsyncReservation:
        """Same as `AsyncEnforcer.reserve`, for this account."""
        return self._enforcer.reserve(self.account, what, n, ttl=ttl, key=key)

    def reservation(self, id: str) -> AsyncReservation:
        """Same as `AsyncEnforcer.reservation`, for this account."""
        return self._enforcer.reservation(self.account, id)

    async def assign(self, limit: str, holder: str) -> Decision:
        """Same as `AsyncEnforcer.assign`, for this account."""
        return await self._enforcer.assign(self.account, limit, holder)

    async def unassign(self, limit: str, holder: str) -> bool:
        """Same as `AsyncEnforcer.unassign`, for this account."""
        return await self._enforcer.unassign(self.account, limit, holder)

    async def release(self, limit: str, amount: int = 1) -> int:
        """Same as `AsyncEnforcer.release`, for this account."""
        return await self._enforcer.release(self.account, limit, amount)

    async def holders(self, limit: str) -> tuple[str, ...]:
        """Same as `AsyncEnforcer.holders`, for this account."""
        return await self._enforcer.holders(self.account, limit)

    async def set_usage(self, limit: str, total: int) -> Usage:
        """Same as `AsyncEnforcer.set_usage`, for this account."""
        return await self._enforcer.set_usage(self.account, limit, total)

    async def usage(self, *, scope: str | None = None) -> dict[str, Usage]:
        """Same as `AsyncEnforcer.usage`, for this account."""
        return await self._enforcer.usage(self.account, scope=scope)

    async def history(self, limit: str) -> tuple[Period, ...]:
        """Same as `AsyncEnforcer.history`, for this account."""
        return await self._enforcer.history(self.account, limit)

    async def plan_change(self, to: str, *, at: datetime | None = None) -> ChangePreview:
        """Same as `AsyncEnforcer.plan_change`, for this account."""
        return await self._enforcer.plan_change(self.account, to, at=at)

    async def review(self, *, requests: Iterable[FeatureRequest] = (), events: Iterable[str] = ()) -> Review:
        """Same as `AsyncEnforcer.review`, for this account."""
        return await self._enforcer.review(self.account, requests=requests, events=events)

    async def forget(self) -> None:
        """Same as `AsyncEnforcer.forget`, for this account."""
        await self._enforcer.forget(self.account)

    async def refresh(self) -> None:
        """Same as `AsyncEnforcer.refresh`, for this account."""
        await self._enforcer.refresh(self.account)
        self._kept = await self._enforcer.kept(self.account)
