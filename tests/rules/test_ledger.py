"""The ledger of an account agrees with a simple model of it, for any orders in any sequence."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from strategies import NOW, ends_around, width_of

from entitlements.model.answers import Outcome, Outdated, Settled, Status, Totalled
from entitlements.model.charge import (
    Charge,
    Forget,
    Invalidate,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    Settle,
    SetUsage,
    Unassign,
    Verb,
)
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND, to_instant
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, Limit, Mode, Quota, Rate, Size
from entitlements.model.versions import KEPT
from entitlements.rules.ledger import MAX_OPERATIONS, MAX_SWEPT_AT_ONCE, MAX_SWEPT_RESERVATIONS, Ledger
from entitlements.stores import MemoryStore

ACCOUNT = "acme"
API = Rate("api", MINUTE)
LEADS = Quota("leads")
AGENTS = Allocation("agents")
LIMITS = {limit.name: limit for limit in (API, LEADS, AGENTS)}


@dataclass
class Clock:
    """A settable clock, in microseconds."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


# --- The model ----------------------------------------------------------------------------------------------------


@dataclass
class Month:
    """The counts of a quota in one month."""

    size: Size = 0
    used: int = 0
    reserved: int = 0
    denied: int = 0


@dataclass
class Kept:
    """An admitted charge in the model."""

    order: Charge
    expires: int
    lines: list[tuple[bool, int | None, int, int]]
    marks: dict[str, int]
    refunded: bool = False


def settled_record_expiry(id: str, lapses: int, now: int) -> int:
    """Return the expiry of the record of a settled reservation: ten minutes past its end, at least a key's lifetime."""
    return max(lapses + 10 * MINUTE, now + DAY if id.startswith("k:") else 0)


