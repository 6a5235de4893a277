"""
`AsyncEnforcer`: every verb, for an event loop.

It runs the same steps of `rules/steps.py` as `Enforcer`, and awaits the store. A bound handle and the
module-level `can` answer plain calls from the resolved accounts, and never do I/O.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from zoneinfo import ZoneInfo

from entitlements import advice
from entitlements.accounts import AsyncCachedAccounts, cache_size, open_async_accounts
from entitlements.async_call import require_asyncio, verbs_as_calls
from entitlements.clock import check_clock, monotonic, system_clock
from entitlements.errors import EntitlementsError
from entitlements.handles import AsyncBoundAccount
from entitlements.hooks import PERCENTS, Hooks
from entitlements.invalidations.async_listener import AsyncInvalidationListener
from entitlements.invalidations.copies import AccountCopies
from entitlements.invalidations.subscription import log_unsent
from entitlements.leases.book import LeaseBook
from entitlements.leases.loops import AsyncLeases
from entitlements.model.answers import Outcome, Outdated, Status
from entitlements.model.charge import Charge, Verb
from entitlements.model.decision_fields import receipt_of
from entitlements.model.events import AccountInvalidated, Reloaded
from entitlements.model.instants import check_duration
from entitlements.model.pickling import not_picklable
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.policy.watcher import PolicyFiles, PollingClock
from entitlements.refunds import RefundGuard
from entitlements.reservations import AsyncReservation, DetachedTasks
from entitlements.resolved_account import (
    AccountOutdated,
    ResolvedAccount,
    account_id,
    no_accounts_error,
    require_account,
    require_known,
)
from entitlements.resolved_cache import ResolvedCache, check_policy, new_operation_id, try_reload
from entitlements.rules import reservations, steps
from entitlements.rules.planning import order_of
from entitlements.rules.scopes import MAX_SCOPES, check_page, forget_scopes, holds_units, scoped_limit, scopes_after
from entitlements.rules.stale_answers import is_stale, reject_stale, with_fresh_ends
from entitlements.stores import (
    AsyncMemoryStore,
    guard_async_store,
    invalidation_sources,
    keeps_versions,
    open_async_store,
    operation_ids,
)
from entitlements.stores.closed import PartlyClosedStore
from entitlements.stores.sequence import numbered_total
from entitlements.stores.workers import processes_of
from entitlements.tiering.sla import ServiceLevel, service_level
from entitlements.tiering.uptime import Uptime, uptime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
    from datetime import datetime
    from os import PathLike
    from types import TracebackType

    from entitlements.model.account import Account
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import Limit, NotIncluded
    from entitlements.model.tier import Value
    from entitlements.model.usage import Period, Usage
    from entitlements.ports import Accounts, AsyncAccounts, AsyncStore, Clock, Hook, Store
    from entitlements.rules.planning import PreparedCharge, Wanted
    from entitlements.tiering.changes import ChangePreview
    from entitlements.tiering.health import Health
    from entitlements.tiering.reviews import Review
    from entitlements.tiering.triggers import FeatureRequest

    Commit = Callable[[str, int | Mapping[str, int] | None], Awaitable[Decision]]
    Cancel = Callable[..., Coroutine[Any, Any, None]]

R = TypeVar("R")
T = TypeVar("T")
D = TypeVar("D")
MAX_READS = 250
"""Most accounts whose usage is asked for at once."""

_STALE = Status.STALE


@not_picklable("make one in each process, of the same policy, accounts and store")
@verbs_as_calls
class AsyncEnforcer:
    """
    Decides what accounts may do, how much, and how fast, on event loops; safe from any task.

    Args:
        policy: The policy in force.
        accounts: As for `Enforcer`, or anything with an async `find(id)`; a blocking source
            runs in a thread.
        store: `memory://`, or a store for an event loop.
        clock: Returns the time in microseconds since 1970; the system's clock by default.
        hooks: Callables that take every event.
        expected_processes: The number of processes that share the limits; each takes its share of a
            rate while the store is away. `WEB_CONCURRENCY` by default, else 1.
        thresholds: Percentages of a quota or an allocation at which hooks get a `Threshold`.

    Raises:
        TypeError: For a store that blocks, or a policy that is not loaded.
        AccountError: For a CSV that cannot be read.
    """

    def __init__(
        self,
        policy: PolicyData,
        *,
        accounts: Mapping[str, str | Account] | str | PathLike[str] | Accounts | AsyncAccounts | None = None,
        store: str | Store | AsyncStore = "memory://",
        clock: Clock | None = None,
        hooks: Iterable[Hook] = (),
        expected_processes: int | None = None,
        thresholds: Iterable[int] = PERCENTS,
    ) -> None:
        check_policy(policy)
        self._clock = check_clock(clock or system_clock)
        self._hooks = Hooks(hooks, thresholds)
        self._accounts = open_async_accounts(accounts, policy=policy, clock=clock or monotonic, listener=self._hooks)
        opened = open_async_store(store, self._clock)
        self._store = guard_async_store(opened, self._hooks.notify, expected_processes)
        self._via = self._store.via
        self._refunded = RefundGuard()
        self._attends = self._hooks.listens
        """True while an answer without the store takes more than itself: hooks, a store that is closed on a loop."""
        self._numbers = operation_ids(opened)
        self._detached = DetachedTasks()
        book = LeaseBook(self._numbers, partial(processes_of, expected_processes), tell=self._hooks.on_spent)
        self._leases = AsyncLeases(book, self._execute, self._hooks, self._detached)
        self._cache = ResolvedCache(policy, max_size=cache_size(self._accounts), versioned=keeps_versions(opened))
        self._copies = AccountCopies(self._cache, self._accounts, self._reload_account, tell=self._hooks.notify)
        sources = [] if self._accounts is None else invalidation_sources(opened, self._accounts)
        self._listener = AsyncInvalidationListener(sources, self._copies) if sources else None
        self._reloads: dict[asyncio.Task[object], str] = {}

    def __repr__(self) -> str:
        """Return the policy and the store."""
        return f"<{type(self).__name__} under {self._cache.policy!r}, counting in {self._store.via}>"

    @property
    def policy(self) -> PolicyData:
        """The policy in force."""
        return self._cache.policy

    @property
    def via(self) -> str:
        """The path of counted decisions, as in `Decision.via`: `memory` or `store`."""
        return self._store.via

    # -- what the account may do -------------------------------------------------------

    async def can(self, account: str | Account, feature: str) -> bool:
        """Return True if the account has a feature, a `feature:level`, or a limit above 0; see `Enforcer.can`."""
        resolved = self._cache.by_id.get(account) if isinstance(account, str) else None
        if resolved is None or not resolved.since <= self._clock() < resolved.until:
            resolved = await self._resolve(account)
        return self._can(resolved.entitlements, feature)

    async def decide(self, account: str | Account, feature: str) -> Decision:
        """Return the answer to `can` with its reason, source, remedy and trace; never calls the store; see `Enforcer.decide`."""
        return self._hooks.decided("decide", steps.decide(await self.entitlements(account), feature))

    @overload
    async def value(self, account: str | Account, key: str) -> Value | NotIncluded: ...
    @overload
    async def value(self, account: str | Account, key: str, kind: type[T]) -> T | None: ...
    @overload
    async def value(self, account: str | Account, key: str, kind: type[T], *, default: D) -> T | D: ...
    async def value(
        self, account: str | Account, key: str, kind: type[T] | None = None, *, default: D | None = None
    ) -> Value | NotIncluded | T | D | None:
        """Return a configuration value of the account's tier; see `Entitlements.value`; see `Enforcer.value`."""
        found = await self.entitlements(account)
        return found.value(key) if kind is None else found.value(key, kind, default=default)

    async def entitlements(self, account: str | Account) -> Entitlements:
        """Return everything that is resolved for the account, as of now; see `Enforcer.entitlements`."""
        if self._attends:
            self._check_open()
        return (await self._resolve(account)).entitlements

    # -- what service it is owed -------------------------------------------------------

    async def sla(self, account: str | Account, priority: str) -> ServiceLevel:
        """Return the response and resolution times that the account is owed for a ticket, if any; see `Enforcer.sla`."""
        return service_level(await self.entitlements(account), priority, ZoneInfo)

    async def uptime(self, account: str | Account) -> Uptime:
        """Return the uptime guarantee of the account's tier and the credits for a lower one; see `Enforcer.uptime`."""
        return uptime(await self.entitlements(account))

    async def health(self, account: str | Account, measured: Mapping[str, object] | None = None) -> Health:
        """Return the health score of the account, by its tier's weights; see `Enforcer.health`."""
        self._check_open()
        return advice.health(await self._resolve(account), measured)

    # -- how much, how fast ------------------------------------------------------------

    async def consume(
        self, account: str | Account, what: Wanted, n: int = 1, *, key: str | None = None, scope: str | None = None
    ) -> Decision:
        """Take units, all or nothing, in one round trip; see `Enforcer.consume`."""
        if key is not None:
            return await self._charge(account, Verb.CONSUME, what, n, key=key, scope=scope)
        now = self._clock()
        resolved = self._cache.by_id.get(account) if type(account) is str else None
        if resolved is None or not resolved.since <= now < resolved.until:
            resolved = await self._resolve(account)
        prepared = steps.prepared_charge(resolved.charges, what, n)
        if prepared is None or not prepared.since <= now < prepared.until:
            prepared = steps.prepare_charge(resolved.entitlements, now, what, n)
        order = resolved.made.get(prepared) or order_of(prepared, resolved.entitlements)
        if scope is not None or prepared.per:
            order = steps.scoped_charge(prepared, order, scope)
        if order is None:
            if self._is_outdated(resolved, None):
                return await self.consume(account, what, n, scope=scope)
            return await self._run(steps.known_decision(resolved.entitlements, prepared))
        if prepared.leased:
            leases, owner = self._leases, resolved.entitlements
            spent = leases.spend(prepared, owner, scope)
            if spent is not None or (spent := await leases.consume(prepared, owner, scope)) is not None:
                return spent
        if prepared.counted:
            counted = await self._charge_counted(prepared, order, resolved)
            if counted is None:
                return await self.consume(account, what, n, scope=scope)
            order, operation, answer = counted
            return self._decided(prepared.decide(order.account, answer, self._via, operation, order.scope), answer)
        answer = self._store.try_now(order)  # type: ignore[assignment]
        if answer is None:
            answer = await self._store.submit(order)
        if (type(answer) is not Outcome or answer[6]) and self._is_outdated(resolved, answer):
            return await self.consume(account, what, n, scope=scope)
        if prepared.leased:
            self._leases.observe(prepared, resolved.entitlements, answer, scope)
        return self._decided(prepared.decide(order.account, answer, self._via, None, scope), answer)

    async def _charge_counted(
        self,
        prepared: PreparedCharge,
        charge: Charge,
        resolved: ResolvedAccount,
        abandon: Callable[[Decision], object] | None = None,
    ) -> tuple[Charge, str, Outcome] | None:
        """
        Charge units of quotas or allocations, under an operation id.

        Args:
            prepared: What the charge shares with others.
            charge: The charge, without an operation id.
            resolved: The resolved account.
            abandon: Takes the decision if the caller is cancelled before; None drops it.

        Returns:
            The order, its operation id and its outcome; None if the account is outdated, and nothing was written.
        """
        numbers = self._numbers
        order, operation = numbers.open(charge)
        abandoned = partial(self._abandoned, prepared, order, abandon) if abandon or self._hooks.records else None
        pending: Any = None
        try:
            answer: Any = self._store.try_now(order)
            if answer is None:
                pending = self._store.submit(order, abandoned)
                answer = await pending
            if answer[0] is _STALE:
                again = with_fresh_ends(order, answer, resolution_of(resolved.entitlements).calendar)
                answer = reject_stale(await self._execute(again))
            if (type(answer) is not Outcome or answer[6]) and self._is_outdated(resolved, answer):
                return None
            if not answer[5]:
                numbers.seen = answer[1]
            if prepared.leased:
                self._leases.observe(prepared, resolved.entitlements, answer, order.scope)
        except asyncio.CancelledError:
            if abandoned is not None and pending is not None:
                numbers.hold(order)  # until it has ended
                if not pending.cancelled():
                    abandoned(pending.exception() or pending.result())
            raise
        finally:
            numbers.close(order)
        return order, operation, answer

    def _abandoned(
        self,
        prepared: PreparedCharge,
        order: Charge,
        abandon: Callable[[Decision], object] | None,
        ended: Answer | Exception,
    ) -> None:
        """Record and pass on the decision of a charge whose caller was cancelled."""
        self._numbers.close(order)
        if type(ended) is Outcome and ended.lines:
            decision = prepared.decide(order.account, ended, self._via, order.operation, order.scope)
            self._hooks.record(None, ended, decision)
            if abandon is not None:
                abandon(decision)

    async def peek(self, account: str | Account, what: Wanted, n: int = 1, *, scope: str | None = None) -> Decision:
        """Return the decision that `consume` would, and spend nothing; see `Enforcer.peek`."""
        return await self._charge(account, Verb.PEEK, what, n, scope=scope)

    async def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """Refund what a decision took, once, into the period it was taken from, also if its caller is cancelled; see `Enforcer.refund`."""
        step = steps.refund(decision, rates=rates)
        if step is None or not self._refunded.claim(decision):
            return False
        return await self._detached.run(self._refund(decision, step))

    def reserve(
        self,
        account: str | Account,
        what: Wanted,
        n: int = 1,
        *,
        ttl: float | timedelta = 60,
        key: str | None = None,
        scope: str | None = None,
    ) -> AsyncReservation:
        """Hold units for work that outlives a request; see `Enforcer.reserve`."""
        lasts = check_duration(ttl, "ttl")
        held: dict[str, int] = {}
        lapses: list[int] = []

        async def reserve() -> tuple[Decision, str, int]:
            resolved = await self._resolve(account)
            held.update(reservations.reserved_units(require_known(resolved), what, n))
            decision = await self._charge(account, Verb.RESERVE, what, n, key=key, scope=scope, ttl=lasts)
            lapses[:] = [receipt_of(decision).now + lasts]
            return decision, reservations.reservation_id(receipt_of(decision).operation, scope), lasts

        return AsyncReservation(reserve, *self._settling(account, held, lapses), tasks=self._detached)

    def reservation(self, account: str | Account, id: str) -> AsyncReservation:
        """Return a reservation that was made elsewhere, to commit or cancel it; see `Enforcer.reservation`."""
        id = reservations.check_reservation_id(id)
        return AsyncReservation(None, *self._settling(account, None), tasks=self._detached, id=id)

    async def assign(self, account: str | Account, limit: str, holder: str, *, scope: str | None = None) -> Decision:
        """Assign a unit of an allocation to *holder*; a holder who has one keeps it; see `Enforcer.assign`."""
        operation = new_operation_id()
        return await self._decide_by(
            account,
            lambda resolved: steps.assign(resolved.entitlements, self._clock(), limit, holder, operation, scope),
        )

    async def unassign(self, account: str | Account, limit: str, holder: str, *, scope: str | None = None) -> bool:
        """Take back the unit of *holder*; return True if they held one; see `Enforcer.unassign`."""
        return await self._run(steps.unassign(await self._known(account), limit, holder, scope))

    async def release(self, account: str | Account, limit: str, amount: int = 1, *, scope: str | None = None) -> int:
        """Release anonymous units of an allocation; return how many were released; see `Enforcer.release`."""
        return await self._run(steps.release(await self._known(account), limit, amount, scope))

    async def holders(self, account: str | Account, limit: str, *, scope: str | None = None) -> tuple[str, ...]:
        """Return the holders of an allocation, sorted; see `Enforcer.holders`."""
        return await self._run(steps.holders(await self._known(account), limit, scope))

    async def set_usage(self, account: str | Account, limit: str, total: int, *, scope: str | None = None) -> Usage:
        """Set the usage of a quota's running period, or of an allocation, to *total*; see `Enforcer.set_usage`."""
        step = steps.set_usage(await self._known(account), self._clock(), limit, total, scope)
        await self._leases.give_up(account_id(account), limit)
        with numbered_total(self._numbers, step.order) as order:  # type: ignore[arg-type]
            return await self._run(replace(step, order=order))

    async def reset(self, account: str | Account, limit: str, *, scope: str | None = None) -> None:
        """Empty the meter of a rate: all its units are available at once; see `Enforcer.reset`."""
        step = steps.reset(await self._known(account), self._clock(), limit, scope)
        await self._leases.give_up(account_id(account), limit)
        await self._run(step)

    async def usage(self, account: str | Account, *, scope: str | None = None) -> dict[str, Usage]:
        """Return the usage of every limit of the account; with a scope, of the scope's limits as well; see `Enforcer.usage`."""
        return await self._usage(account, scope)

    async def _usage(self, account: str | Account, scope: str | None) -> dict[str, Usage]:
        usages = await self._decide_by(
            account, lambda resolved: steps.usage(require_known(resolved), self._clock(), scope)
        )
        return self._leases.told(usages, account_id(account), scope)

    async def usage_of(
        self, accounts: Iterable[str | Account], *, scope: str | None = None
    ) -> dict[str, dict[str, Usage]]:
        """Return the usage of many accounts by id, in few round trips; see `Enforcer.usage_of`."""
        asked = {account_id(each): each for each in accounts}
        ids = list(asked)
        usages: dict[str, dict[str, Usage]] = {}
        for at in range(0, len(ids), MAX_READS):
            chunk = ids[at : at + MAX_READS]
            await asyncio.gather(*(self._known(asked[id]) for id in chunk))
            found = await asyncio.gather(*(self._usage(asked[id], scope) for id in chunk))
            usages.update(zip(chunk, found, strict=True))
        return usages

    async def history(
        self, account: str | Account, limit: str, *, refusals: bool = False, scope: str | None = None
    ) -> tuple[Period, ...]:
        """Return a quota's periods, newest first, the running one included, 13 at most; see `Enforcer.history`."""
        return await self._run(
            steps.history(await self._known(account), self._clock(), limit, refusals=refusals, scope=scope)
        )

    async def scopes(
        self, account: str | Account, limit: str | None = None, *, after: str | None = None, size: int = MAX_SCOPES
    ) -> tuple[str, ...]:
        """Return scopes of the account that have a counter, in the order of their names: one page; see `Enforcer.scopes`."""
        check_page(after, size)
        counted = None if limit is None else scoped_limit(await self._known(account), limit)
        found: list[str] = []
        last = after
        while len(found) < size:
            page = await self._run(scopes_after(account_id(account), last, size))
            found += page.scopes if counted is None else await self._holding(account, counted, page.scopes)
            last = page.after
            if last is None:
                break
        return tuple(found[:size])

    async def _holding(self, account: str | Account, limit: Limit, scopes: tuple[str, ...]) -> list[str]:
        """Return those of the scopes that hold units of a limit."""
        known = await self._known(account)
        read = [self._run(holds_units(known, self._clock(), limit, scope)) for scope in scopes]
        return [scope for scope, holds in zip(scopes, await asyncio.gather(*read), strict=True) if holds]

    async def forget(self, account: str | Account, *, scope: str | None = None) -> None:
        """Delete every counter of a closed account, or of a scope of it; see `Enforcer.forget`."""
        id = account_id(account)
        if scope is None:
            while scopes := (await self._run(scopes_after(id))).scopes:
                await self._run(forget_scopes(id, scopes))
        await self._run(steps.forget(id, scope))
        await self.refresh(id)

    # -- moving between tiers ------------------------------------------------------------

    async def plan_change(self, account: str | Account, to: str, *, at: datetime | None = None) -> ChangePreview:
        """Return the effects of moving the account to the tier *to*, and their dates; change nothing; see `Enforcer.plan_change`."""
        resolved = await self._resolve(account)
        require_account(resolved)
        return advice.plan_change(resolved, await self.usage(account), to, now=self._clock(), at=at)

    async def review(
        self, account: str | Account, *, requests: Iterable[FeatureRequest] = (), events: Iterable[str] = ()
    ) -> Review:
        """Return the review of the account's tier: upgrade, keep, optimise or downgrade, with the reasons; see `Enforcer.review`."""
        resolved = await self._resolve(account)
        require_account(resolved)
        usage = await self.usage(account)
        history = {name: await self.history(account, name, refusals=True) for name in advice.reviewed_limits(resolved)}
        return advice.review(resolved, usage, history, now=self._clock(), requests=requests, events=events)

    # -- upkeep ------------------------------------------------------------------------

    async def account(self, account: str | Account) -> AsyncBoundAccount:
        """Return a handle: the same verbs, bound to one account; see `Enforcer.account`."""
        return AsyncBoundAccount(self, account, await self._resolve(account))

    async def refresh(self, account: str | Account) -> None:
        """Drop the account's cached state in this process; the next call loads it again; see `Enforcer.refresh`."""
        self._check_open()
        id = account_id(account)
        if self._accounts is not None:
            self._accounts.refresh(id)
        self._cache.drop(id)

    async def invalidate(self, account: str | Account) -> None:
        """Drop the account's cached state in every process that shares the store: it has changed; see `Enforcer.invalidate`."""
        await self.refresh(account)
        if self._cache.is_versioned:
            id = account_id(account)
            answer = await self._run(steps.invalidate(id))
            self._copies.learn(id, answer.version)
            log_unsent(self._store, answer.failure)
        else:
            self._hooks.notify(AccountInvalidated(account_id(account)))

    async def reload(self, policy: PolicyData) -> None:
        """Put another policy in force for all later calls; if the accounts fail under it, nothing changes; see `Enforcer.reload`."""
        self._check_open()
        self._reload(policy)

    async def watch(self, path: str | PathLike[str], *, every: float | timedelta = 5) -> None:
        """Put the policy at *path* in force, now and whenever its files change; files are read in a thread."""
        self._check_open()
        files = await asyncio.to_thread(PolicyFiles, path)
        clock = self._clock.clock if isinstance(self._clock, PollingClock) else self._clock
        watching = PollingClock(clock, every, lambda: self._look(files))
        self._reload(files.policy)
        self._clock = watching

    def _reload(self, policy: PolicyData) -> None:
        # Accounts first: if they fail under it nothing has changed, and no old one is cached under it.
        self._copies.accounts = self._accounts = open_async_accounts(self._accounts, policy=check_policy(policy))
        before = self._cache.reload(policy)
        self._hooks.notify(Reloaded(before.version, policy.version))

    async def open(self) -> None:
        """
        Connect to a networked store now, rather than at the first charge; open a closed enforcer on this loop again.

        Raises:
            StoreError: If it cannot be reached, or is too old.
            RuntimeError: Under trio, or anything else but asyncio.
        """
        require_asyncio()
        await self._store.open()
        if self._listener is not None:
            self._listener.open()
            await self._listener.connect()

    async def aclose(self) -> None:
        """
        End what cancelled callers have left, and close the store's connections of this loop; see `Enforcer.close`.

        A call of a verb on this loop raises `Closed` from then on, until `open` is awaited.
        """
        await self._leases.give_up()
        await self._detached.drain()
        if self._listener is not None:
            await self._listener.aclose()
        if not isinstance(self._store, PartlyClosedStore):
            self._store, self._attends = PartlyClosedStore(self._store), True
        await self._store.aclose()
        if isinstance(self._accounts, AsyncCachedAccounts):
            await self._accounts.aclose()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    # -- plain calls from resolved accounts, for handles, middlewares and the module-level `can` -------------------

    def _loaded(self, account: str | Account) -> Entitlements:
        """
        Return the entitlements of an account that is loaded here, without any I/O.

        Raises:
            NotLoaded: For an account that no call has awaited lately.
        """
        now = self._clock()
        if not isinstance(account, str):
            return self._cache.resolve(account, now).entitlements
        loaded = self._cache.get_loaded(account, now)
        if loaded.until <= now:
            self._reload_expired(account, self._cache.by_id.get(account))
        return loaded.entitlements

    def _handle(self, id: str) -> AsyncBoundAccount | None:
        """Return the handle of an account that is loaded here and fresh; None if `account` must be awaited."""
        resolved = self._cache.by_id.get(id)
        if resolved is None or not resolved.since <= self._clock() < resolved.until:
            return None
        return AsyncBoundAccount(self, id, resolved)

    def _renewed(self, account: str | Account, resolved: ResolvedAccount) -> ResolvedAccount:
        """Return *resolved*, resolved again if the clock or the policy has moved on."""
        if not isinstance(account, str):
            return self._cache.resolve(account, self._clock())
        renewed = self._cache.revalidated(resolved, account, self._clock())
        if renewed is not resolved and renewed.loaded_at == resolved.loaded_at:
            self._reload_expired(account, resolved)
        return renewed

    def _reload_expired(self, id: str, used: ResolvedAccount | None) -> None:
        """Load an account again that a plain call has used after messages may have been lost; on an event loop only."""
        if used is not None and used.until == used.since:
            with suppress(RuntimeError):  # a call without a loop, or beside a load that another loop begins
                if id not in self._reloads.values():
                    self._reload_account(id)

    def _can(self, entitlements: Entitlements, feature: str) -> bool:
        """Answer `can` from entitlements."""
        if self._attends:
            return self._decide(entitlements, feature, verb="can").allowed
        return entitlements.can(feature)

    def _decide(self, entitlements: Entitlements, feature: str, *, verb: str = "decide") -> Decision:
        """Answer `decide` from entitlements, and report the decision to hooks."""
        if self._attends:
            self._check_open()
        return self._hooks.decided(verb, steps.decide(entitlements, feature))

    @property
    def _may_wait(self) -> bool:
        """True if a charge may have to wait for the store; the embedded store never does."""
        return not isinstance(self._store, AsyncMemoryStore)

    # -- the shell ---------------------------------------------------------------------

    def _check_open(self) -> None:
        """Raise `Closed` if the enforcer was closed on the running loop."""
        if isinstance(self._store, PartlyClosedStore):
            self._store.check_open()

    def _look(self, files: PolicyFiles) -> None:
        """Check the files of the policy, in a thread if a loop is running."""
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

    def _became(self, path: str, found: PolicyData | str) -> None:
        """Put a new version of the policy in force, or report why not."""
        problem = found if isinstance(found, str) else try_reload(found, self._reload)
        if problem is not None:
            self._hooks.reload_failed(path, problem)

    async def _resolve(self, account: str | Account) -> ResolvedAccount:
        """Return the resolved account, loaded if need be."""
        require_asyncio()
        now = self._clock()
        if not isinstance(account, str):
            return self._cache.resolve(account, now)
        resolved = self._cache.by_id.get(account)
        if resolved is not None and resolved.since <= now < resolved.until:
            return resolved
        id = account_id(account)
        if self._accounts is None:
            raise no_accounts_error(id)
        if self._listener is not None:
            await self._listener.connect()  # before the load, or a change in between would be missed
        epoch = self._cache.epoch
        version = self._cache.version(id)  # after the epoch
        loaded = await self._accounts.load(id)
        return self._cache.put(id, loaded.account, now, loaded.fresh_for, epoch, version)

    def _reload_account(self, id: str) -> None:
        """Load an account again in a task, so that plain calls see that it has changed."""

        async def reload() -> None:
            with suppress(EntitlementsError):  # the next call that is awaited raises it
                await self._resolve(id)

        loop = asyncio.get_running_loop()
        self._reloads[task := loop.create_task(reload())] = id  # the loop itself would let it be collected
        task.add_done_callback(self._reloads.pop)

    async def _known(self, account: str | Account) -> Entitlements:
        """Return the entitlements of an account; raise `UnknownAccount` as `require_known` does."""
        return require_known(await self._resolve(account))

    async def _refund(self, decision: Decision, step: steps.Step[bool]) -> bool:
        with self._refunded.unclaim_if_undone(decision):
            return await self._run(step)

    async def _charge(self, account: str | Account, verb: Verb, what: Wanted, n: int, **options: Any) -> Decision:
        operation = new_operation_id()
        return await self._decide_by(
            account,
            lambda resolved: steps.charge(
                resolved.entitlements, self._clock(), verb, what, n, operation=operation, **options
            ),
        )

    async def _decide_by(self, account: str | Account, make: Callable[[ResolvedAccount], steps.Step[R]]) -> R:
        """Run the step that *make* returns for the account; if that is outdated, for the account as it is now."""
        while True:
            resolved = await self._resolve(account)
            step = make(resolved)
            if step.order is not None or not self._is_outdated(resolved, None):
                try:
                    return await self._run(step)
                except AccountOutdated as outdated:
                    self._is_outdated(resolved, outdated.answer)

    def _is_outdated(self, resolved: ResolvedAccount, answer: Answer) -> bool:
        """Return True if a decision by the store, or without it, must be made again, for the account as it is now."""
        if type(answer) is Outdated:
            self._copies.learn(resolved.entitlements.account, answer.version, resolved.version)
            return True
        if self._listener is not None:  # no store has confirmed the account
            self._listener.poll()
        return resolved.is_invalidated

    async def _run(self, step: steps.Step[R]) -> R:
        if step.order is None:
            if self._attends:
                self._check_open()
            return self._hooks.report(step, step.finish(None, "static"), None)
        if self._hooks.records:  # also what a cancelled caller has ordered
            return await self._detached.run(self._carry_out(step, step.order))
        return await self._carry_out(step, step.order)

    async def _carry_out(self, step: steps.Step[R], order: Order) -> R:
        answer = await self._execute(order)
        if is_stale(answer):
            again = with_fresh_ends(order, answer, step.calendar)
            answer = reject_stale(await self._execute(again))
        if type(answer) is Outdated:
            raise AccountOutdated(answer)
        if type(answer) is Outcome and not answer.fallbacks:
            self._numbers.seen = answer.now
        return self._hooks.report(step, step.finish(answer, self._via), answer)

    async def _execute(self, order: Order) -> Answer:
        """Carry out an order: answer a charge without waiting if possible, else submit it."""
        if type(order) is Charge and (outcome := self._store.try_now(order)) is not None:
            return outcome
        return await self._store.submit(order)

    def _decided(self, decision: Decision, answer: Answer) -> Decision:
        """Return a decision to consume, and report it to hooks."""
        if self._hooks.enabled:
            self._hooks.consumed(decision, answer)
        return decision

    def _settling(
        self, account: str | Account, held: Mapping[str, int] | None, lapses: Sequence[int] = ()
    ) -> tuple[Commit, Cancel]:
        async def commit(id: str, n: int | Mapping[str, int] | None) -> Decision:
            lapses_at = lapses[0] if lapses else None
            return await self._decide_by(
                account,
                lambda resolved: reservations.commit(
                    resolved.entitlements, self._clock(), id, held, n, lapses_at=lapses_at
                ),
            )

        async def cancel(id: str, *, given_up: bool = False) -> None:
            await self._run(reservations.cancel(account_id(account), id, given_up=given_up))

        return commit, cancel
