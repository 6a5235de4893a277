"""
Random orders about one account: every kind, law, verb and mode, and what tends to go wrong.

A `Step` is drawn before anything is known of the answers; a `Player` turns it into an
order when its turn comes, picking among the charges that were admitted until then. So a
run that is repeated asks the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from entitlements.model.answers import Answer, Line, Outcome, Status
from entitlements.model.charge import (
    Charge,
    Forget,
    Order,
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
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, Limit, Mode, Quota, Rate, Size
from entitlements.model.names import MAX_COUNT, MAX_RATE
from entitlements.rules.periods import month_ends

_PATIENT = 10 * SECOND
"""Deadline of every limit here: a busy machine is no fault of the store."""

RATES = (
    Rate("api", MINUTE, deadline=_PATIENT),
    Rate("api", 61 * SECOND + 7, deadline=_PATIENT),
    Rate("api", MINUTE, Algorithm.FIXED, deadline=_PATIENT),
    Rate("api", MINUTE, Algorithm.TOKEN_BUCKET, deadline=_PATIENT),
    Rate("api", MINUTE, Algorithm.TOKEN_BUCKET, burst=5, deadline=_PATIENT),
    Rate("slow", 28 * DAY, Algorithm.TOKEN_BUCKET, burst=MAX_RATE, deadline=_PATIENT),
    Rate("fixed", HOUR, Algorithm.FIXED, deadline=_PATIENT),
    Rate("tiny", 61, deadline=_PATIENT),
    Rate("soft", MINUTE, mode=Mode.SHADOW, deadline=_PATIENT),
    Rate("soft-bucket", MINUTE, Algorithm.TOKEN_BUCKET, mode=Mode.SHADOW, deadline=_PATIENT),
    Rate("ip", MINUTE, per="ip", deadline=_PATIENT),
    Rate("ip-fixed", SECOND, Algorithm.FIXED, per="ip", deadline=_PATIENT),
)
LEADS, TRIALS = Quota("leads", deadline=_PATIENT), Quota("trials", mode=Mode.SHADOW, deadline=_PATIENT)
AGENTS, PETS = Allocation("agents", deadline=_PATIENT), Allocation("pets", mode=Mode.SHADOW, deadline=_PATIENT)
SCOPES = ("10.0.0.1", "β")

_QUOTAS, _ALLOCATIONS = (LEADS, LEADS, TRIALS), (AGENTS, AGENTS, PETS)
_HOLDERS = ("ann", "zoë", "x:y")
_KEYS = ("k:a", "k:b", "k:ü\x7f")

Amounts = str | int
"""What a settlement commits: `all`, `none`, `half`, `foreign` (a limit that was not reserved), or a bare number."""


@dataclass(frozen=True)
class Step:
    """
    One order to come.

    Args:
        kind: Which.
        move: Microseconds by which the clock moves before it.
        parts: What it is about, without period ends.
        anchor: Of the period ends.
        skew: By how much the clock that computes the period ends is wrong, in microseconds.
        verb: Of a charge.
        key: Of a charge: the caller's, if it has one.
        holder: Of an assignment.
        ttl: Of a reservation, in microseconds.
        pick: Which of the earlier charges is meant, counted from the latest; an amount to release.
        amounts: Of a settlement.
        flag: Of a settlement: whether it may charge anew; of a refund: whether rates come back too.
        scope: Of the limits that have a `per`.
    """

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
    amounts: Amounts = "all"
    flag: bool = False
    scope: str = SCOPES[0]


# -- drawing steps -------------------------------------------------------------------------

_KINDS = (
    *["one-rate"] * 10, *["charge"] * 14, *["reserve"] * 10, *["assign"] * 6, *["settle"] * 12, *["refund"] * 8,
    *["again"] * 4, *["recall"] * 2, *["release"] * 2, *["unassign"] * 3, *["set-usage"] * 2, *["read"] * 4,
    *["history"] * 2, "holders", "forget",
)  # fmt: skip

_rate_sizes = st.sampled_from([1, 3, 10, 10, 10, 100, MAX_RATE])
_sizes: st.SearchStrategy[Size] = st.sampled_from([0, 3, 10, 10, 10, 100, UNLIMITED, MAX_COUNT])
_extremes: st.SearchStrategy[Size] = st.sampled_from([0, UNLIMITED])
_costs = st.sampled_from([1, 1, 1, 1, 1, 2, 2, 3, 3, 5, 10, 11, 100, MAX_RATE, MAX_RATE + 1, MAX_COUNT])
_moves = st.sampled_from([
    *[0] * 10, *[1] * 5, *[SECOND] * 7, 2, 61, SECOND - 1, 5 * SECOND, 30 * SECOND, MINUTE - 1, MINUTE, MINUTE + 1,
    61 * SECOND, 2 * MINUTE, 10 * MINUTE - 1, 10 * MINUTE, HOUR, DAY - 1, DAY, 20 * DAY, 31 * DAY, 70 * DAY,
    -1, -SECOND, -MINUTE, -MINUTE - 1, -2 * MINUTE, -HOUR, -DAY,
])  # fmt: skip
_anchors = st.sampled_from([None, None, None, 15, 31])
_skews = st.sampled_from([0, 0, 0, 0, HOUR, -HOUR, 20 * DAY, -20 * DAY, 70 * DAY, -70 * DAY])
_picks = st.sampled_from([0, 0, 0, 1, 2, 4])
_ttls = st.sampled_from([1, SECOND, MINUTE, MINUTE, HOUR, 2 * DAY])
_committed: st.SearchStrategy[Amounts] = st.sampled_from(["all", "none", "half", 0, 1, 2, 3, "foreign"])


@st.composite
def _part(draw: st.DrawFn, limit: Limit) -> Part:
    return Part(limit, draw(_rate_sizes if isinstance(limit, Rate) else _sizes), draw(_costs))


@st.composite
def _several(draw: st.DrawFn, limits: tuple[Limit, ...], most: int) -> tuple[Part, ...]:
    """Return parts of limits with different names; a rate is now and then unlimited, or none at all."""
    chosen = draw(st.lists(st.sampled_from(limits), min_size=1, max_size=most, unique_by=lambda each: each.name))
    parts = []
    for limit in chosen:
        part = draw(_part(limit))
        if isinstance(limit, Rate) and draw(st.integers(0, 9)) == 0:
            part = part._replace(size=draw(_extremes))
        parts.append(part)
    return tuple(parts)


@st.composite
def _reserved(draw: st.DrawFn) -> tuple[Part, ...]:
    """Return parts that are always granted."""
    parts = draw(_several((RATES[0], *_QUOTAS, *_ALLOCATIONS), 3))
    return tuple(part._replace(size=UNLIMITED, cost=draw(st.integers(1, 3))) for part in parts)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Return one step."""
    kind = draw(st.sampled_from(_KINDS))
    told: dict[str, Any] = {
        "move": draw(_moves),
        "anchor": draw(_anchors),
        "skew": draw(_skews),
        "scope": draw(st.sampled_from(SCOPES)),
    }
    match kind:
        case "one-rate":
            told["parts"] = (draw(_part(draw(st.sampled_from(RATES)))),)
        case "charge" | "read":
            told["parts"] = draw(_several((*RATES, *_QUOTAS * 3, *_ALLOCATIONS * 3), 5))
            told["verb"] = draw(st.sampled_from([Verb.CONSUME] * 3 + [Verb.PEEK] + [Verb.RESERVE] * 2))
            told |= {"key": draw(st.sampled_from([None, None, None, *_KEYS])), "ttl": draw(_ttls)}
        case "reserve":
            told |= {"parts": draw(_reserved()), "verb": Verb.RESERVE, "ttl": draw(_ttls)}
            told["key"] = draw(st.sampled_from([None, None, *_KEYS]))
        case "assign" | "release" | "unassign" | "holders":
            told["parts"] = (Part(draw(st.sampled_from(_ALLOCATIONS)), draw(_sizes)),)
            told |= {"holder": draw(st.sampled_from(_HOLDERS)), "pick": draw(st.sampled_from([1, 2, 3, 100]))}
        case "settle":
            told |= {"pick": draw(_picks), "flag": draw(st.booleans()), "amounts": draw(_committed)}
        case "refund" | "again" | "recall":
            told |= {"pick": draw(_picks), "flag": draw(st.booleans())}
        case "set-usage" | "history":
            limits: tuple[Limit, ...] = _QUOTAS if kind == "history" else (*_QUOTAS, *_ALLOCATIONS)
            cost = draw(st.sampled_from([0, 1, 3, 10, 100, MAX_COUNT]))
            told["parts"] = (Part(draw(st.sampled_from(limits)), draw(_sizes), cost),)
        case _:
            pass
    return Step(kind, **told)