@dataclass
class Model:
    """Model of an account in lists and dicts, with rules written independently; it shares no code with the store."""

    calls: list[tuple[int, int, str]] = field(default_factory=list)
    """(bucket, units, tag) of each admitted charge of the rate."""
    head: int = 0
    months: dict[int, Month] = field(default_factory=dict)
    anonymous: int = 0
    holders: set[str] = field(default_factory=set)
    reserved: dict[str, tuple[int, dict[str, int], int]] = field(default_factory=dict)
    """id: (lapses at, units by limit, month)."""
    kept: dict[str, Kept] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    """id: expiry of the record."""
    callers: dict[str, int] = field(default_factory=dict)
    """id: callers who were given a reservation by its key, after the first."""

    def lapse(self, now: int) -> None:
        for id in [id for id, (expires, *_) in self.reserved.items() if expires <= now]:
            self.end(id, {"api": self.reserved[id][1].get("api", 0)}, now)

    def end(self, id: str, committed: dict[str, int], now: int) -> None:
        _, units, month, tag = self.reserved.pop(id)
        for name, amount in units.items():
            stays = committed.get(name, 0)
            if name == "api":
                self.settle_calls(amount, stays, now, tag)
            elif name == "leads":
                self.months[month].reserved -= amount
                self.months[month].used += stays - amount
            else:
                self.anonymous += stays

    def settle_calls(self, amount: int, stays: int, now: int, tag: str) -> None:
        if amount and stays < amount:
            self.calls = [(at, stays if each == tag else units, each) for at, units, each in self.calls]
        elif amount and stays > amount:
            self.head = self.bucket(now)
            self.calls.append((self.head, stays - amount, ""))

    def bucket(self, now: int) -> int:
        return max(self.head, now // width_of(MINUTE))

    def month(self, now: int) -> int:
        return max([ends_around(None, now)[1], *self.months])

    def held(self) -> tuple[int, int]:
        reserved = sum(units.get("agents", 0) for _, units, *_ in self.reserved.values())
        return self.anonymous + len(self.holders) + reserved, reserved

    def stands(self, part: Part, now: int) -> tuple[int | None, int]:
        """Return the units used and reserved."""
        if part.limit is API:
            if part.size is UNLIMITED:
                return None, 0
            return sum(units for at, units, _ in self.calls if part.size and self.bucket(now) - at <= 60), 0
        if part.limit is LEADS:
            month = self.months.get(self.month(now), Month())
            return month.used, month.reserved
        return self.held()

    def fits(self, part: Part, now: int, holder: str | None) -> bool:
        used, _ = self.stands(part, now)
        return part.size is UNLIMITED or (holder or "") in self.holders or used + part.cost <= part.size

    def write(self, now: int, size: Size) -> Month:
        month = self.months.setdefault(self.month(now), Month())
        month.size = size
        return month

    def take(self, part: Part, order: Charge, now: int, tag: str) -> int:
        if part.limit is API:
            if part.size is UNLIMITED:
                return 0
            self.head = self.bucket(now)
            self.calls.append((self.head, part.cost, tag))
        elif part.limit is LEADS:
            month = self.write(now, part.size)
            month.used += part.cost
            month.reserved += part.cost * (order.verb is Verb.RESERVE)
        elif order.holder:
            taken = int(order.holder not in self.holders)
            self.holders.add(order.holder)
            return taken
        elif order.verb is Verb.CONSUME:
            self.anonymous += part.cost
        return part.cost

    def alive(self, id: str | None, now: int) -> Kept | None:
        found = self.kept.get(id or "")
        return found if found and now < found.expires else None

    def answer(self, order: Charge, now: int, tag: str) -> tuple[Status, list[tuple[bool, int | None, int, int]]]:
        """Charge; return the status, and for each part fits, used, reserved and taken."""
        if kept := self.alive(order.operation, now):
            same = content(kept.order) == content(order)
            self.give(order.operation, same)
            return (Status.REPLAYED, kept.lines) if same else (Status.REUSED, [])
        self.lapse(now)
        if order.operation in self.reserved:
            return Status.REUSED, []
        fits = [self.fits(part, now, order.holder) for part in order.parts]
        if order.verb is Verb.PEEK or not all(fits):
            for part, fit in zip(order.parts, fits, strict=True):
                if part.limit is LEADS and not fit and order.verb is not Verb.PEEK:
                    self.write(now, part.size).denied += part.cost
            status = Status.ADMITTED if all(fits) else Status.REFUSED
            return status, [(fit, *self.stands(part, now), 0) for part, fit in zip(order.parts, fits, strict=True)]
        taken = [self.take(part, order, now, tag) for part in order.parts]
        if order.verb is Verb.RESERVE:
            units = {part.limit.name: units for part, units in zip(order.parts, taken, strict=True)}
            units |= {part.limit.name: part.cost for part in order.parts if part.limit is not API}
            self.reserved[order.operation] = (now + order.ttl, units, self.month(now), tag)
            self.settled.pop(order.operation, None)
            self.callers.pop(order.operation, None)
        lines = [(True, *self.stands(part, now), units) for part, units in zip(order.parts, taken, strict=True)]
        if order.operation and (order.holder is None or taken[0]):
            lives = DAY if order.keyed else 10 * MINUTE
            marks = {"api": self.head, "leads": self.month(now)}
            self.kept[order.operation] = Kept(order, now + lives, lines, marks)
        return Status.ADMITTED, lines

    def give(self, id: str, same: bool) -> None:
        self.callers[id] = self.callers.get(id, 0) + (same and id in self.reserved)

    def refund(self, order: Refund, kept: Kept | None, tag: str) -> bool | None:
        """Return True if units were returned; None if only rate units could be, which may have left the window."""
        if kept is None or kept.refunded or kept.order.verb is Verb.RESERVE:
            return False
        units = {part.limit.name: line[3] for part, line in zip(kept.order.parts, kept.lines, strict=True)}
        if not order.rates:
            units.pop("api", None)
        if not any(units.values()):
            return False
        before = 0
        if "api" in units:
            self.calls = [call for call in self.calls if call[2] != tag]
        if "leads" in units:
            month = self.months[kept.marks["leads"]]
            before += month.used
            month.used = max(month.reserved, month.used - units["leads"])
            before -= month.used
        held = len(self.holders) + self.anonymous
        if kept.order.holder:
            self.holders.discard(kept.order.holder)
        elif "agents" in units:
            self.anonymous = max(0, self.anonymous - units["agents"])
        back = before + held - len(self.holders) - self.anonymous
        kept.refunded = True
        if kept.order.keyed:
            del self.kept[order.operation]  # the key is free again
        return True if back else None if units.get("api") else False


def content(order: Charge) -> tuple[Any, ...]:
    """Return the content that a key stands for."""
    return order.verb, {part.limit.name: part.cost for part in order.parts}, order.scope, order.holder


# --- The machine --------------------------------------------------------------------------------------------------

units = st.integers(1, 6)
several = st.builds(
    lambda names, costs: dict(zip(names, costs, strict=False)),
    st.sampled_from(
        [("api", "leads", "agents"), ("leads", "api"), ("leads", "agents"), ("api",), ("leads",), ("agents",)]
    ),
    st.tuples(units, units, units),
)
holders = st.sampled_from(["ada", "bob", "cleo"])
names = st.none() | st.sampled_from(["import", "export", "renewal"])
moves = st.sampled_from(
    [-SECOND, -30 * SECOND, 1, SECOND, 30 * SECOND, MINUTE, 61 * SECOND, 9 * MINUTE, 10 * MINUTE, HOUR, DAY, 20 * DAY]
)
ttls = st.sampled_from([1, 30 * SECOND, 20 * MINUTE, 25 * HOUR])
shares = st.integers(0, 6)


class Account(RuleBasedStateMachine):
    """State machine: every order on one account, compared with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.model = Model()
        self.sizes: dict[str, Size] = {"api": 15, "leads": 30, "agents": 20}
        self.made: list[tuple[Charge, Outcome, str]] = []
        self.serial = 0
        self.most = 20
        self.skew = 0

    # What the orders are made of

    def part(self, limit: Limit, cost: int = 1) -> Part:
        ends = ends_around(None, self.clock.now + self.skew) if limit is LEADS else None
        return Part(limit, self.sizes[limit.name], cost, ends)

    def reading(self) -> Read:
        return Read(ACCOUNT, tuple(self.part(limit) for limit in LIMITS.values()))

    def charge(self, order: Charge) -> None:
        self.serial += 1
        tag = f"#{self.serial}"
        outcome = self.store.execute(order)
        expected = self.model.answer(order, self.clock.now, tag)
        answered = [(line.fits, line.used, line.reserved, line.taken) for line in outcome.lines]
        assert expected == (outcome.status, answered)
        if outcome.status is Status.ADMITTED and order.verb is not Verb.PEEK:
            self.made.append((order, outcome, tag))

    # Time and limits

    @initialize(skew=st.sampled_from([0, HOUR, -HOUR]), now=st.sampled_from([NOW, NOW + 28 * DAY]))
    def begin(self, skew: int, now: int) -> None:
        self.skew, self.clock.now = skew, now

    @rule(by=moves)
    def move_the_clock(self, by: int) -> None:
        self.store.execute(self.reading())  # ends what has lapsed until now
        self.model.lapse(self.clock.now)
        newest = self.model.head * width_of(MINUTE)
        records = [*(kept.expires for kept in self.model.kept.values()), *self.model.settled.values()]
        expired = [at for at in records if at <= self.clock.now]
        self.clock.now = max(self.clock.now + by, newest - MINUTE, *expired)  # back by less than what drops records

    @rule(name=st.sampled_from(sorted(LIMITS)), size=st.sampled_from([UNLIMITED, 40, 15, 5, 0]))
    def resize(self, name: str, size: Size) -> None:
        self.sizes[name] = size
        self.most, _ = self.model.held()

    # Charges

    @rule(costs=several, key=names, peeks=st.sampled_from([False, False, False, True]))
    def consume(self, costs: dict[str, int], key: str | None, peeks: bool) -> None:
        parts = tuple(self.part(LIMITS[name], cost) for name, cost in costs.items())
        if peeks:
            self.charge(Charge(ACCOUNT, parts, Verb.PEEK))
            return
        nameless = key is None and set(costs) == {"api"}
        operation = None if nameless else self.operation(key)
        self.charge(Charge(ACCOUNT, parts, Verb.CONSUME, None, operation, key is not None))

    @rule(costs=several, key=names, ttl=ttls)
    def reserve(self, costs: dict[str, int], key: str | None, ttl: int) -> None:
        parts = tuple(self.part(LIMITS[name], cost) for name, cost in costs.items())
        self.charge(Charge(ACCOUNT, parts, Verb.RESERVE, None, self.operation(key), key is not None, ttl))

    def operation(self, key: str | None) -> str:
        return f"k:{key}" if key else f"o:{self.serial}"

    @precondition(lambda self: self.made)
    @rule(data=st.data(), looks=st.booleans(), more=st.sampled_from([0, 0, 1]))
    def take_again(self, data: st.DataObject, looks: bool, more: int) -> None:
        order, *_ = data.draw(st.sampled_from(self.made[::-1][:5]))
        parts = tuple(self.part(part.limit, part.cost + more) for part in order.parts)
        order = replace(order, parts=parts)
        if looks:
            self.recall(order)
        else:
            self.charge(order)

    def recall(self, order: Charge) -> None:
        kept = self.model.alive(order.operation, self.clock.now)
        answer = self.store.execute(Recall(order))
        self.model.lapse(self.clock.now)
        if kept is None:
            expected = Status.REUSED if order.operation in self.model.reserved else Status.UNKNOWN
        else:
            expected = Status.REPLAYED if content(kept.order) == content(order) else Status.REUSED
            self.model.give(order.operation, expected is Status.REPLAYED)
        assert expected == answer.status

    @rule(holder=holders, gives=st.booleans())
    def assign(self, holder: str, gives: bool) -> None:
        if gives:
            self.charge(Charge(ACCOUNT, (self.part(AGENTS),), Verb.ASSIGN, operation=f"o:{self.serial}", holder=holder))
            return
        answer = self.store.execute(Unassign(ACCOUNT, "agents", holder))
        self.model.lapse(self.clock.now)
        assert (holder in self.model.holders) == answer
        self.model.holders.discard(holder)

    # Later orders

    @precondition(lambda self: self.reserved())
    @rule(
        data=st.data(),
        committed=st.none() | st.dictionaries(st.sampled_from(["leads", "agents", "api"]), shares),
        again=st.booleans(),
        given_up=st.booleans(),
    )
    def settle(self, data: st.DataObject, committed: dict[str, int] | None, again: bool, given_up: bool) -> None:
        order, now = data.draw(st.sampled_from(self.reserved()[::-1][:3])), self.clock.now
        id = order.operation
        asked = {part.limit.name: part.cost for part in order.parts if part.limit is not API}
        wanted = asked if committed is None else {name: amount for name, amount in committed.items() if amount}
        recharge = None
        if again and wanted:
            parts = tuple(self.part(LIMITS[name], amount) for name, amount in wanted.items())
            recharge = Charge(ACCOUNT, parts, operation=f"{id}:recharge")
        amounts = None if committed is None else tuple(committed.items())
        given_up = given_up and committed == {}
        answer = self.store.execute(Settle(ACCOUNT, id, amounts, recharge, given_up=given_up))
        if id in self.model.reserved and now < self.model.reserved[id][0]:
            if given_up and self.model.callers.get(id) and self.model.alive(id, now):
                self.model.callers[id] -= 1
                assert Settled(True, "*", now=now) == answer
                return
            lapses, held = self.model.reserved[id][:2]
            excess = next((name for name in committed or {} if name not in held), None)
            kept = held if not committed else dict.fromkeys(held, 0) | {"api": held.get("api", 0)} | committed
            kept = {name: kept[name] for name in held}
            assert (excess is None, excess) == answer[:2]
            if excess is None:
                assert (kept if committed != {} else {}) == {each.limit: each.kept for each in answer.units}
                self.model.end(id, {} if committed == {} else kept, now)
                self.most = max(self.most, self.model.held()[0])
                self.model.settled[id] = settled_record_expiry(id, max(now, lapses), now)
                if committed == {}:
                    self.model.kept.pop(id, None)
            return
        self.model.lapse(now)
        done = (not wanted and committed is not None) or now < self.model.settled.get(id, 0)
        if not done and recharge:
            self.serial += 1
            status, _ = self.model.answer(recharge, now, f"#{self.serial}")
            done = status in (Status.ADMITTED, Status.REPLAYED)
            if done:
                self.model.settled[id] = settled_record_expiry(id, now, now)
        assert (done, None) == answer[:2]

    def reserved(self) -> list[Charge]:
        latest = {order.operation: order for order, *_ in self.made if order.operation}
        return [order for order in latest.values() if order.verb is Verb.RESERVE]

    @precondition(lambda self: self.made)
    @rule(data=st.data(), rates=st.booleans())
    def refund(self, data: st.DataObject, rates: bool) -> None:
        latest = {made[0].operation or made[2]: made for made in self.made}
        order, outcome, tag = data.draw(st.sampled_from(list(latest.values())[::-1][:5]))
        taken = tuple(
            (part, line)
            for part, line in zip(order.parts, outcome.lines, strict=True)
            if part.limit is API and line.taken
        )
        if not any(line.taken for line in outcome.lines):
            return  # nothing was taken, so nothing is refunded
        if order.operation is None:
            self.made.remove((order, outcome, tag))
            self.store.execute(Refund(ACCOUNT, None, True, taken))
            self.model.calls = [call for call in self.model.calls if call[2] != tag]
            return
        asked = Refund(ACCOUNT, order.operation, rates, taken)
        back = self.store.execute(asked)
        self.model.lapse(self.clock.now)
        kept = self.model.alive(order.operation, self.clock.now)
        assert self.model.refund(asked, kept, tag) in {back, None}

    @rule(amount=units)
    def release(self, amount: int) -> None:
        answer = self.store.execute(Release(ACCOUNT, "agents", amount))
        self.model.lapse(self.clock.now)
        expected = min(amount, self.model.anonymous)
        self.model.anonymous -= expected

        assert expected == answer

    @rule(limit=st.sampled_from([LEADS, AGENTS]), total=st.integers(0, 25))
    def set_usage(self, limit: Limit, total: int) -> None:
        part = self.part(limit, total)
        answer = self.store.execute(SetUsage(ACCOUNT, part))
        now = self.clock.now
        self.model.lapse(now)
        used, reserved = self.model.stands(part, now)
        least = reserved if limit is LEADS else reserved + len(self.model.holders)
        if total < least:
            assert Totalled(None, least, now=now) == answer
            return
        assert (total, reserved) == answer.line[1:3]
        if limit is LEADS:
            self.model.write(now, part.size).used = total
        else:
            self.model.anonymous += total - used
            self.most = total

    @precondition(lambda self: len(self.made) > 7)
    @rule()
    def close(self) -> None:
        """Return all units, which must be as many as were held, and forget the account."""
        held = self.store.execute(self.reading()).lines[2].used
        cancelled = [self.store.execute(Settle(ACCOUNT, id, ())).done for id in self.model.reserved]
        after = self.store.execute(self.reading()).lines[2]
        freed = [self.store.execute(Unassign(ACCOUNT, "agents", holder)) for holder in self.model.holders]
        released = self.store.execute(Release(ACCOUNT, "agents", held + 1))

        assert all(cancelled)
        assert all(freed)
        assert (len(freed) + released, 0) == (after.used, after.reserved)
        assert 0 == self.store.execute(self.reading()).lines[2].used
        self.store.execute(Forget(ACCOUNT))
        self.model, self.made = Model(), []

    # What always holds

    @invariant()
    def every_meter_stands_where_the_model_says(self) -> None:
        read = self.store.execute(self.reading())
        self.model.lapse(self.clock.now)
        parts = [self.part(limit) for limit in LIMITS.values()]

        assert Status.ADMITTED is read.status
        assert [self.model.stands(part, self.clock.now) for part in parts] == [line[1:3] for line in read.lines]
        assert tuple(sorted(self.model.holders)) == self.store.execute(ReadHolders(ACCOUNT, "agents"))

    @invariant()
    def the_history_is_that_of_the_model(self) -> None:
        part, now = self.part(LEADS), self.clock.now
        answer = self.store.execute(ReadHistory(ACCOUNT, part))
        running = self.model.month(now)
        months = {**self.model.months, running: replace(self.model.months.get(running, Month()), size=part.size)}
        expected = [(start, months[start].used, months[start].denied, months[start].size) for start in sorted(months)]

        assert expected[::-1][:13] == [(each.start, each.used, each.denied, each.size) for each in answer.counts]

    @invariant()
    def an_allocation_is_above_its_limit_only_where_that_was_lowered_or_the_total_set(self) -> None:
        used = self.store.execute(self.reading()).lines[2].used
        size = self.sizes["agents"]

        assert size is UNLIMITED or used <= max(size, self.most)
        self.most = min(self.most, used)


@pytest.mark.timeout(900)  # of the profile that tries hard
def test_whatever_is_asked_of_an_account_it_stands_where_a_plain_model_of_it_does():
    often = 3 * settings().max_examples
    run_state_machine_as_test(Account, settings=settings(max_examples=often, stateful_step_count=60))


# --- One thing at a time ------------------------------------------------------------------------------------------

SHADOW_API = Rate("api", MINUTE, mode=Mode.SHADOW)
SHADOW_LEADS = Quota("leads", mode=Mode.SHADOW)
SHADOW_AGENTS = Allocation("agents", mode=Mode.SHADOW)
BY_ADDRESS = Rate("by-address", MINUTE, per="ip")


class Books:
    """One account in its own store, with short helpers for orders."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.execute = self.store.execute

    @property
    def ledger(self) -> Ledger:
        return self.store._find(ACCOUNT) or Ledger()

    def part(self, limit: Limit, cost: int = 1, size: Size = 10, *, app: int | None = None) -> Part:
        ends = ends_around(None, self.clock.now if app is None else app) if isinstance(limit, Quota) else None
        return Part(limit, size, cost, ends)

    def charge(self, operation: str | None, *parts: Part, verb: Verb = Verb.CONSUME, **more: Any) -> Outcome:
        keyed = bool(operation and operation.startswith("k:"))
        return self.execute(Charge(ACCOUNT, parts, verb, operation=operation, keyed=keyed, **more))

    def reserve(self, operation: str, *parts: Part, ttl: int = MINUTE) -> Outcome:
        return self.charge(operation, *parts, verb=Verb.RESERVE, ttl=ttl)

    def settle(self, reservation: str, amounts: Any = None, recharge: Charge | None = None) -> Settled:
        return self.execute(Settle(ACCOUNT, reservation, amounts, recharge))

    def used(self, limit: Limit) -> int:
        return self.execute(Read(ACCOUNT, (self.part(limit),))).lines[0].used

    def reserved(self, limit: Limit) -> int:
        return self.execute(Read(ACCOUNT, (self.part(limit),))).lines[0].reserved

    def refund(self, operation: str | None, outcome: Outcome, *parts: Part, rates: bool = True, **more: Any) -> bool:
        taken = tuple(
            (part, line)
            for part, line in zip(parts, outcome.lines, strict=True)
            if isinstance(part.limit, Rate) and line.taken
        )
        return self.execute(Refund(ACCOUNT, operation, rates, taken, **more))

    def denied(self) -> int:
        return self.execute(ReadHistory(ACCOUNT, self.part(LEADS))).counts[0].denied


@pytest.fixture
def books() -> Books:
    return Books()


# All or nothing


@pytest.mark.parametrize("full", [API, LEADS, AGENTS], ids=lambda limit: limit.name)
@pytest.mark.parametrize("verb", [Verb.CONSUME, Verb.RESERVE], ids=str)
def test_one_full_limit_refuses_the_whole_charge_and_nothing_is_taken(books, full, verb):
    books.charge("o:1", books.part(full, 10))
    parts = [books.part(limit, 1) for limit in (API, LEADS, AGENTS)]

    outcome = books.charge("o:2", *parts, verb=verb, ttl=MINUTE)

    assert Status.REFUSED is outcome.status
    assert [limit is not full for limit in (API, LEADS, AGENTS)] == [line.fits for line in outcome.lines]
    assert [10 * (limit is full) for limit in (API, LEADS, AGENTS)] == [
        books.used(limit) for limit in (API, LEADS, AGENTS)
    ]


def test_a_refused_charge_counts_as_denied_of_the_quotas_that_themselves_refuse_each_time(books):
    mails = Quota("mails")
    parts = books.part(LEADS, 11), books.part(mails, 4)

    for _ in range(3):
        books.charge("k:same", *parts)

    denied = [books.execute(ReadHistory(ACCOUNT, books.part(limit))).counts[0].denied for limit in (LEADS, mails)]
    assert [33, 0] == denied


def test_a_peek_counts_nothing_as_denied(books):
    books.charge(None, books.part(LEADS, 11), verb=Verb.PEEK)

    assert 0 == books.denied()


@pytest.mark.parametrize(("cost", "status"), [(10, Status.ADMITTED), (11, Status.REFUSED)])
def test_a_peek_says_what_a_charge_would_get_and_takes_nothing(books, cost, status):
    parts = books.part(API, cost), books.part(LEADS, 1), books.part(AGENTS, 1)
    outcome = books.charge(None, *parts, verb=Verb.PEEK)

    assert (status, [cost == 10, True, True]) == (outcome.status, [line.fits for line in outcome.lines])
    assert [0, 0, 0] == [books.used(limit) for limit in (API, LEADS, AGENTS)]
    assert status is books.charge("o:1", *parts).status


# Keys


def test_a_repeat_gets_the_first_outcome_and_the_sizes_it_was_held_to(books):
    first = books.charge("k:import", books.part(API, 2), books.part(LEADS, 3))
    books.charge("o:other", books.part(LEADS, 5))

    again = books.charge("k:import", books.part(API, 2, 99), books.part(LEADS, 3, UNLIMITED))

    assert first._replace(status=Status.REPLAYED, sizes=(10, 10)) == again
    assert (2, 8) == (books.used(API), books.used(LEADS))


def test_a_repeat_may_name_its_limits_in_another_order(books):
    books.charge("k:import", books.part(API, 2), books.part(LEADS, 3))

    assert Status.REPLAYED is books.charge("k:import", books.part(LEADS, 3), books.part(API, 2)).status


@pytest.mark.parametrize(
    "other",
    [
        lambda books: books.charge("k:import", books.part(LEADS, 4)),
        lambda books: books.charge("k:import", books.part(AGENTS, 3)),
        lambda books: books.charge("k:import", books.part(LEADS, 3), books.part(AGENTS, 1)),
        lambda books: books.reserve("k:import", books.part(LEADS, 3)),
        lambda books: books.charge("k:import", books.part(LEADS, 3), scope="10.0.0.1"),
        lambda books: books.charge("k:import", books.part(LEADS, 3), holder="ada"),
    ],
    ids=["amount", "limit", "more", "verb", "scope", "holder"],
)
def test_a_key_that_stands_for_another_charge_is_refused_and_takes_nothing(books, other):
    books.charge("k:import", books.part(LEADS, 3))

    assert Status.REUSED is other(books).status
    assert (3, 0) == (books.used(LEADS), books.used(AGENTS))


def test_a_refusal_leaves_no_record(books):
    books.charge("k:import", books.part(LEADS, 11))

    assert Status.ADMITTED is books.charge("k:import", books.part(LEADS, 1)).status


def test_a_look_for_a_record_charges_nothing(books):
    order = Charge(ACCOUNT, (books.part(LEADS, 3),), operation="k:import", keyed=True)

    assert Status.UNKNOWN is books.execute(Recall(order)).status
    assert 0 == books.used(LEADS)
    books.execute(order)
    assert Status.REPLAYED is books.execute(Recall(order)).status
    assert 3 == books.used(LEADS)


@pytest.mark.parametrize(("operation", "lives"), [("o:1", 10 * MINUTE), ("k:1", 24 * HOUR)])
def test_an_operation_is_recognised_for_ten_minutes_ours_and_for_a_day_a_callers(books, operation, lives):
    books.charge(operation, books.part(LEADS, 2))

    books.clock.now += lives - 1
    assert Status.REPLAYED is books.charge(operation, books.part(LEADS, 2)).status
    books.clock.now += 1
    assert Status.ADMITTED is books.charge(operation, books.part(LEADS, 2)).status


def test_no_more_operations_than_the_cap_are_kept_and_the_oldest_of_ours_goes_first(books):
    books.charge("k:0", books.part(LEADS, 1, UNLIMITED))
    ours = [books.charge(f"o:{at}", books.part(LEADS, 1, UNLIMITED)).forgotten for at in range(MAX_OPERATIONS - 1)]

    newcomer = books.charge("k:1", books.part(LEADS, 1, UNLIMITED))

    assert 4096 == MAX_OPERATIONS
    assert (0, 1) == (sum(ours), newcomer.forgotten)
    assert ["k:0", "k:1"] == list(books.ledger.keyed_operations)
    assert [f"o:{at}" for at in range(1, MAX_OPERATIONS - 1)] == list(books.ledger.operations)


def test_the_oldest_of_callers_goes_where_none_is_ours(books):
    for at in range(MAX_OPERATIONS):
        books.charge(f"k:{at}", books.part(LEADS, 1, UNLIMITED))

    newcomer = books.charge("k:new", books.part(LEADS, 1, UNLIMITED))

    assert (1, MAX_OPERATIONS) == (newcomer.forgotten, len(books.ledger.keyed_operations))
    assert Status.ADMITTED is books.charge("k:0", books.part(LEADS, 1, UNLIMITED)).status
    assert Status.REPLAYED is books.charge("k:new", books.part(LEADS, 1, UNLIMITED)).status


def test_what_came_just_now_is_kept_although_all_others_are_callers(books):
    for at in range(MAX_OPERATIONS):
        books.charge(f"k:{at}", books.part(LEADS, 1, UNLIMITED))

    ours = [books.charge(f"o:{at}", books.part(LEADS, 1, UNLIMITED)).forgotten for at in range(2)]

    assert [1, 1] == ours
    assert ["o:1"] == list(books.ledger.operations)  # the one before it went, not another of callers'
    assert ["k:1", MAX_OPERATIONS - 1] == [
        next(iter(books.ledger.keyed_operations)),
        len(books.ledger.keyed_operations),
    ]
    assert books.execute(Refund(ACCOUNT, "o:1"))


def test_a_charge_drops_up_to_four_expired_operations_of_each_kind(books):
    for at in range(10):
        books.charge(f"o:{at}", books.part(LEADS, 1, UNLIMITED))
        books.charge(f"k:{at}", books.part(LEADS, 1, UNLIMITED))
    books.clock.now += DAY

    books.charge("o:new", books.part(LEADS, 1, UNLIMITED))

    assert ["o:4", "o:5", "o:6", "o:7", "o:8", "o:9", "o:new"] == list(books.ledger.operations)
    assert ["k:4", "k:5", "k:6", "k:7", "k:8", "k:9"] == list(books.ledger.keyed_operations)


# Refunds


def test_a_refund_comes_once(books):
    parts = books.part(LEADS, 3), books.part(AGENTS, 2)
    outcome = books.charge("o:1", *parts)
    books.charge("o:2", *parts)

    assert [True, False] == [books.refund("o:1", outcome, *parts) for _ in range(2)]
    assert (3, 2) == (books.used(LEADS), books.used(AGENTS))


def test_a_refund_comes_late_by_less_than_the_life_of_its_operation(books):
    part = books.part(LEADS, 3)
    first, second = books.charge("o:1", part), books.charge("o:2", part)

    books.clock.now += 10 * MINUTE - 1
    assert books.refund("o:1", first, part)
    books.clock.now += 1
    assert not books.refund("o:2", second, part)
    assert 3 == books.used(LEADS)


@pytest.mark.parametrize("rates", [False, True])
def test_rates_of_a_mixed_charge_come_back_only_where_that_is_said(books, rates):
    parts = books.part(API, 4), books.part(LEADS, 3)
    outcome = books.charge("o:1", *parts)

    assert books.refund("o:1", outcome, *parts, rates=rates)
    assert (0 if rates else 4, 0) == (books.used(API), books.used(LEADS))


def test_a_refund_that_may_not_touch_rates_leaves_those_of_a_charge_of_rates_alone_to_come_back(books):
    part = books.part(API, 4)
    outcome = books.charge("k:1", part)

    assert [False, True, False] == [books.refund("k:1", outcome, part, rates=rates) for rates in (False, True, True)]
    assert 0 == books.used(API)


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("api", [(API, UNLIMITED), (SHADOW_API, 0), (SHADOW_API, 1)], ids=["unlimited", "none", "full"])
def test_a_rate_that_took_nothing_is_no_obstacle_to_a_refund(books, api, rates):
    parts = books.part(LEADS, 3), books.part(api[0], 2, api[1])
    outcome = books.charge("k:1", *parts)

    assert Status.ADMITTED is outcome.status
    assert books.refund("k:1", outcome, *parts, rates=rates)
    assert not books.refund("k:1", outcome, *parts, rates=rates)
    assert 0 == books.used(LEADS)


def test_a_charge_of_rates_alone_gives_back_by_its_lines(books):
    part = books.part(API, 4)
    outcome = books.charge(None, part)
    books.charge(None, books.part(API, 5))

    assert books.refund(None, outcome, part)
    assert 5 == books.used(API)


@pytest.mark.parametrize(
    "other",
    [Rate("api", HOUR), Rate("api", MINUTE, Algorithm.TOKEN_BUCKET), Rate("api", MINUTE, Algorithm.FIXED)],
    ids=["window", "token-bucket", "fixed"],
)
def test_what_was_taken_under_another_law_cannot_be_given_back(books, other):
    books.clock.now = NOW // HOUR * HOUR
    part = books.part(API, 4)
    outcome = books.charge(None, part)
    books.charge(None, books.part(other, 6))

    books.refund(None, outcome, part)

    assert 6 == books.used(other)


def test_a_refund_of_an_assignment_takes_the_unit_from_its_holder(books):
    outcome = books.charge("o:1", books.part(AGENTS), verb=Verb.ASSIGN, holder="ada")

    assert books.refund("o:1", outcome, books.part(AGENTS))
    assert () == books.execute(ReadHolders(ACCOUNT, "agents"))


def test_an_assignment_that_took_nothing_has_nothing_to_give_back(books):
    books.charge("o:1", books.part(AGENTS), verb=Verb.ASSIGN, holder="ada")
    again = books.charge("o:2", books.part(AGENTS), verb=Verb.ASSIGN, holder="ada")

    assert not books.refund("o:2", again, books.part(AGENTS))
    assert ("ada",) == books.execute(ReadHolders(ACCOUNT, "agents"))


def test_a_refund_goes_to_the_period_it_was_taken_from(books):
    books.clock.now = to_instant(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    part = books.part(LEADS, 3)
    outcome = books.charge("o:1", part)
    books.clock.now += 2 * MINUTE
    books.charge("o:2", books.part(LEADS, 4))

    assert books.refund("o:1", outcome, part)
    assert [4, 0] == [each.used for each in books.execute(ReadHistory(ACCOUNT, books.part(LEADS))).counts]


# Reservations


def test_what_is_reserved_is_used_until_it_is_settled(books):
    books.reserve("o:r", books.part(LEADS, 6), books.part(AGENTS, 4))

    assert [(6, 6), (4, 4)] == [(books.used(limit), books.reserved(limit)) for limit in (LEADS, AGENTS)]
    settled = books.settle("o:r", (("leads", 5), ("agents", 1)))
    assert (True, [("leads", 5), ("agents", 1)]) == (settled.done, [each[:2] for each in settled.units])
    assert [(5, 0), (1, 0)] == [(books.used(limit), books.reserved(limit)) for limit in (LEADS, AGENTS)]


@pytest.mark.parametrize(("amounts", "stays"), [(None, 6), (4, 4), (0, 0), ((), 0), ((("leads", 2),), 2)])
def test_a_commit_keeps_what_it_says_and_gives_the_rest_back(books, amounts, stays):
    books.reserve("o:r", books.part(LEADS, 6))

    assert books.settle("o:r", amounts).done
    assert (stays, 0) == (books.used(LEADS), books.reserved(LEADS))


@pytest.mark.parametrize(("amounts", "excess"), [((("agents", 1), ("leads", 1), ("api", 1)), "api"), (3, "*")])
def test_a_commit_of_what_was_not_reserved_settles_nothing(books, amounts, excess):
    books.reserve("o:r", books.part(LEADS, 6), books.part(AGENTS, 4))

    assert Settled(False, excess, now=NOW) == books.settle("o:r", amounts)
    assert [6, 4] == [books.reserved(limit) for limit in (LEADS, AGENTS)]


@pytest.mark.parametrize("second", [None, (), (("agents", 1),)], ids=["commit", "cancel", "partial"])
def test_a_second_commit_or_cancel_does_nothing(books, second):
    books.reserve("o:r", books.part(AGENTS, 4))
    books.settle("o:r", 3)

    assert books.settle("o:r", second).done
    assert 3 == books.used(AGENTS)


@pytest.mark.parametrize("operation", ["o:r", "k:r"])
@pytest.mark.parametrize("before", [SECOND, 9 * MINUTE, 11 * MINUTE, 24 * HOUR - SECOND])
def test_a_second_commit_within_ten_minutes_of_the_first_does_nothing(books, operation, before):
    books.reserve(operation, books.part(AGENTS, 4), ttl=25 * HOUR)
    books.clock.now += before
    books.settle(operation)
    books.clock.now += 10 * MINUTE - 1
    recharge = Charge(ACCOUNT, (books.part(AGENTS, 4),), operation="o:recharge")

    assert books.settle(operation, None, recharge).done
    assert 4 == books.used(AGENTS)


def test_a_reservation_lapses_at_its_end_and_gives_all_back(books):
    books.reserve("o:r", books.part(LEADS, 6), books.part(AGENTS, 4), ttl=MINUTE)

    books.clock.now += MINUTE - 1
    assert [6, 4] == [books.used(limit) for limit in (LEADS, AGENTS)]
    books.clock.now += 1
    assert [0, 0] == [books.used(limit) for limit in (LEADS, AGENTS)]


def test_a_reservation_lapses_although_a_longer_one_was_made_after_it(books):
    books.reserve("o:short", books.part(AGENTS, 4), ttl=MINUTE)
    books.reserve("o:long", books.part(AGENTS, 5), ttl=HOUR)
    books.clock.now += MINUTE

    assert 5 == books.used(AGENTS)


def test_a_reservation_is_settled_and_never_refunded(books):
    parts = books.part(API, 2), books.part(AGENTS, 4)
    outcome = books.reserve("o:r", *parts)

    assert not books.refund("o:r", outcome, *parts)
    assert (2, 4, 4) == (books.used(API), books.used(AGENTS), books.reserved(AGENTS))


def test_a_lapsed_reservation_leaves_room_for_the_very_next_charge(books):
    books.reserve("o:r", books.part(AGENTS, 10), ttl=MINUTE)
    books.clock.now += MINUTE

    assert Status.ADMITTED is books.charge("o:1", books.part(AGENTS, 10)).status


def test_a_commit_after_the_end_charges_anew_once(books):
    books.reserve("o:r", books.part(AGENTS, 4), ttl=MINUTE)
    books.clock.now += MINUTE
    parts = (books.part(AGENTS, 4),)

    assert [True, True] == [
        books.settle("o:r", None, Charge(ACCOUNT, parts, operation=f"o:recharge-{at}")).done for at in range(2)
    ]
    assert (4, 0) == (books.used(AGENTS), books.reserved(AGENTS))


def test_a_commit_after_the_end_fails_where_its_units_have_gone_to_others(books):
    books.reserve("o:r", books.part(AGENTS, 4), ttl=MINUTE)
    books.clock.now += MINUTE
    books.charge("o:1", books.part(AGENTS, 8))
    recharge = Charge(ACCOUNT, (books.part(AGENTS, 4),), operation="o:recharge")

    assert not books.settle("o:r", None, recharge).done
    assert 8 == books.used(AGENTS)


def test_a_commit_after_the_end_fails_where_nobody_knows_what_was_reserved(books):
    books.reserve("o:r", books.part(AGENTS, 4), ttl=MINUTE)
    books.clock.now += MINUTE

    assert [False, True] == [books.settle("o:r", amounts).done for amounts in (None, ())]


def test_a_commit_counts_in_the_period_in_which_it_was_reserved(books):
    books.clock.now = to_instant(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    books.reserve("o:r", books.part(LEADS, 6), ttl=HOUR)
    books.clock.now += 2 * MINUTE
    books.charge("o:1", books.part(LEADS, 10))

    assert books.settle("o:r", 5).done
    assert [10, 5] == [each.used for each in books.execute(ReadHistory(ACCOUNT, books.part(LEADS))).counts]


@pytest.mark.parametrize(("amounts", "api", "leads"), [((), 0, 0), (None, 5, 6), (9, 5, 9), ((("api", 3),), 3, 0)])
def test_a_rate_of_a_reservation_is_settled_with_it_or_stays_as_it_was_taken(books, amounts, api, leads):
    books.reserve("o:r", books.part(API, 5), books.part(LEADS, 6))
    books.settle("o:r", amounts)

    assert (api, leads) == (books.used(API), books.used(LEADS))


def test_a_reservation_outlives_a_limit_that_is_lowered(books):
    books.reserve("o:r", books.part(AGENTS, 6))
    books.charge("o:1", books.part(AGENTS, 1, 2))

    assert books.settle("o:r").done
    assert 6 == books.used(AGENTS)


@pytest.mark.parametrize(("open_before", "left"), [(0, 0), (MAX_SWEPT_AT_ONCE, 3)])
def test_one_order_ends_all_lapsed_reservations_of_few_or_64_of_many_the_earliest_first(books, open_before, left):
    count = MAX_SWEPT_RESERVATIONS + 3
    for at in range(open_before):
        books.reserve(f"o:open-{at}", books.part(AGENTS, 1, UNLIMITED), ttl=DAY)
    for at in range(count):
        books.reserve(f"o:{at}", books.part(AGENTS, 1, UNLIMITED), ttl=MINUTE + count - at)
    books.clock.now += HOUR

    books.execute(ReadHistory(ACCOUNT, books.part(LEADS)))

    assert 64 == MAX_SWEPT_RESERVATIONS
    assert [f"o:{at}" for at in range(left)] == list(books.ledger.bookings)[open_before:]
    assert [open_before] * 2 == [books.used(AGENTS), len(books.ledger.bookings)]


def test_a_key_is_taken_while_its_reservation_is_open_and_free_once_that_has_lapsed(books):
    parts = (books.part(AGENTS, 4),)
    books.reserve("k:r", *parts, ttl=25 * HOUR)

    books.clock.now += 24 * HOUR
    assert Status.REUSED is books.reserve("k:r", *parts).status
    books.clock.now += HOUR
    assert Status.ADMITTED is books.reserve("k:r", *parts).status
    assert 4 == books.used(AGENTS)


def test_a_key_that_is_reserved_again_ends_its_lapsed_reservation_although_64_others_lapsed_before_it(books):
    books.reserve("k:r", books.part(AGENTS, 4, UNLIMITED), ttl=25 * HOUR)
    for at in range(MAX_SWEPT_AT_ONCE + MAX_SWEPT_RESERVATIONS):
        ttl = HOUR * (24 if at < MAX_SWEPT_RESERVATIONS else 48)
        books.reserve(f"o:{at}", books.part(AGENTS, 1, UNLIMITED), ttl=ttl)
    books.clock.now += 25 * HOUR

    again = books.reserve("k:r", books.part(AGENTS, 4, UNLIMITED))

    assert Status.ADMITTED is again.status
    held = MAX_SWEPT_AT_ONCE + 4
    assert (held, held) == (books.used(AGENTS), books.reserved(AGENTS))


# What is set, moved and forgotten


def test_a_total_may_be_set_above_the_limit_but_not_below_what_others_hold(books):
    books.charge("o:1", books.part(AGENTS), verb=Verb.ASSIGN, holder="ada")
    books.reserve("o:r", books.part(AGENTS, 2), books.part(LEADS, 3))

    assert Totalled(None, 3, now=NOW) == books.execute(SetUsage(ACCOUNT, books.part(AGENTS, 2)))
    assert Totalled(None, 3, now=NOW) == books.execute(SetUsage(ACCOUNT, books.part(LEADS, 2)))
    assert [3, 3] == [books.execute(SetUsage(ACCOUNT, books.part(limit, 3))).line.used for limit in (AGENTS, LEADS)]
    assert [25, 25] == [books.execute(SetUsage(ACCOUNT, books.part(limit, 25))).line.used for limit in (AGENTS, LEADS)]
    assert 22 == books.execute(Release(ACCOUNT, "agents", 100))


def test_whoever_is_unassigned_held_a_unit_once(books):
    books.charge("o:1", books.part(AGENTS), verb=Verb.ASSIGN, holder="ada")

    assert [True, False] == [books.execute(Unassign(ACCOUNT, "agents", "ada")) for _ in range(2)]
    assert (0, ()) == (books.used(AGENTS), books.execute(ReadHolders(ACCOUNT, "agents")))


@pytest.mark.parametrize("at", range(5))
def test_looking_writes_nothing_not_even_a_new_period(books, at):
    books.charge("k:1", books.part(API), books.part(LEADS, 2), books.part(AGENTS, 2))
    before = deepcopy(books.ledger)
    books.clock.now += 31 * DAY
    parts = books.part(API), books.part(LEADS), books.part(AGENTS)
    looks = [
        Charge(ACCOUNT, parts, Verb.PEEK),
        Read(ACCOUNT, parts),
        ReadHistory(ACCOUNT, parts[1]),
        ReadHolders(ACCOUNT, "agents"),
        Recall(Charge(ACCOUNT, parts, operation="k:1", keyed=True)),
    ]

    books.execute(looks[at])

    assert before == books.ledger


@pytest.mark.parametrize("law", [Rate("api", HOUR), Rate("api", MINUTE, Algorithm.FIXED)], ids=["window", "algorithm"])
def test_a_rate_whose_law_has_changed_starts_anew(books, law):
    books.charge(None, books.part(API, 10))

    assert 0 == books.used(law)
    assert Status.ADMITTED is books.charge(None, books.part(law, 10)).status


def test_a_new_burst_is_no_other_law(books):
    bucket = Rate("api", MINUTE, Algorithm.TOKEN_BUCKET, burst=10)
    books.charge(None, books.part(bucket, 10))

    assert 10 == books.used(replace(bucket, burst=25))


def test_a_scope_is_counted_beside_the_account(books):
    parts = books.part(BY_ADDRESS, 3), books.part(LEADS, 2)
    outcome = books.charge("o:1", *parts, scope="10.0.0.1")

    def reading(scope: str) -> list[int]:
        lines = books.execute(Read(ACCOUNT, (books.part(BY_ADDRESS), books.part(LEADS)), scope)).lines
        return [line.used for line in lines]

    assert [[3, 2], [0, 2]] == [reading("10.0.0.1"), reading("10.0.0.2")]
    assert books.refund("o:1", outcome, *parts, scope="10.0.0.1")
    assert [0, 0] == reading("10.0.0.1")


@pytest.mark.parametrize("operation", [None, "o:next", "k:next"])
def test_a_lapsed_reservation_of_a_scope_leaves_room_in_it_for_the_next_charge(books, operation):
    seats = Quota("seats", per="user")
    books.charge("o:r", books.part(seats, 10), verb=Verb.RESERVE, ttl=MINUTE, scope="ann")
    full = books.charge("o:early", books.part(seats, 1), scope="ann").status
    books.clock.now += MINUTE

    outcome = books.charge(operation, books.part(seats, 10), scope="ann")

    assert (Status.REFUSED, Status.ADMITTED) == (full, outcome.status)


@pytest.mark.parametrize("per", [None, "user"])
def test_a_charge_without_an_operation_ends_what_has_lapsed(books, per):
    seats = Allocation("seats", per=per)
    scope = "ann" if per else None
    books.charge("o:r", books.part(seats, 10), verb=Verb.RESERVE, ttl=MINUTE, scope=scope)
    books.clock.now += MINUTE

    assert Status.ADMITTED is books.charge(None, books.part(seats, 10), scope=scope).status


def test_a_rate_without_units_says_so_and_an_unlimited_one_is_not_counted(books):
    none, unlimited = books.part(API, 1, 0), books.part(API, 1, UNLIMITED)

    assert [(False, 0), (True, None)] == [
        (line.fits, line.used) for part in (none, unlimited) for line in books.charge("o:1", part, verb=Verb.PEEK).lines
    ]


# Versions


def test_each_invalidation_gives_a_version_of_its_own_though_the_clock_stands_or_goes_back(books):
    versions = [books.execute(Invalidate(ACCOUNT)).version]
    for move in (0, 0, -SECOND, 2 * SECOND):
        books.clock.now += move
        versions.append(books.execute(Invalidate(ACCOUNT)).version)

    first = versions[0]
    assert [first, first + 1, first + 2, first + 3, first + SECOND] == versions


@pytest.mark.parametrize(("later", "is_outdated"), [(KEPT - 1, True), (KEPT, False)])
def test_an_order_of_another_version_is_outdated_for_as_long_as_versions_are_kept(books, later, is_outdated):
    version = books.execute(Invalidate(ACCOUNT)).version
    books.clock.now = version + later
    answer = books.charge("o:1", books.part(API, 1), version=version - 1)

    assert is_outdated is isinstance(answer, Outdated)


def test_a_forgotten_account_holds_nothing_and_knows_no_key(books):
    parts = books.part(API, 5), books.part(LEADS, 3), books.part(AGENTS, 2)
    books.charge("k:1", *parts)
    books.reserve("o:r", books.part(AGENTS, 4))
    books.execute(Forget(ACCOUNT))

    assert [0, 0, 0] == [books.used(limit) for limit in (API, LEADS, AGENTS)]
    assert Status.ADMITTED is books.charge("k:1", *parts).status


# Limits that only measure


def test_a_shadow_rate_adds_nothing_beyond_its_limit_and_lets_all_through(books):
    outcomes = [books.charge(None, books.part(SHADOW_API, 6)) for _ in range(2)]

    assert [Status.ADMITTED, Status.ADMITTED] == [outcome.status for outcome in outcomes]
    assert [(True, 6), (False, 0)] == [(outcome.lines[0].fits, outcome.lines[0].taken) for outcome in outcomes]
    assert 6 == books.used(SHADOW_API)


def test_a_shadow_quota_counts_what_it_would_have_refused_as_used_and_denied(books):
    outcome = books.charge("o:1", books.part(SHADOW_LEADS, 11))

    assert (Status.ADMITTED, False) == (outcome.status, outcome.lines[0].fits)
    assert (11, 11) == (books.used(SHADOW_LEADS), books.denied())


def test_a_shadow_allocation_holds_more_than_its_limit(books):
    outcome = books.charge("o:1", books.part(SHADOW_AGENTS, 11))

    assert (Status.ADMITTED, False, 11) == (outcome.status, outcome.lines[0].fits, books.used(SHADOW_AGENTS))


def test_a_shadow_limit_refuses_nothing_beside_an_enforced_one(books):
    outcome = books.charge("o:1", books.part(SHADOW_API, 11), books.part(LEADS, 3))

    assert (Status.ADMITTED, [False, True]) == (outcome.status, [line.fits for line in outcome.lines])
    assert (0, 3) == (books.used(SHADOW_API), books.used(LEADS))


# Ends that are past


def orders(books: Books, app: int) -> Iterator[Any]:
    """Yield every order with period ends, from a caller with the clock *app*."""
    part = books.part(LEADS, 3, app=app)
    yield Charge(ACCOUNT, (books.part(API), part), operation="o:stale")
    yield Charge(ACCOUNT, (part._replace(cost=11),), operation="o:stale")
    yield Charge(ACCOUNT, (part,), Verb.RESERVE, operation="o:stale", ttl=HOUR)
    yield Charge(ACCOUNT, (part,), Verb.PEEK)
    yield Read(ACCOUNT, (books.part(API), part))
    yield SetUsage(ACCOUNT, part)
    yield ReadHistory(ACCOUNT, part)
    yield Settle(ACCOUNT, "o:gone", None, Charge(ACCOUNT, (part,), operation="o:stale"))


@pytest.mark.parametrize("behind", [-100 * DAY, 100 * DAY], ids=["ahead", "behind"])
@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("known", [False, True], ids=["newcomer", "known"])
def test_an_order_whose_ends_are_stale_says_so_with_the_stores_time_and_writes_nothing(books, known, at, behind):
    if known:
        books.charge("o:1", books.part(API), books.part(LEADS, 2), books.part(AGENTS, 2))
    before, size = deepcopy(books.ledger), len(books.store)

    answer = books.execute(list(orders(books, NOW - behind))[at])

    assert answer.status is Status.STALE if isinstance(answer, Outcome) else answer.stale
    assert NOW == answer.now
    assert (before, size) == (books.ledger, len(books.store))


def test_a_clock_that_went_back_by_weeks_opens_no_older_period(books):
    books.charge("o:1", books.part(LEADS, 3))
    books.clock.now -= 20 * DAY

    books.charge("o:2", books.part(LEADS, 4))

    assert [7] == [each.used for each in books.execute(ReadHistory(ACCOUNT, books.part(LEADS))).counts]
