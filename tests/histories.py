"""Random histories of orders for a store, and the two stores that must answer them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import strategies as st
from strategies import NOW

from entitlements.model.charge import (
    Answer,
    Charge,
    Forget,
    Line,
    Order,
    Outcome,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    Settle,
    SetUsage,
    Status,
    Unassign,
    Verb,
)
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, Limit, Mode, Quota, Rate
from entitlements.model.names import MAX_COUNT, MAX_RATE
from entitlements.rules.periods import month_ends
from entitlements.stores import MemoryStore
from entitlements.stores.scripts import Script, on_injected_time
from entitlements.stores.wire import account_key, answer_of, call_of

ACCOUNT, SCOPES = "acme", ("10.0.0.1", "β")
TIMES_MOVED = 10**13
"""Milliseconds that the scripts on injected time add to every expiry."""


# --- The stores ---------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """A clock that a history moves, in microseconds."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


class TimedRedis:
    """The networked store's scripts, on a clock of ours; *change* may tamper with their text."""

    def __init__(self, client, clock: Clock, change: Callable[[Script], Script] = lambda script: script) -> None:
        self._client, self._clock = client, clock
        self._script = cache(lambda script: self._load(on_injected_time(change(script))))

    def _load(self, script: Script) -> bytes:
        self._client.script_load(script.text)
        return script.sha

    def execute(self, order: Order) -> Answer:
        call = call_of(order, "ent")
        reply = self._client.evalsha(
            self._script(call.script), len(call.keys), *call.keys, *call.args, str(self._clock())
        )
        return answer_of(order, reply)


# --- What is asked ------------------------------------------------------------------------------------------------

API = Rate("api", MINUTE)
RATES = [
    API,
    Rate("api", 61 * SECOND + 7),
    Rate("api", MINUTE, Algorithm.FIXED),
    Rate("api", MINUTE, Algorithm.TOKEN_BUCKET),
    Rate("api", MINUTE, Algorithm.TOKEN_BUCKET, burst=5),
    Rate("slow", 28 * DAY, Algorithm.TOKEN_BUCKET, burst=MAX_RATE),
    Rate("fixed", HOUR, Algorithm.FIXED),
    Rate("tiny", 61),
    Rate("soft", MINUTE, mode=Mode.SHADOW),
    Rate("soft-bucket", MINUTE, Algorithm.TOKEN_BUCKET, mode=Mode.SHADOW),
    Rate("ip", MINUTE, per="ip"),
    Rate("ip-fixed", SECOND, Algorithm.FIXED, per="ip"),
]
QUOTAS = [Quota("leads"), Quota("leads"), Quota("trials", mode=Mode.SHADOW)]
ALLOCATIONS = [Allocation("agents"), Allocation("agents"), Allocation("pets", mode=Mode.SHADOW)]
HOLDERS = ["ann", "zoë", "x:y"]
KEYS = ["k:a", "k:b", "k:ü\x7f"]

rate_sizes = st.sampled_from([1, 3, 10, 10, 10, 100, MAX_RATE])
sizes = st.sampled_from([0, 3, 10, 10, 10, 100, UNLIMITED, MAX_COUNT])
costs = st.sampled_from([1, 1, 1, 1, 1, 2, 2, 3, 3, 5, 10, 11, 100, MAX_RATE, MAX_RATE + 1, MAX_COUNT])
moves = st.sampled_from([
    *[0] * 10, *[1] * 5, *[SECOND] * 5, 2, 61, SECOND - 1, SECOND, SECOND, 5 * SECOND, 30 * SECOND, MINUTE - 1, MINUTE, MINUTE + 1, 61 * SECOND,
    2 * MINUTE, 10 * MINUTE - 1, 10 * MINUTE, HOUR, DAY - 1, DAY, 20 * DAY, 31 * DAY, 70 * DAY,
    -1, -SECOND, -MINUTE, -MINUTE - 1, -2 * MINUTE, -HOUR, -DAY,
])  # fmt: skip
anchors = st.sampled_from([None, None, None, 15, 31])
skews = st.sampled_from([0, 0, 0, 0, HOUR, -HOUR, 20 * DAY, -20 * DAY, 70 * DAY, -70 * DAY])
picks = st.sampled_from([0, 0, 0, 1, 2, 4])
ttls = st.sampled_from([1, SECOND, MINUTE, MINUTE, HOUR, 2 * DAY])


@st.composite
def parts_of(draw: st.DrawFn, limit: Limit) -> Part:
    """Return a share of a charge; its period ends, if it needs them, come when the time is known."""
    if isinstance(limit, Rate):
        return Part(limit, draw(rate_sizes), draw(costs))
    return Part(limit, draw(sizes), draw(costs))


