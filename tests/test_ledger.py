"""One account's record agrees with a plain model of it, whatever is asked of it and in whatever order."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from strategies import NOW, ends_around, width_of

from entitlements.model.charge import (
    Charge,
    Forget,
    Outcome,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    Settle,
    Settled,
    SetUsage,
    Status,
    Totalled,
    Unassign,
    Verb,
)
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND, to_instant
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, Limit, Mode, Quota, Rate, Size
from entitlements.rules.ledger import MAX_OPERATIONS, SWEPT_OPERATIONS, SWEPT_RESERVATIONS, Ledger
from entitlements.stores import MemoryStore

ACCOUNT = "acme"
API = Rate("api", MINUTE)
LEADS = Quota("leads")
AGENTS = Allocation("agents")
LIMITS = {limit.name: limit for limit in (API, LEADS, AGENTS)}


@dataclass
class Clock:
    """A clock that a test moves, in microseconds."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


# --- The model ----------------------------------------------------------------------------------------------------


@dataclass
class Month:
    """What a quota counted in one month."""

    size: Size = 0
    used: int = 0
    reserved: int = 0
    denied: int = 0


@dataclass
class Kept:
    """An admitted charge as the model remembers it."""

    order: Charge
    expires: int
    lines: list[tuple[bool, int | None, int, int]]
    marks: dict[str, int]
    refunded: bool = False
    settled: bool = False


