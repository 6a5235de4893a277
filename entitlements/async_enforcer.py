"""
`AsyncEnforcer`: every verb, for an event loop.

The same steps of `rules/steps.py` as `Enforcer`, awaited. A bound handle and the
module-level `can` answer plain calls from what is loaded, and never do I/O.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar
from zoneinfo import ZoneInfo

from entitlements.accounts import open_async_accounts
from entitlements.clock import check_clock, monotonic, system_clock
from entitlements.handles import AsyncBoundAccount
from entitlements.hooks import Hooks
from entitlements.model.charge import Verb
from entitlements.model.events import Reloaded
from entitlements.model.instants import check_duration
from entitlements.model.policy import Policy
from entitlements.policy.watcher import PolicyFiles, PollingClock
from entitlements.refunds import RefundGuard
from entitlements.reservations import AsyncReservation
from entitlements.resolved_cache import (
    ResolvedAccount,
    ResolvedCache,
    account_id,
    check_policy,
    new_operation_id,
    no_accounts_error,
    require_account,
    try_reload,
)
from entitlements.rules import reservations, steps
from entitlements.stores import AsyncMemoryStore, guard_async_store, open_async_store
from entitlements.stores.pending import Failed
from entitlements.tiering.health import Health, health, scores_in
from entitlements.tiering.preview import preview
from entitlements.tiering.reviews import quota_names, review
from entitlements.tiering.sla import ServiceLevel, service_level
from entitlements.tiering.triggers import MeasuredUsage
from entitlements.tiering.uptime import Uptime, uptime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from os import PathLike
    from types import TracebackType

    from entitlements.model.account import Account
    from entitlements.model.answers import Answer
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import NotIncluded
    from entitlements.model.policy import Value
    from entitlements.model.usage import Period, Usage
    from entitlements.ports import Accounts, AsyncAccounts, AsyncStore, Clock, Hook, Store
    from entitlements.rules.planning import Wanted
    from entitlements.tiering.changes import ChangePreview
    from entitlements.tiering.reviews import Review
    from entitlements.tiering.triggers import FeatureRequest

    Commit = Callable[[str, int | Mapping[str, int] | None], Awaitable[None]]
    Cancel = Callable[[str], Awaitable[None]]

R = TypeVar("R")


class AsyncEnforcer:
    """
    Same as `Enforcer` for an event loop; safe from any task.

    Args:
        policy: The policy in force.
        accounts: As `Enforcer` takes them, or anything with an async `find(id)`; a
            source that blocks runs in a thread.
        store: `memory://`, or a store for an event loop.
        clock: Tells the time in microseconds since 1970; the system's by default.
        hooks: Callables that see every event.
        expected_processes: How many processes share the limits: each takes its share of a
            rate while the store is away. `WEB_CONCURRENCY` by default, else 1.

    Raises:
        TypeError: For a store that blocks, or a policy that is not loaded.
        AccountError: For a CSV that cannot be read.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        accounts: Mapping[str, str | Account] | str | PathLike[str] | Accounts | AsyncAccounts | None = None,
        store: str | Store | AsyncStore = "memory://",
        clock: Clock | None = None,
        hooks: Iterable[Hook] = (),
        expected_processes: int | None = None,
    ) -> None:
        self._snapshots = ResolvedCache(check_policy(policy))
        self._clock = check_clock(clock or system_clock)
        self._hooks = Hooks(hooks)
        self._accounts = open_async_accounts(accounts, policy=policy, clock=clock or monotonic, listener=self._hooks)
        self._store = guard_async_store(open_async_store(store, self._clock), self._hooks.notify, expected_processes)
        self.at_once: Callable[[Any], Answer] = getattr(self._store, "at_once", _nothing)
        """From an order to what is answered without waiting; None where `beyond` must be awaited."""
        self.beyond: Callable[[Any], Awaitable[Any]] = getattr(self._store, "beyond", self._store.execute)
        """From an order that `at_once` has no answer to, to what brings it; raises `Failed` where `after` goes on."""
        self.after: Callable[[Any, Failed], Awaitable[Any]] = getattr(self._store, "after", _raised)
        self._via = self._store.via
        self._refunded = RefundGuard()

    def __repr__(self) -> str:
        """Return the policy and the store."""
        return f"<{type(self).__name__} under {self._snapshots.policy!r}, counting in {self._store.via}>"

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._snapshots.policy

    @property
    def via(self) -> str:
        """Where it counts, as `Decision.via` has it: `memory` or `store`."""
        return self._store.via

    @property
    def waits(self) -> bool:
        """Whether a charge may have to wait for the store; the embedded one answers at once."""
        return not isinstance(self._store, AsyncMemoryStore)

    @property
    def listening(self) -> bool:
        """Whether any hook is told of decisions."""
        return self._hooks.enabled

    # -- what the account may do -------------------------------------------------------

    async def can(self, account: str | Account, feature: str) -> bool:
        """Same as `Enforcer.can`."""
        kept = self._snapshots.by_id.get(account) if isinstance(account, str) else None
        if kept is None or not kept.since <= self._clock() < kept.until:
            kept = await self._kept(account)
        return self.can_plainly(kept.entitlements, feature)

    async def decide(self, account: str | Account, feature: str) -> Decision:
        """Same as `Enforcer.decide`."""
        return self._told("decide", steps.decide(await self.entitlements(account), feature))

    async def value(self, account: str | Account, key: str) -> Value | NotIncluded:
        """Same as `Enforcer.value`."""
        return (await self.entitlements(account)).value(key)

    async def entitlements(self, account: str | Account) -> Entitlements:
        """Same as `Enforcer.entitlements`."""
        return (await self._kept(account)).entitlements

    # -- what service it is owed -------------------------------------------------------

    async def sla(self, account: str | Account, priority: str) -> ServiceLevel:
        """Same as `Enforcer.sla`."""
        return service_level(await self.entitlements(account), priority, ZoneInfo)

    async def uptime(self, account: str | Account) -> Uptime:
        """Same as `Enforcer.uptime`."""
        return uptime(await self.entitlements(account))

    async def health(self, account: str | Account, measured: Mapping[str, object] | None = None) -> Health:
        """Same as `Enforcer.health`."""
        kept = await self._kept(account)
        if measured is None:
            measured = scores_in(kept.entitlements, kept.account.attributes if kept.account else {})
        return health(kept.entitlements, measured)

    # -- how much, how fast ------------------------------------------------------------

    async def consume(
        self, account: str | Account, what: Wanted, n: int = 1, *, key: str | None = None, scope: str | None = None
    ) -> Decision:
        """Same as `Enforcer.consume`."""
        if key is None and scope is None:
            kept = self._snapshots.by_id.get(account) if type(account) is str else None
            if kept is None or not kept.since <= self._clock() < kept.until:
                kept = await self._kept(account)
            step = steps.ready(kept.ready, what, n)
            if step is not None:
                if step.order is None:
                    return await self._run(step)
                answer = self.at_once(step.order)
                if answer is None:
                    try:
                        answer = await self.beyond(step.order)
                    except Failed as failed:
                        answer = await self.after(step.order, failed)
                return self.finished(step, answer)
        return await self._charge(account, Verb.CONSUME, what, n, key=key, scope=scope)

    async def peek(self, account: str | Account, what: Wanted, n: int = 1, *, scope: str | None = None) -> Decision:
        """Same as `Enforcer.peek`."""
        return await self._charge(account, Verb.PEEK, what, n, scope=scope)

    async def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """Same as `Enforcer.refund`."""
        step = steps.refund(decision, rates=rates)
        if step is None or not self._refunded.claim(decision):
            return False
        with self._refunded.unclaim_if_undone(decision):
            return await self._run(step)

    def reserve(
        self, account: str | Account, what: Wanted, n: int = 1, *, ttl: float | timedelta = 60, key: str | None = None
    ) -> AsyncReservation:
        """Same as `Enforcer.reserve`."""
        lasts = check_duration(ttl, "ttl")
        held: dict[str, int] = {}
        lapses: list[int] = []

        async def reserve() -> tuple[Decision, str, int]:
            held.update(reservations.reserved_units(await self.entitlements(account), what, n))
            decision = await self._charge(account, Verb.RESERVE, what, n, key=key, ttl=lasts)
            lapses[:] = [decision.decided_at + lasts]
            return decision, decision.operation or "", lasts

        return AsyncReservation(reserve, *self._settling(account, held, lapses))

    def reservation(self, account: str | Account, id: str) -> AsyncReservation:
        """Same as `Enforcer.reservation`."""
        return AsyncReservation(None, *self._settling(account, None), id=reservations.check_reservation_id(id))

    async def assign(self, account: str | Account, limit: str, holder: str) -> Decision:
        """Same as `Enforcer.assign`."""
        operation = new_operation_id()
        return await self._run(steps.assign(await self.entitlements(account), self._clock(), limit, holder, operation))

    async def unassign(self, account: str | Account, limit: str, holder: str) -> bool:
        """Same as `Enforcer.unassign`."""
        return await self._run(steps.unassign(await self.entitlements(account), limit, holder))

    async def release(self, account: str | Account, limit: str, amount: int = 1) -> int:
        """Same as `Enforcer.release`."""
        return await self._run(steps.release(await self.entitlements(account), limit, amount))

    async def holders(self, account: str | Account, limit: str) -> tuple[str, ...]:
        """Same as `Enforcer.holders`."""
        return await self._run(steps.holders(await self.entitlements(account), limit))

    async def set_usage(self, account: str | Account, limit: str, total: int) -> Usage:
        """Same as `Enforcer.set_usage`."""
        return await self._run(steps.set_usage(await self.entitlements(account), self._clock(), limit, total))

    async def usage(self, account: str | Account, *, scope: str | None = None) -> dict[str, Usage]:
        """Same as `Enforcer.usage`."""
        return await self._run(steps.usage(await self.entitlements(account), self._clock(), scope))

    async def history(self, account: str | Account, limit: str) -> tuple[Period, ...]:
        """Same as `Enforcer.history`."""
        return await self._run(steps.history(await self.entitlements(account), self._clock(), limit))

    async def forget(self, account: str | Account) -> None:
        """Same as `Enforcer.forget`."""
        id = account_id(account)
        await self._run(steps.forget(id))
        await self.refresh(id)

    # -- moving between tiers ------------------------------------------------------------

    async def plan_change(self, account: str | Account, to: str, *, at: datetime | None = None) -> ChangePreview:
        """Same as `Enforcer.plan_change`."""
        kept = await self._kept(account)
        known, usage = require_account(kept), await self.usage(account)
        return preview(kept.entitlements.policy, known, to, now=self._clock(), usage=usage, at=at)

    async def review(
        self, account: str | Account, *, requests: Iterable[FeatureRequest] = (), events: Iterable[str] = ()
    ) -> Review:
        """Same as `Enforcer.review`."""
        kept = await self._kept(account)
        known, usage = require_account(kept), await self.usage(account)
        history = {name: await self.history(account, name) for name in quota_names(kept.entitlements.policy)}
        measured = MeasuredUsage(usage, history)
        return review(
            kept.entitlements.policy, known, now=self._clock(),
            measured=measured, requests=requests, events=events,
        )  # fmt: skip

    # -- upkeep ------------------------------------------------------------------------

    async def account(self, account: str | Account) -> AsyncBoundAccount:
        """Same as `Enforcer.account`."""
        return AsyncBoundAccount(self, account, await self._kept(account))

    async def refresh(self, account: str | Account) -> None:
        """Same as `Enforcer.refresh`."""
        id = account_id(account)
        if self._accounts is not None:
            self._accounts.refresh(id)
        self._snapshots.drop(id)

    async def reload(self, policy: Policy) -> None:
        """Same as `Enforcer.reload`."""
        self._reload(policy)

    async def watch(self, path: str | PathLike[str], *, every: float | timedelta = 5) -> None:
        """Same as `Enforcer.watch`; files are read in a thread."""
        files = await asyncio.to_thread(PolicyFiles, path)
        clock = self._clock.clock if isinstance(self._clock, PollingClock) else self._clock
        watching = PollingClock(clock, every, lambda: self._look(files))
        self._reload(files.policy)
        self._clock = watching

    def _reload(self, policy: Policy) -> None:
        # Accounts first: where they fail under it nothing has changed, and none of the old ones is kept under it.
        self._accounts = open_async_accounts(self._accounts, policy=check_policy(policy))
        before = self._snapshots.reload(policy)
        self._hooks.notify(Reloaded(before.version, policy.version))

    async def open(self) -> None:
        """
        Connect to a networked store now, rather than at the first charge.

        Raises:
            StoreError: Where it cannot be reached, or is too old.
        """
        opening = getattr(self._store, "open", None)
        if opening is not None:
            await opening()

    async def aclose(self) -> None:
        """Same as `Enforcer.close`."""
        await self._store.aclose()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    # -- plain calls, from what is loaded ----------------------------------------------

    def loaded(self, account: str | Account) -> Entitlements:
        """
        Return what is resolved for an account that is loaded here, without any I/O.

        Raises:
            NotLoaded: For an account that no call has awaited lately.
        """
        now = self._clock()
        if not isinstance(account, str):
            return self._snapshots.resolve(account, now).entitlements
        return self._snapshots.get_loaded(account, now).entitlements

    def known(self, id: str) -> AsyncBoundAccount | None:
        """Return the handle of an account that is loaded here and fresh; None where `account` must be awaited."""
        kept = self._snapshots.by_id.get(id)
        if kept is None or not kept.since <= self._clock() < kept.until:
            return None
        return AsyncBoundAccount(self, id, kept)

    def again(self, account: str | Account, kept: ResolvedAccount) -> ResolvedAccount:
        """Return *kept*, resolved once more where the clock or the policy has moved on."""
        if not isinstance(account, str):
            return self._snapshots.resolve(account, self._clock())
        return self._snapshots.revalidated(kept, account, self._clock())

    async def kept(self, account: str | Account) -> ResolvedAccount:
        """Return what is resolved for the account, loaded if need be."""
        return await self._kept(account)

    def can_plainly(self, entitlements: Entitlements, feature: str) -> bool:
        """Answer `can` from what is resolved."""
        if self._hooks.enabled:
            return self._told("can", steps.decide(entitlements, feature)).allowed
        return entitlements.can(feature)

    def decide_plainly(self, entitlements: Entitlements, feature: str) -> Decision:
        """Answer `decide` from what is resolved."""
        return self._told("decide", steps.decide(entitlements, feature))

    # -- the shell ---------------------------------------------------------------------

    def _look(self, files: PolicyFiles) -> None:
        """Look at the files of the policy, in a thread where there is a loop to come back to."""
        try:
            looking = asyncio.get_running_loop().run_in_executor(None, files.poll)
        except RuntimeError:  # a plain call outside of any loop, or a loop that is shutting down
            files.poll()
            files.deliver(partial(self._became, files.path))
        else:
            looking.add_done_callback(partial(self._looked, files))

    def _looked(self, files: PolicyFiles, looking: asyncio.Future[None]) -> None:
        if not looking.cancelled():
            looking.result()
        files.deliver(partial(self._became, files.path))

    def _became(self, path: str, found: Policy | str) -> None:
        """Put what the files of the policy have become in force, or tell why not."""
        problem = found if isinstance(found, str) else try_reload(found, self._reload)
        if problem is not None:
            self._hooks.reload_failed(path, problem)

    async def _kept(self, account: str | Account) -> ResolvedAccount:
        now = self._clock()
        if not isinstance(account, str):
            return self._snapshots.resolve(account, now)
        kept = self._snapshots.by_id.get(account)
        if kept is not None and kept.since <= now < kept.until:
            return kept
        if self._accounts is None:
            raise no_accounts_error(account_id(account))
        epoch = self._snapshots.epoch
        loaded = await self._accounts.load(account_id(account))
        return self._snapshots.put(account, loaded.account, now, loaded.fresh_for, epoch)

    async def _charge(self, account: str | Account, verb: Verb, what: Wanted, n: int, **named: Any) -> Decision:
        entitlements = (await self._kept(account)).entitlements
        return await self._run(
            steps.charge(entitlements, self._clock(), verb, what, n, operation=new_operation_id(), **named)
        )

    async def _run(self, step: steps.Step[R]) -> R:
        if step.order is None:
            return self._noted(step, step.finish(None, "static"), None)
        answer = await self._store.execute(step.order)
        if steps.is_stale(answer):
            again = steps.repeat(step.order, answer, step.anchor)
            answer = steps.fresh(await self._store.execute(again))
        return self._noted(step, step.finish(answer, self._store.via), answer)

    def finished(self, step: steps.Step[R], answer: Answer) -> R:
        """Return the result of a step that was asked `at_once` or `beyond`, and tell of it."""
        result = step.finish(answer, self._via)
        return self._noted(step, result, answer) if self._hooks.enabled else result

    def _noted(self, step: steps.Step[R], result: R, answer: Any) -> R:
        if self._hooks.enabled:
            if step.verb:
                self._hooks.notify_decision(step.verb, result, answer)  # type: ignore[arg-type]
            for event in step.events(result):
                self._hooks.notify(event)
        return result

    def _told(self, verb: str, decision: Decision) -> Decision:
        if self._hooks.enabled:
            self._hooks.notify_decision(verb, decision)
        return decision

    def _settling(
        self, account: str | Account, held: Mapping[str, int] | None, lapses: Sequence[int] = ()
    ) -> tuple[Commit, Cancel]:
        async def commit(id: str, n: int | Mapping[str, int] | None) -> None:
            lapses_at = lapses[0] if lapses else None
            entitlements = await self.entitlements(account)
            await self._run(reservations.commit(entitlements, self._clock(), id, held, n, lapses_at=lapses_at))

        async def cancel(id: str) -> None:
            await self._run(reservations.cancel(account_id(account), id))

        return commit, cancel


def _nothing(_: object) -> None:
    """Know nothing without waiting."""


async def _raised(_: object, failed: Failed) -> None:
    raise failed.error