# -- playing them --------------------------------------------------------------------------


@dataclass
class Player:
    """
    Turns steps into orders about one account.

    Args:
        account: Its id.
        exact: Whether the store's clock is known to the microsecond. If not, token buckets
            keep one size and they and short windows are not given back: what has drained
            meanwhile, and whether anybody still remembers it, depends on the instant.
    """

    account: str
    exact: bool = True
    charges: list[tuple[Charge, Outcome]] = field(default_factory=list)
    bookings: list[Charge] = field(default_factory=list)
    named: int = 0

    def order(self, step: Step, now: int) -> Order:
        """Return the order that *step* stands for, at the store's instant *now*."""
        parts = step.parts if self.exact else tuple(_steady(part) for part in step.parts)
        dated = _dated(parts, step, now)
        match step.kind:
            case "one-rate":
                return Charge(self.account, dated, scope=_scope(dated, step))
            case "charge" | "reserve" | "assign":
                return self._charge(dated, step)
            case "read":
                return Read(self.account, tuple(part._replace(cost=1) for part in dated), _scope(dated, step))
            case "settle":
                return self._settle(step, now)
            case "refund":
                return self._refund(step)
            case "again" | "recall":
                return self._again(step)
            case "release":
                return Release(self.account, dated[0].limit.name, step.pick)
            case "unassign":
                return Unassign(self.account, dated[0].limit.name, step.holder)
            case "set-usage":
                return SetUsage(self.account, dated[0])
            case "history":
                return ReadHistory(self.account, dated[0])
            case "holders":
                return ReadHolders(self.account, dated[0].limit.name)
            case _:
                return Forget(self.account)

    def note(self, order: Order, answer: Answer) -> None:
        """Remember what was admitted: later steps pick among it."""
        if isinstance(order, Charge) and isinstance(answer, Outcome) and answer.status is Status.ADMITTED:
            if order.verb is not Verb.PEEK:
                self.charges.append((order, answer))
            if order.verb is Verb.RESERVE:
                self.bookings.append(order)

    def _charge(self, parts: tuple[Part, ...], step: Step) -> Charge:
        only_rates = all(isinstance(part.limit, Rate) for part in parts)
        verb = Verb.ASSIGN if step.kind == "assign" else step.verb
        if verb is Verb.RESERVE and only_rates:
            verb = Verb.CONSUME
        self.named += 1
        operation: str | None = step.key or f"o:{self.named}"
        if verb is Verb.PEEK or (step.key is None and only_rates):
            operation = None
        holder = step.holder if verb is Verb.ASSIGN else None
        keyed = operation is not None and step.key is not None
        ttl = step.ttl if verb is Verb.RESERVE else 0
        return Charge(self.account, parts, verb, _scope(parts, step), operation, keyed, ttl, holder)

    def _settle(self, step: Step, now: int) -> Settle:
        if not self.bookings:
            return Settle(self.account, "o:unknown", None)
        booked = self.bookings[-1 - step.pick % len(self.bookings)]
        held = tuple(part for part in booked.parts if not isinstance(part.limit, Rate))
        amounts = step.amounts if isinstance(step.amounts, int) else _amounts(step.amounts, held)
        anew = None
        if step.flag:
            anew = Charge(self.account, _dated(held, step, now), operation=f"{booked.operation}:anew")
        return Settle(self.account, booked.operation or "", amounts, anew)

    def _refund(self, step: Step) -> Refund:
        if not self.charges:
            return Refund(self.account, "o:unknown", rates=True)
        charge, outcome = self.charges[-1 - step.pick % len(self.charges)]
        lines = zip(charge.parts, outcome.lines, strict=True)
        taken = {part.limit.name: (part, line) for part, line in lines if isinstance(part.limit, Rate)}
        others = {rate.name: (Part(rate, 1), Line(True, 0)) for rate in RATES}
        rates = tuple({**others, **taken}.values())  # the operation's id may stand for a later charge of other rates
        rates = tuple(each for each in rates if self.exact or _lasts(each[0].limit))
        return Refund(self.account, charge.operation, step.flag, rates, charge.scope)

    def _again(self, step: Step) -> Order:
        if not self.charges:
            return ReadHolders(self.account, AGENTS.name)
        charge = self.charges[-1 - step.pick % len(self.charges)][0]
        return charge if charge.operation is None or step.kind == "again" else Recall(charge)


def _dated(parts: tuple[Part, ...], step: Step, now: int) -> tuple[Part, ...]:
    ends = month_ends(step.anchor, max(0, now + step.skew))
    return tuple(part._replace(ends=ends) if isinstance(part.limit, Quota) else part for part in parts)


def _scope(parts: tuple[Part, ...], step: Step) -> str | None:
    return step.scope if any(isinstance(part.limit, Rate) and part.limit.per for part in parts) else None


def _amounts(which: str, held: tuple[Part, ...]) -> tuple[tuple[str, int], ...] | None:
    if which == "all":
        return None
    half = tuple((part.limit.name, part.cost // 2) for part in held)
    return {"none": (), "half": half, "foreign": (("other", 1),)}[which]


def _is_bucket(limit: Limit) -> bool:
    return isinstance(limit, Rate) and limit.algorithm is Algorithm.TOKEN_BUCKET


def _lasts(limit: Limit) -> bool:
    """Say whether what was taken still counts, whole, seconds later."""
    return isinstance(limit, Rate) and limit.window >= MINUTE and not _is_bucket(limit)


def _steady(part: Part) -> Part:
    return part._replace(size=10) if _is_bucket(part.limit) and part.size else part