@dataclass
class Model:
    """What an account holds, in lists and dictionaries, by rules written anew: no outcome is shared with the store's."""

    calls: list[tuple[int, int, str]] = field(default_factory=list)
    """(bucket, units, tag) of each admitted charge of the rate."""
    head: int = 0
    months: dict[int, Month] = field(default_factory=dict)
    anonymous: int = 0
    holders: set[str] = field(default_factory=set)
    reserved: dict[str, tuple[int, dict[str, int], int]] = field(default_factory=dict)
    """id: (lapses at, units by limit, month)."""
    kept: dict[str, Kept] = field(default_factory=dict)

    def lapse(self, now: int) -> None:
        for id in [id for id, (expires, *_) in self.reserved.items() if expires <= now]:
            self.end(id, {})

    def end(self, id: str, committed: dict[str, int]) -> None:
        _, units, month = self.reserved.pop(id)
        for name, amount in units.items():
            stays = committed.get(name, 0)
            if name == "leads":
                self.months[month].reserved -= amount
                self.months[month].used += stays - amount
            else:
                self.anonymous += stays

    def bucket(self, now: int) -> int:
        return max(self.head, now // width_of(MINUTE))

    def month(self, now: int) -> int:
        return max([ends_around(None, now)[1], *self.months])

    def held(self) -> tuple[int, int]:
        reserved = sum(units.get("agents", 0) for _, units, _ in self.reserved.values())
        return self.anonymous + len(self.holders) + reserved, reserved

    def stands(self, part: Part, now: int) -> tuple[int | None, int]:
        """Return what is used and reserved."""
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
        """Answer a charge: its status, and for each part whether it fits, used, reserved and taken."""
        if kept := self.alive(order.operation, now):
            same = content(kept.order) == content(order)
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
            units = {part.limit.name: part.cost for part in order.parts if part.limit is not API}
            self.reserved[order.operation] = (now + order.ttl, units, self.month(now))
        lines = [(True, *self.stands(part, now), units) for part, units in zip(order.parts, taken, strict=True)]
        if order.operation and (order.holder is None or taken[0]):
            lives = DAY if order.keyed else 10 * MINUTE
            marks = {"api": self.head, "leads": self.month(now)}
            self.kept[order.operation] = Kept(order, now + lives, lines, marks)
        return Status.ADMITTED, lines

    def refund(self, order: Refund, kept: Kept | None, tag: str) -> bool:
        if kept is None or kept.refunded or kept.order.verb is Verb.RESERVE:
            return False
        units = {part.limit.name: line[3] for part, line in zip(kept.order.parts, kept.lines, strict=True)}
        if not order.rates:
            units.pop("api", None)
        if not any(units.values()):
            return False
        if "api" in units:
            self.calls = [call for call in self.calls if call[2] != tag]
        if "leads" in units:
            month = self.months[kept.marks["leads"]]
            month.used = max(month.reserved, month.used - units["leads"])
        if kept.order.holder:
            self.holders.discard(kept.order.holder)
        elif "agents" in units:
            self.anonymous = max(0, self.anonymous - units["agents"])
        kept.refunded = True
        return True


def content(order: Charge) -> tuple[Any, ...]:
    """Return what a key stands for."""
    return order.verb, {part.limit.name: part.cost for part in order.parts}, order.scope, order.holder


# --- The machine --------------------------------------------------------------------------------------------------

units = st.integers(1, 6)
several = st.builds(
    lambda names, costs: dict(zip(names, costs, strict=False)),
    st.sampled_from([("api", "leads", "agents"), ("leads", "api"), ("leads", "agents"), ("api",), ("leads",), ("agents",)]),
    st.tuples(units, units, units),
)
holders = st.sampled_from(["ada", "bob", "cleo"])
names = st.none() | st.sampled_from(["import", "export", "renewal"])
moves = st.sampled_from([-SECOND, -30 * SECOND, 1, SECOND, 30 * SECOND, MINUTE, 61 * SECOND, 9 * MINUTE, 10 * MINUTE, HOUR, DAY, 20 * DAY])
ttls = st.sampled_from([1, 30 * SECOND, 20 * MINUTE, 25 * HOUR])
shares = st.integers(0, 6)


class Account(RuleBasedStateMachine):
    """Every order, on one account, beside the model."""

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
        expired = [kept.expires for kept in self.model.kept.values() if kept.expires <= self.clock.now]
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

    @rule(costs=several.filter(lambda costs: set(costs) != {"api"}), key=names, ttl=ttls)
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

    # What comes after them

    @precondition(lambda self: self.reserved())
    @rule(
        data=st.data(),
        committed=st.none() | st.dictionaries(st.sampled_from(["leads", "agents"]), shares),
        again=st.booleans(),
    )
    def settle(self, data: st.DataObject, committed: dict[str, int] | None, again: bool) -> None:
        order, now = data.draw(st.sampled_from(self.reserved()[::-1][:3])), self.clock.now
        id = order.operation
        asked = {part.limit.name: part.cost for part in order.parts if part.limit is not API}
        wanted = asked if committed is None else {name: amount for name, amount in committed.items() if amount}
        anew = None
        if again and wanted:
            parts = tuple(self.part(LIMITS[name], amount) for name, amount in wanted.items())
            anew = Charge(ACCOUNT, parts, operation=f"{id}:anew")
        amounts = None if committed is None else tuple(committed.items())
        answer = self.store.execute(Settle(ACCOUNT, id, amounts, anew))
        if id in self.model.reserved and now < self.model.reserved[id][0]:
            held = self.model.reserved[id][1]
            excess = next((name for name, amount in (committed or {}).items() if amount > held.get(name, 0)), None)
            assert Settled(excess is None, excess, now=now) == answer
            if excess is None:
                self.model.end(id, held if committed is None else committed)
                self.settled(id)
            return
        self.model.lapse(now)
        kept = self.model.alive(id, now)
        done = not wanted or bool(kept and kept.settled)
        if not done and anew:
            self.serial += 1
            status, _ = self.model.answer(anew, now, f"#{self.serial}")
            done = status in (Status.ADMITTED, Status.REPLAYED)
            if done:
                self.settled(id)
        assert Settled(done, now=now) == answer

    def reserved(self) -> list[Charge]:
        latest = {order.operation: order for order, *_ in self.made if order.operation}
        return [order for order in latest.values() if order.verb is Verb.RESERVE]

    def settled(self, id: str) -> None:
        now = self.clock.now
        kept = self.model.alive(id, now)
        if kept:
            kept.settled, kept.expires = True, max(kept.expires, now + 10 * MINUTE)
        else:
            nothing = Charge(ACCOUNT, (), operation=id)
            self.model.kept[id] = Kept(nothing, now + 10 * MINUTE, [], {}, settled=True)

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
        if order.operation is None:
            self.made.remove((order, outcome, tag))
            if taken:
                self.store.execute(Refund(ACCOUNT, None, True, taken))
                self.model.calls = [call for call in self.model.calls if call[2] != tag]
            return
        asked = Refund(ACCOUNT, order.operation, rates, taken)
        back = self.store.execute(asked)
        self.model.lapse(self.clock.now)
        kept = self.model.alive(order.operation, self.clock.now)
        assert self.model.refund(asked, kept, tag) == back

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
        """Give everything back, so that as much comes out as was held, and forget the account."""
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


def test_whatever_is_asked_of_an_account_it_stands_where_a_plain_model_of_it_does():
    run_state_machine_as_test(Account, settings=settings(max_examples=3 * settings().max_examples, stateful_step_count=60))