@st.composite
def some_parts(draw: st.DrawFn, limits: list[Limit], most: int) -> tuple[Part, ...]:
    """Return parts of limits with different names."""
    chosen = draw(st.lists(st.sampled_from(limits), min_size=1, max_size=most, unique_by=lambda each: each.name))
    parts = []
    for limit in chosen:
        part = draw(parts_of(limit))
        if isinstance(limit, Rate) and draw(st.integers(0, 9)) == 0:
            part = part._replace(size=draw(st.sampled_from([0, UNLIMITED])))
        parts.append(part)
    return tuple(parts)


@dataclass
class Step:
    """One order to come: *kind* says which, the rest how; numbers pick among what was made before."""

    kind: str
    move: int
    parts: tuple[Part, ...] = ()
    anchor: int | None = None
    skew: int = 0
    verb: Verb = Verb.CONSUME
    key: str | None = None
    holder: str = "ann"
    ttl: int = MINUTE
    pick: int = 0
    amounts: Any = None
    flag: bool = False
    scope: str = SCOPES[0]


KINDS = ["one-rate"] * 10 + ["charge"] * 14 + ["reserve"] * 10 + ["assign"] * 6 + ["settle"] * 12 + ["refund"] * 8 + [
    *["again"] * 4, "recall", "recall", "release", "release", "unassign", "unassign", "unassign", "set-usage", "set-usage",
    *["read"] * 4, "history", "history", "holders", "forget",
]  # fmt: skip


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Return one step."""
    kind = draw(st.sampled_from(KINDS))
    step = Step(kind, draw(moves), anchor=draw(anchors), skew=draw(skews), scope=draw(st.sampled_from(SCOPES)))
    if kind == "one-rate":
        step.parts = (draw(parts_of(draw(st.sampled_from(RATES)))),)
    elif kind in {"charge", "read"}:
        step.parts = draw(some_parts([*RATES, *QUOTAS * 3, *ALLOCATIONS * 3], 5))
        step.verb = draw(st.sampled_from([Verb.CONSUME] * 3 + [Verb.PEEK] + [Verb.RESERVE] * 2))
        step.key = draw(st.sampled_from([None, None, None, *KEYS]))
        step.ttl = draw(ttls)
    elif kind == "reserve":
        parts = draw(some_parts([API, *QUOTAS, *ALLOCATIONS], 3))
        step.parts = tuple(part._replace(size=UNLIMITED, cost=draw(st.integers(1, 3))) for part in parts)
        step.verb, step.ttl, step.key = Verb.RESERVE, draw(ttls), draw(st.sampled_from([None, None, *KEYS]))
    elif kind in {"assign", "release", "unassign", "holders"}:
        step.parts = (Part(draw(st.sampled_from(ALLOCATIONS)), draw(sizes), 1),)
        step.holder, step.pick = draw(st.sampled_from(HOLDERS)), draw(st.sampled_from([1, 2, 3, 100]))
    elif kind == "settle":
        step.pick, step.flag = draw(picks), draw(st.booleans())
        step.amounts = draw(st.sampled_from(["all", "none", "half", 0, 1, 2, 3, "foreign"]))
    elif kind == "refund":
        step.pick, step.flag = draw(picks), draw(st.booleans())
    elif kind in {"again", "recall"}:
        step.pick = draw(picks)
    elif kind in {"set-usage", "history"}:
        limits = QUOTAS if kind == "history" else [*QUOTAS, *ALLOCATIONS]
        cost = draw(st.sampled_from([0, 1, 3, 10, 100, MAX_COUNT]))
        step.parts = (Part(draw(st.sampled_from(limits)), draw(sizes), cost),)
    return step


histories = st.lists(steps(), min_size=10, max_size=30)


# --- Playing them -------------------------------------------------------------------------------------------------


@dataclass
class Player:
    """Turns steps into orders: what a step picks is known only when its turn comes."""

    clock: Clock
    charges: list[tuple[Charge, Outcome]] = field(default_factory=list)
    bookings: list[Charge] = field(default_factory=list)
    named: int = 0

    def dated(self, parts: tuple[Part, ...], step: Step) -> tuple[Part, ...]:
        ends = month_ends(step.anchor, max(0, self.clock.now + step.skew))
        return tuple(part._replace(ends=ends) if isinstance(part.limit, Quota) else part for part in parts)

    def scope(self, parts: tuple[Part, ...], step: Step) -> str | None:
        return step.scope if any(isinstance(part.limit, Rate) and part.limit.per for part in parts) else None

    def order(self, step: Step) -> Order | None:
        match step.kind:
            case "one-rate":
                return Charge(ACCOUNT, step.parts, scope=self.scope(step.parts, step))
            case "charge" | "reserve" | "assign":
                return self._charge(step)
            case "read":
                parts = tuple(part._replace(cost=1) for part in self.dated(step.parts, step))
                return Read(ACCOUNT, parts, self.scope(parts, step))
            case "settle":
                return self._settle(step)
            case "refund":
                return self._refund(step)
            case "again" | "recall":
                return self._again(step)
            case "release":
                return Release(ACCOUNT, step.parts[0].limit.name, step.pick)
            case "unassign":
                return Unassign(ACCOUNT, step.parts[0].limit.name, step.holder)
            case "set-usage":
                return SetUsage(ACCOUNT, self.dated(step.parts, step)[0])
            case "history":
                return ReadHistory(ACCOUNT, self.dated(step.parts, step)[0])
            case "holders":
                return ReadHolders(ACCOUNT, step.parts[0].limit.name)
        return Forget(ACCOUNT)

    def _charge(self, step: Step) -> Charge:
        parts = self.dated(step.parts, step)
        verb = Verb.ASSIGN if step.kind == "assign" else step.verb
        if verb is Verb.RESERVE and all(isinstance(part.limit, Rate) for part in parts):
            verb = Verb.CONSUME
        self.named += 1
        operation = step.key or f"o:{self.named}"
        if verb is Verb.PEEK or (step.key is None and all(isinstance(part.limit, Rate) for part in parts)):
            operation = None
        holder = step.holder if verb is Verb.ASSIGN else None
        keyed = operation is not None and step.key is not None
        ttl = step.ttl if verb is Verb.RESERVE else 0
        return Charge(ACCOUNT, parts, verb, self.scope(parts, step), operation, keyed, ttl, holder)

    def _settle(self, step: Step) -> Settle | None:
        if not self.bookings:
            return Settle(ACCOUNT, "o:unknown", None)
        booked = self.bookings[-1 - step.pick % len(self.bookings)]
        held = [part for part in booked.parts if not isinstance(part.limit, Rate)]
        amounts = {
            "all": None,
            "none": (),
            "half": tuple((part.limit.name, part.cost // 2) for part in held),
            "foreign": (("other", 1),),
        }.get(step.amounts, step.amounts)
        anew = None
        if step.flag:
            dated = self.dated(tuple(held), step)
            anew = Charge(ACCOUNT, dated, operation=f"{booked.operation}:anew", keyed=False)
        return Settle(ACCOUNT, booked.operation or "", amounts, anew)

    def _refund(self, step: Step) -> Refund:
        if not self.charges:
            return Refund(ACCOUNT, "o:unknown", rates=True)
        charge, outcome = self.charges[-1 - step.pick % len(self.charges)]
        lines = zip(charge.parts, outcome.lines, strict=True)
        taken = {part.limit.name: (part, line) for part, line in lines if isinstance(part.limit, Rate)}
        others = {rate.name: (Part(rate, 1), Line(True, 0)) for rate in RATES}
        rates = tuple({**others, **taken}.values())  # the operation's id may stand for a later charge of other rates
        return Refund(ACCOUNT, charge.operation, step.flag, rates, charge.scope)

    def _again(self, step: Step) -> Order:
        if not self.charges:
            return ReadHolders(ACCOUNT, "agents")
        charge = self.charges[-1 - step.pick % len(self.charges)][0]
        if charge.operation is None or step.kind == "again":
            return charge
        return Recall(charge)

    def note(self, order: Order, answer: Answer) -> None:
        if isinstance(order, Charge) and isinstance(answer, Outcome) and answer.status is Status.ADMITTED:
            if order.verb is not Verb.PEEK:
                self.charges.append((order, answer))
            if order.verb is Verb.RESERVE:
                self.bookings.append(order)


def play(history: list[Step], client, change=lambda script: script) -> Iterator[tuple[Order, Answer, Answer]]:
    """
    Ask both stores the same and yield what they answer.

    Args:
        history: What to ask.
        client: Of a server that has nothing else to do.
        change: Tampers with the scripts.
    """
    client.flushdb()
    clock = Clock()
    memory, server = MemoryStore(clock), TimedRedis(client, clock, change)
    player = Player(clock)
    for step in history:
        clock.now = max(0, clock.now + step.move)
        order = player.order(step)
        expected = memory.execute(order)
        yield order, expected, server.execute(order)
        check_lifetime(memory, client, clock.now)
        player.note(order, expected)


def check_lifetime(memory: MemoryStore, client, now: int) -> None:
    """Check that a record of rates alone expires, but not before it is idle, and that others never do."""
    ledger = memory._idling.get(ACCOUNT) or memory._kept.get(ACCOUNT)
    left = client.pttl(account_key("ent", ACCOUNT))
    if ledger is None:
        assert left == -2
        return
    stays = ledger.bookings or any(quota.periods for quota in ledger.quotas.values())
    if stays or any(held.used for held in ledger.allocations.values()):
        assert left == -1
    elif left >= 0:
        seconds, rest = client.time()
        expires = seconds * 1000 + rest // 1000 + left - TIMES_MOVED
        assert ledger.is_idle((expires + 2) * 1000) or expires * 1000 > MAX_COUNT
    elif left == -2:
        assert not ledger.rates
        assert ledger.is_idle(now)
    else:
        assert ledger.quotas or ledger.allocations
