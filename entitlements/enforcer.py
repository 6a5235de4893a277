"""
`Enforcer`: every verb, for threads.

Each verb gathers values (the resolved account, the time), runs a pure step of `rules/steps.py`, and calls the
store if the step has an order. A thread returns leases that are over.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from zoneinfo import ZoneInfo

from entitlements import advice
from entitlements.accounts import CachedAccounts, cache_size, open_accounts
from entitlements.clock import check_clock, monotonic, system_clock
from entitlements.handles import BoundAccount
from entitlements.hooks import PERCENTS, Hooks
from entitlements.invalidations.copies import AccountCopies
from entitlements.invalidations.listener import INTERVAL, InvalidationListener
from entitlements.invalidations.subscription import log_unsent
from entitlements.leases.book import LeaseBook
from entitlements.leases.threads import Leases
from entitlements.model.account import Account
from entitlements.model.answers import Outcome, Outdated, Status
from entitlements.model.charge import Verb
from entitlements.model.decision_fields import receipt_of
from entitlements.model.events import AccountInvalidated, Reloaded
from entitlements.model.instants import check_duration
from entitlements.model.pickling import not_picklable
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.policy.watcher import PolicyFiles, PollingClock
from entitlements.refunds import RefundGuard
from entitlements.reservations import Reservation
from entitlements.resolved_account import (
    AccountOutdated,
    ResolvedAccount,
    account_id,
    no_accounts_error,
    require_account,
    require_known,
)
from entitlements.resolved_cache import FOREVER, ResolvedCache, check_policy, new_operation_id, try_reload
from entitlements.rules import reservations, steps
from entitlements.rules.planning import order_of
from entitlements.rules.scopes import MAX_SCOPES, check_page, forget_scopes, holds_units, scoped_limit, scopes_after
from entitlements.rules.stale_answers import is_final, is_stale, reject_stale, with_fresh_ends
from entitlements.stores import (
    guard_store,
    invalidation_sources,
    keeps_versions,
    open_store,
    operation_ids,
    resilient_store,
)
from entitlements.stores.batch import execute_many
from entitlements.stores.closed import ClosedStore
from entitlements.stores.sequence import numbered_total
from entitlements.stores.workers import processes_of
from entitlements.tiering.sla import ServiceLevel, service_level
from entitlements.tiering.uptime import Uptime, uptime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from os import PathLike
    from types import TracebackType

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Charge
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import Limit, NotIncluded
    from entitlements.model.tier import Value
    from entitlements.model.usage import Period, Usage
    from entitlements.ports import Accounts, Clock, Hook, Store
    from entitlements.rules.planning import PreparedCharge, Wanted
    from entitlements.tiering.changes import ChangePreview
    from entitlements.tiering.health import Health
    from entitlements.tiering.reviews import Review
    from entitlements.tiering.triggers import FeatureRequest

R = TypeVar("R")
T = TypeVar("T")
D = TypeVar("D")

_STALE = Status.STALE


@not_picklable("make one in each process, of the same policy, accounts and store")
class Enforcer:
    """
    Decides what accounts may do, how much, and how fast; safe from any thread.

    Args:
        policy: The policy in force.
        accounts: `{id: tier | Account}`, a path to a CSV, the URL of a database, anything with
            `find(id)`, or None: then pass `Account` objects.
        store: `memory://`, or a store.
        clock: Returns the time in microseconds since 1970; the system's clock by default.
        hooks: Callables that take every event.
        expected_processes: The number of processes that share the limits; each takes its share of a
            rate while the store is away. `WEB_CONCURRENCY` by default, else 1.
        thresholds: Percentages of a quota or an allocation at which hooks get a `Threshold`.

    Raises:
        TypeError: For async accounts, or a policy that is not loaded.
        AccountError: For a CSV that cannot be read.
    """

    def __init__(
        self,
        policy: PolicyData,
        *,
        accounts: Mapping[str, str | Account] | str | PathLike[str] | Accounts | None = None,
        store: str | Store = "memory://",
        clock: Clock | None = None,
        hooks: Iterable[Hook] = (),
        expected_processes: int | None = None,
        thresholds: Iterable[int] = PERCENTS,
    ) -> None:
        check_policy(policy)
        self._clock = check_clock(clock or system_clock)
        self._hooks = Hooks(hooks, thresholds)
        self._accounts = open_accounts(accounts, policy=policy, clock=clock or monotonic, listener=self._hooks)
        opened = open_store(store, self._clock)
        self._store = guard_store(opened, self._hooks.notify, expected_processes)
        self._via = self._store.via
        self._cache = ResolvedCache(policy, max_size=cache_size(self._accounts), versioned=keeps_versions(opened))
        self._copies = AccountCopies(self._cache, self._accounts, tell=self._hooks.notify)
        sources = [] if self._accounts is None else invalidation_sources(opened, self._accounts)
        self._listener = InvalidationListener(sources, self._copies) if sources else None
        self._polls_at = 0 if sources else FOREVER
        """Time of the next poll for accounts that others have invalidated, by `_clock`."""
        self._refunded = RefundGuard()
        self._numbers = operation_ids(opened)
        book = LeaseBook(self._numbers, partial(processes_of, expected_processes), tell=self._hooks.on_spent)
        self._leases = Leases(book, self._store.execute, self._hooks)
        self._outage = resilient_store(self._store)
        self._attends = self._hooks.listens
        """True while an answer without the store takes more than itself: hooks, a journal that waits, a closed store."""
        self._attend()
        if self._outage is not None:
            self._outage.on_waiting(self._attend)

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

    def can(self, account: str | Account, feature: str) -> bool:
        """
        Return True if the account has a feature, a `feature:level`, or a limit above 0.

        Args:
            account: An id, or an `Account`.
            feature: `"sso"`, `"integrations:standard"`, or a limit's name.

        Raises:
            UnknownFeature: For a name that the policy does not know.
            AccountError: For an invalid account.
        """
        clock = self._clock  # called as a method it would be looked up in the class first
        resolved = self._cache.by_id.get(account) if type(account) is str else None
        if resolved is None or not resolved.since <= (now := clock()) < resolved.until or now >= self._quick_until:
            resolved = self._resolve(account)
            if self._attends:
                self._replay()
                return self._hooks.decided("can", steps.decide(resolved.entitlements, feature)).allowed
        try:
            return resolved.answers[feature]
        except (KeyError, TypeError):
            raise resolved.entitlements.policy.unknown(feature, account=resolved.entitlements.account) from None

    def decide(self, account: str | Account, feature: str) -> Decision:
        """Return the answer to `can` with its reason, source, remedy and trace; never calls the store."""
        return self._hooks.decided("decide", steps.decide(self.entitlements(account), feature))

    @overload
    def value(self, account: str | Account, key: str) -> Value | NotIncluded: ...
    @overload
    def value(self, account: str | Account, key: str, kind: type[T]) -> T | None: ...
    @overload
    def value(self, account: str | Account, key: str, kind: type[T], *, default: D) -> T | D: ...
    def value(
        self, account: str | Account, key: str, kind: type[T] | None = None, *, default: D | None = None
    ) -> Value | NotIncluded | T | D | None:
        """Return a configuration value of the account's tier; see `Entitlements.value`."""
        found = self.entitlements(account)
        return found.value(key) if kind is None else found.value(key, kind, default=default)

    def entitlements(self, account: str | Account) -> Entitlements:
        """Return everything that is resolved for the account, as of now."""
        if self._attends:
            self._replay()
        return self._resolve(account).entitlements

    # -- what service it is owed -------------------------------------------------------

    def sla(self, account: str | Account, priority: str) -> ServiceLevel:
        """
        Return the response and resolution times that the account is owed for a ticket, if any.

        Args:
            account: An id, or an `Account`.
            priority: `"P1"`, as the policy names it under `sla`.

        Raises:
            UnknownFeature: For a priority that no tier of the policy has.
            PolicyError: For values that are no commitment, or no support clock.
        """
        return service_level(self.entitlements(account), priority, ZoneInfo)

    def uptime(self, account: str | Account) -> Uptime:
        """Return the uptime guarantee of the account's tier and the credits for a lower one."""
        return uptime(self.entitlements(account))

    def health(self, account: str | Account, measured: Mapping[str, object] | None = None) -> Health:
        """
        Return the health score of the account, by its tier's weights.

        Args:
            account: An id, or an `Account`.
            measured: Scores from 0 to 100 by component; those among the account's attributes by default.

        Raises:
            AccountError: For a score that is no number from 0 to 100, or of an unknown component.
        """
        self._check_open()
        return advice.health(self._resolve(account), measured)

    # -- how much, how fast ------------------------------------------------------------

    def consume(
        self, account: str | Account, what: Wanted, n: int = 1, *, key: str | None = None, scope: str | None = None
    ) -> Decision:
        """
        Take units, all or nothing, in one round trip.

        Args:
            account: An id, or an `Account`.
            what: A limit's name, or `{limit: units}`.
            n: Units of a single limit, 1 to 2^53-1.
            key: An idempotency key: a repeat within 24 hours returns the first decision, unless that was refunded.
            scope: For limits with a `per`, the scope whose meter is charged in addition to the account's own.

        Raises:
            UnknownFeature: For a name that is no limit.
            ValueError: For invalid units, an invalid key or scope.
            KeyReused: For a key that stands for another charge of the account.
        """
        if key is not None:
            return self._charge(account, Verb.CONSUME, what, n, key=key, scope=scope)
        now = self._clock()
        resolved = self._cache.by_id.get(account) if type(account) is str else None
        if resolved is None or not resolved.since <= now < resolved.until or now >= self._polls_at:
            resolved = self._resolve(account)
        prepared = steps.prepared_charge(resolved.charges, what, n)
        if prepared is None or not prepared.since <= now < prepared.until:
            prepared = steps.prepare_charge(resolved.entitlements, now, what, n)
        order = resolved.made.get(prepared) or order_of(prepared, resolved.entitlements)
        if scope is not None or prepared.per:
            order = steps.scoped_charge(prepared, order, scope)
        if order is None:
            if self._is_outdated(resolved, None):
                return self.consume(account, what, n, scope=scope)
            return self._run(steps.known_decision(resolved.entitlements, prepared))
        if prepared.leased:
            leases, owner = self._leases, resolved.entitlements
            spent = leases.spend(prepared, owner, scope)
            if spent is not None or (spent := leases.consume(prepared, owner, scope)) is not None:
                return spent
        if prepared.counted:
            counted = self._charge_counted(prepared, order, resolved)
            if counted is None:
                return self.consume(account, what, n, scope=scope)
            order, operation, answer = counted
            decision = prepared.decide(order.account, answer, self._via, operation, order.scope)
        else:
            answer = self._store.execute(order)  # type: ignore[assignment]
            if (type(answer) is not Outcome or answer[6]) and self._is_outdated(resolved, answer):
                return self.consume(account, what, n, scope=scope)
            decision = prepared.decide(order.account, answer, self._via, None, scope)
            if prepared.leased:
                self._leases.observe(prepared, resolved.entitlements, answer, scope)
        if self._hooks.enabled:
            self._hooks.consumed(decision, answer)
        return decision

    def _charge_counted(
        self, prepared: PreparedCharge, order: Charge, resolved: ResolvedAccount
    ) -> tuple[Charge, str, Outcome] | None:
        """Charge units of quotas or allocations, under an operation id; None if the account is outdated."""
        numbers = self._numbers
        order, operation = numbers.open(order)
        try:
            answer: Any = self._store.execute(order)
            if answer[0] is _STALE:
                again = with_fresh_ends(order, answer, resolution_of(resolved.entitlements).calendar)
                answer = reject_stale(self._store.execute(again))
            if (type(answer) is not Outcome or answer[6]) and self._is_outdated(resolved, answer):
                return None
            if not answer[5]:
                numbers.seen = answer[1]
            if prepared.leased:
                self._leases.observe(prepared, resolved.entitlements, answer, order.scope)
        finally:
            numbers.close(order)
        return order, operation, answer

    def peek(self, account: str | Account, what: Wanted, n: int = 1, *, scope: str | None = None) -> Decision:
        """Return the decision that `consume` would, and spend nothing."""
        return self._charge(account, Verb.PEEK, what, n, scope=scope)

    def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """
        Refund what a decision took, once, into the period it was taken from.

        Args:
            decision: The result of `consume` or `assign`.
            rates: Refund units of rates as well.

        Returns:
            True if anything was refunded: False for a refusal, the second time, and
            after 10 minutes (24 hours with a key).
        """
        step = steps.refund(decision, rates=rates)
        if step is None or not self._refunded.claim(decision):
            return False
        with self._refunded.unclaim_if_undone(decision):
            return self._run(step)

    def reserve(
        self,
        account: str | Account,
        what: Wanted,
        n: int = 1,
        *,
        ttl: float | timedelta = 60,
        key: str | None = None,
        scope: str | None = None,
    ) -> Reservation:
        """
        Hold units for work that outlives a request, such as an estimate that the commit settles.

        Args:
            account: An id, or an `Account`.
            what: A limit's name, or `{limit: units}`. Units of rates are taken at once, and settled by the commit.
            n: Units of a single limit.
            ttl: Seconds, or a timedelta, after which it lapses.
            key: An idempotency key; a repeat returns the first reservation.
            scope: For limits with a `per`, the scope whose units are held.

        Returns:
            A reservation, to commit, to cancel or to enter with `with`. It is falsy where it was refused;
            to enter or commit it then raises `Denied`.

        Raises:
            UnknownFeature, ValueError, KeyReused: As `consume`.
            UnknownAccount: For an unknown account, unless `unknown_account` of the policy names a tier.
        """
        lasts = check_duration(ttl, "ttl")
        resolved = self._resolve(account)
        held = reservations.reserved_units(require_known(resolved), what, n)
        decision = self._charge(account, Verb.RESERVE, what, n, key=key, scope=scope, ttl=lasts)
        id = reservations.reservation_id(receipt_of(decision).operation, scope)
        return self._reservation(account, id, decision, lasts, held)

    def reservation(self, account: str | Account, id: str) -> Reservation:
        """
        Return a reservation that was made elsewhere, to commit or cancel it.

        Raises:
            ValueError: For an invalid reservation id.
        """
        return self._reservation(account, reservations.check_reservation_id(id), None, 0, None)

    def assign(self, account: str | Account, limit: str, holder: str, *, scope: str | None = None) -> Decision:
        """Assign a unit of an allocation to *holder*; a holder who has one keeps it."""
        operation = new_operation_id()
        return self._decide_by(
            account,
            lambda resolved: steps.assign(resolved.entitlements, self._clock(), limit, holder, operation, scope),
        )

    def unassign(self, account: str | Account, limit: str, holder: str, *, scope: str | None = None) -> bool:
        """Take back the unit of *holder*; return True if they held one."""
        return self._run(steps.unassign(self._known(account), limit, holder, scope))

    def release(self, account: str | Account, limit: str, amount: int = 1, *, scope: str | None = None) -> int:
        """Release anonymous units of an allocation; return how many were released."""
        return self._run(steps.release(self._known(account), limit, amount, scope))

    def holders(self, account: str | Account, limit: str, *, scope: str | None = None) -> tuple[str, ...]:
        """Return the holders of an allocation, sorted."""
        return self._run(steps.holders(self._known(account), limit, scope))

    def set_usage(self, account: str | Account, limit: str, total: int, *, scope: str | None = None) -> Usage:
        """
        Set the usage of a quota's running period, or of an allocation, to *total*.

        Raises:
            UnknownFeature: For a name that is no limit.
            ValueError: For a rate, or a total below what is reserved or held by name.
        """
        step = steps.set_usage(self._known(account), self._clock(), limit, total, scope)
        self._leases.give_up(account_id(account), limit)
        with numbered_total(self._numbers, step.order) as order:  # type: ignore[arg-type]
            return self._run(replace(step, order=order))

    def reset(self, account: str | Account, limit: str, *, scope: str | None = None) -> None:
        """
        Empty the meter of a rate: all its units are available at once.

        Args:
            account: An id, or an `Account`.
            limit: A rate's name; quotas and allocations have `set_usage`.
            scope: For a rate with a `per`, the scope whose meter is emptied.

        Raises:
            UnknownFeature: For a name that is no limit.
            UnknownAccount: For an unknown account, unless `unknown_account` of the policy names a tier.
            ValueError: For a limit that is no rate, or a scope that is missing or has no use.
        """
        step = steps.reset(self._known(account), self._clock(), limit, scope)
        self._leases.give_up(account_id(account), limit)
        self._run(step)

    def usage(self, account: str | Account, *, scope: str | None = None) -> dict[str, Usage]:
        """Return the usage of every limit of the account; with a scope, of the scope's limits as well."""
        usages = self._decide_by(account, lambda resolved: steps.usage(require_known(resolved), self._clock(), scope))
        return self._leases.told(usages, account_id(account), scope)

    def usage_of(self, accounts: Iterable[str | Account], *, scope: str | None = None) -> dict[str, dict[str, Usage]]:
        """
        Return the usage of many accounts by id, in few round trips.

        Args:
            accounts: Ids, or `Account` objects.
            scope: As for `usage`.

        Raises:
            UnknownAccount: As `usage`, for any of them.
        """
        asked = list(accounts)
        if isinstance(self._accounts, CachedAccounts):
            if self._listener is not None:
                self._listener.connect()
            self._accounts.load_many([account_id(each) for each in asked if not isinstance(each, Account)])
        read = {account_id(each): (each, steps.usage(self._known(each), self._clock(), scope)) for each in asked}
        answers = execute_many(self._store, [step.order for _, step in read.values() if step.order is not None])
        return {
            id: step.finish(answer, self._via) if is_final(answer) else self.usage(account, scope=scope)
            for (id, (account, step)), answer in zip(read.items(), answers, strict=True)
        }

    def history(
        self, account: str | Account, limit: str, *, refusals: bool = False, scope: str | None = None
    ) -> tuple[Period, ...]:
        """
        Return a quota's periods, newest first, the running one included, 13 at most.

        Args:
            account: An id, or an `Account`.
            limit: The quota.
            refusals: Accept an allocation too: its periods count what was refused (`denied`); `used` is 0.
            scope: For a quota with a `per`, the scope whose periods are read.
        """
        return self._run(steps.history(self._known(account), self._clock(), limit, refusals=refusals, scope=scope))

    def scopes(
        self, account: str | Account, limit: str | None = None, *, after: str | None = None, size: int = MAX_SCOPES
    ) -> tuple[str, ...]:
        """
        Return scopes of the account that have a counter, in the order of their names: one page of them.

        A page of fewer than *size* is the last one. It takes a round trip for each *size* scopes that it looks at, and
        with a limit a second one.

        Args:
            account: An id, or an `Account`.
            limit: Only scopes that hold units of this limit now; without it also those of which a history is kept.
            after: The last scope of the page before; None for the first page.
            size: Most scopes, 1 to 250.

        Raises:
            UnknownFeature: For a name that is no limit.
            UnknownAccount: With a limit, as `usage`.
            ValueError: For a limit without a `per`, or an invalid size.
        """
        check_page(after, size)
        counted = None if limit is None else scoped_limit(self._known(account), limit)
        found: list[str] = []
        last = after
        while len(found) < size:
            page = self._run(scopes_after(account_id(account), last, size))
            found += page.scopes if counted is None else self._holding(account, counted, page.scopes)
            last = page.after
            if last is None:
                break
        return tuple(found[:size])

    def _holding(self, account: str | Account, limit: Limit, scopes: tuple[str, ...]) -> list[str]:
        """Return those of the scopes that hold units of a limit."""
        known, now = self._known(account), self._clock()
        read = [holds_units(known, now, limit, scope) for scope in scopes]
        answers = execute_many(self._store, [step.order for step in read if step.order is not None])
        return [
            scope
            for scope, step, answer in zip(scopes, read, answers, strict=True)
            if (step.finish(answer, self._via) if is_final(answer) else self._run(step))
        ]

    def forget(self, account: str | Account, *, scope: str | None = None) -> None:
        """
        Delete every counter of a closed account with those of its scopes, and its cached state here.

        Args:
            account: An id, or an `Account`.
            scope: Only the counters of this scope; the account stays.
        """
        id = account_id(account)
        if scope is None:
            while scopes := self._run(scopes_after(id)).scopes:
                self._run(forget_scopes(id, scopes))
        self._run(steps.forget(id, scope))
        self.refresh(id)

    # -- moving between tiers ------------------------------------------------------------

    def plan_change(self, account: str | Account, to: str, *, at: datetime | None = None) -> ChangePreview:
        """
        Return the effects of moving the account to the tier *to*, and their dates; change nothing.

        Args:
            account: An id, or an `Account`.
            to: A tier's id or alias.
            at: The wanted date (aware); a downgrade never takes effect before its notice period ends.

        Raises:
            ValueError: For an unknown tier, or a trial plan.
            UnknownAccount: For an unknown account.
        """
        resolved = self._resolve(account)
        require_account(resolved)
        return advice.plan_change(resolved, self.usage(account), to, now=self._clock(), at=at)

    def review(
        self, account: str | Account, *, requests: Iterable[FeatureRequest] = (), events: Iterable[str] = ()
    ) -> Review:
        """
        Return the review of the account's tier: upgrade, keep, optimise or downgrade, with the reasons.

        Args:
            account: An id, or an `Account`.
            requests: Features that the account was denied, as `FeatureRequests.of` returns them.
            events: Events of its business, as the policy names them (`transition.events`).

        Raises:
            ValueError: For an event that the policy does not name.
            UnknownAccount: For an unknown account.
        """
        resolved = self._resolve(account)
        require_account(resolved)
        usage = self.usage(account)
        history = {name: self.history(account, name, refusals=True) for name in advice.reviewed_limits(resolved)}
        return advice.review(resolved, usage, history, now=self._clock(), requests=requests, events=events)

    # -- upkeep ------------------------------------------------------------------------

    def account(self, account: str | Account) -> BoundAccount:
        """Return a handle: the same verbs, bound to one account."""
        return BoundAccount(self, account, self._resolve(account))

    def refresh(self, account: str | Account) -> None:
        """Drop the account's cached state in this process; the next call loads it again."""
        self._check_open()
        id = account_id(account)
        if self._accounts is not None:
            self._accounts.refresh(id)
        self._cache.drop(id)

    def invalidate(self, account: str | Account) -> None:
        """
        Drop the account's cached state in every process that shares the store: it has changed at its source.

        From the return on, every charge is decided by the account as it is at its source. `can`, `decide` and `value`
        of other processes follow within a moment, and at the latest after the account's time to live. With the memory
        store, and with a store that keeps no versions, it does what `refresh` does.

        Args:
            account: An id, or an `Account`.

        Raises:
            StoreError: If the store cannot be reached: other processes follow after the account's time to live.
        """
        self.refresh(account)
        if self._cache.is_versioned:
            id = account_id(account)
            answer = self._run(steps.invalidate(id))
            self._copies.learn(id, answer.version)
            log_unsent(self._store, answer.failure)
        else:
            self._hooks.notify(AccountInvalidated(account_id(account)))

    def reload(self, policy: PolicyData) -> None:
        """Put another policy in force for all later calls; if the accounts fail under it, nothing changes."""
        self._check_open()
        self._reload(policy)

    def _reload(self, policy: PolicyData) -> None:
        # Accounts first: if they fail under it nothing has changed, and no old one is cached under it.
        self._copies.accounts = self._accounts = open_accounts(self._accounts, policy=check_policy(policy))
        before = self._cache.reload(policy)
        self._hooks.notify(Reloaded(before.version, policy.version))

    def watch(self, path: str | PathLike[str], *, every: float | timedelta = 5) -> None:
        """
        Put the policy at *path* in force, now and whenever its files change.

        Calls check the files, at most once in *every*, and load a version that did not change from one check to
        the next. A version that is invalid, truncated or half written is logged and sent to hooks
        (`ReloadFailed`), and the policy in force stays. So it does if the new version has lost something and
        has the same version number, as a truncated file would.

        Args:
            path: As for `Policy.load()`; write a new file and rename it.
            every: The least time between two checks: seconds, or a timedelta.

        Raises:
            PolicyError: If it is no valid policy now.
            ValueError: For an invalid time.
        """
        self._check_open()
        files = PolicyFiles(path)
        clock = self._clock.clock if isinstance(self._clock, PollingClock) else self._clock
        watching = PollingClock(clock, every, lambda: self._look(files))
        self._reload(files.policy)
        self._clock = watching

    def close(self) -> None:
        """Close the connections to the store, and to the database of a URL; a call of a verb raises `Closed` from then on."""
        listener, self._listener, self._polls_at = self._listener, None, FOREVER
        self._quick_until = 0
        if listener is not None:
            listener.close()
        self._leases.give_up()
        self._store.close()
        if isinstance(self._accounts, CachedAccounts):
            self._accounts.close()
        if not isinstance(self._store, ClosedStore):
            self._store, self._outage, self._attends = ClosedStore(self._store), None, True

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # -- the shell ---------------------------------------------------------------------

    def _attend(self) -> None:
        """Note whether the journal has something to replay, and the time up to which `can` only looks an answer up."""
        self._attends = self._hooks.listens or (self._outage is not None and self._outage.waits)
        self._quick_until = 0 if self._attends else self._polls_at

    def _replay(self) -> None:
        """
        Replay what waits, with a call that needs no store.

        Raises:
            Closed: If the enforcer was closed.
        """
        if self._outage is not None:
            self._outage.replay()
        self._check_open()

    def _check_open(self) -> None:
        """Raise `Closed` if the enforcer was closed."""
        if isinstance(self._store, ClosedStore):
            self._store.refuse()

    def _look(self, files: PolicyFiles) -> None:
        """Check the files of the policy, and put a new version in force or report why not."""
        files.poll()
        files.deliver(partial(self._became, files.path))

    def _became(self, path: str, found: PolicyData | str) -> None:
        problem = found if isinstance(found, str) else try_reload(found, self._reload)
        if problem is not None:
            self._hooks.reload_failed(path, problem)

    def _resolve(self, account: str | Account) -> ResolvedAccount:
        """Return the resolved account, loaded if need be."""
        now, cache = self._clock(), self._cache
        if self._listener is not None and not now < self._polls_at <= now + INTERVAL:  # or the clock was set back
            self._polls_at = now + INTERVAL
            self._quick_until = 0 if self._attends else self._polls_at
            self._listener.poll()
            self._leases.return_ended()
        if not isinstance(account, str):
            return cache.resolve(account, now)
        resolved = cache.by_id.get(account)
        if resolved is not None and resolved.since <= now < resolved.until:
            return resolved
        id = account_id(account)
        if self._accounts is None:
            raise no_accounts_error(id)
        if self._listener is not None:
            self._listener.connect()  # before the load, or a change in between would be missed
        epoch = cache.epoch
        version = cache.version(id)  # after the epoch
        loaded = self._accounts.load(id)
        return cache.put(id, loaded.account, now, loaded.fresh_for, epoch, version)

    def _known(self, account: str | Account) -> Entitlements:
        """Return the entitlements of an account; raise `UnknownAccount` as `require_known` does."""
        return require_known(self._resolve(account))

    def _charge(self, account: str | Account, verb: Verb, what: Wanted, n: int, **options: Any) -> Decision:
        operation = new_operation_id()
        return self._decide_by(
            account,
            lambda resolved: steps.charge(
                resolved.entitlements, self._clock(), verb, what, n, operation=operation, **options
            ),
        )

    def _decide_by(self, account: str | Account, make: Callable[[ResolvedAccount], steps.Step[R]]) -> R:
        """Run the step that *make* returns for the account; if that is outdated, for the account as it is now."""
        while True:
            resolved = self._resolve(account)
            step = make(resolved)
            if step.order is not None or not self._is_outdated(resolved, None):
                try:
                    return self._run(step)
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

    def _run(self, step: steps.Step[R]) -> R:
        if step.order is None:
            if self._attends:
                self._replay()
            return self._hooks.report(step, step.finish(None, "static"), None)
        answer = self._store.execute(step.order)
        if is_stale(answer):
            again = with_fresh_ends(step.order, answer, step.calendar)
            answer = reject_stale(self._store.execute(again))
        if type(answer) is Outdated:
            raise AccountOutdated(answer)
        if type(answer) is Outcome and not answer.fallbacks:
            self._numbers.seen = answer.now
        return self._hooks.report(step, step.finish(answer, self._via), answer)

    def _reservation(
        self, account: str | Account, id: str, decision: Decision | None, ttl: int, held: Mapping[str, int] | None
    ) -> Reservation:
        def commit(n: int | Mapping[str, int] | None) -> Decision:
            lapses_at = receipt_of(decision).now + ttl if decision else None
            return self._decide_by(
                account,
                lambda resolved: reservations.commit(
                    resolved.entitlements, self._clock(), id, held, n, lapses_at=lapses_at
                ),
            )

        return Reservation(id, decision, ttl, commit, lambda: self._run(reservations.cancel(account_id(account), id)))
