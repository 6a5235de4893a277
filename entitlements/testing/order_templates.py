"""
Random order templates about one account: every kind of order, rate algorithm, verb and mode, and edge cases.

Hypothesis draws an `OrderTemplate` before any answer is known. A `SimulatedClient` fills it in
later: it refers to one of the charges that were admitted by then. So a repeated run executes
the same orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from entitlements.model.charge import Part, Verb
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND
from entitlements.model.limits import UNLIMITED, Limit, Rate, Size
from entitlements.model.names import MAX_COUNT, MAX_RATE
from entitlements.model.overage import Included
from entitlements.testing.sample_limits import (
    AGENTS,
    CALLS,
    DAILY,
    LEADS,
    LIFELONG,
    LIFELONG_BEFORE,
    PETS,
    RATES,
    SCOPES,
    SEATS,
    TRIALS,
    YEARLY,
)

_QUOTAS = (LEADS, LEADS, TRIALS, CALLS, DAILY, LIFELONG_BEFORE, YEARLY, LIFELONG)
_ALLOCATIONS = (AGENTS, AGENTS, PETS, SEATS)
_COUNTED: tuple[Limit, ...] = (*_QUOTAS, *_ALLOCATIONS)
_HOLDERS = ("ann", "zoë", "x:y")
_KEYS = ("k:a", "k:b", "k:ü\x7f")

Amounts = str | int
"""Amounts of a settlement: `all`, `none`, `half`, `foreign` (a limit that was not reserved), or a number."""


@dataclass(frozen=True)
class OrderTemplate:
    """
    The template of one order.

    Args:
        kind: The kind of order.
        move: Microseconds by which the clock moves before it.
        parts: Its parts, without period ends.
        anchor: Anchor of the period ends.
        skew: Error of the clock that computes the period ends, in microseconds.
        verb: Verb of a charge.
        key: The caller's key of a charge; None if it has none.
        holder: Holder of an assignment.
        ttl: Lifetime of a reservation, in microseconds.
        pick: An earlier charge, counted back from the latest; or the amount of a release.
        amounts: Amounts of a settlement.
        flag: A settlement can charge again after expiry; a refund includes rates.
        scope: Scope of the limits with a `per`.
        late: Microseconds before which a charge was made without the store.
        version: The version that a charge carries: 0 the account's, 1 an earlier one, None none.
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
    late: int = 0
    version: int | None = None


_KINDS = (
    *["one-rate"] * 10, *["charge"] * 14, *["reserve"] * 10, *["assign"] * 6, *["settle"] * 12, *["refund"] * 8,
    *["again"] * 4, *["recall"] * 2, *["release"] * 2, *["unassign"] * 3, *["set-usage"] * 2, *["read"] * 4,
    *["history"] * 2, *["reset"] * 2, *["invalidate"] * 2, "holders", "forget", "forget-scope",
)  # fmt: skip

_rate_sizes = st.sampled_from([1, 3, 10, 10, 10, 100, MAX_RATE])
_sizes: st.SearchStrategy[Size] = st.sampled_from(
    [0, 3, 10, 10, 10, 100, UNLIMITED, MAX_COUNT, Included(3, 4), Included(10, UNLIMITED), Included(0, 10)]
)
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
_committed: st.SearchStrategy[Amounts] = st.sampled_from(["all", "none", "half", "more", "one", 0, 1, 2, 3, "foreign"])


@st.composite
def _part(draw: st.DrawFn, limit: Limit) -> Part:
    return Part(limit, draw(_rate_sizes if isinstance(limit, Rate) else _sizes), draw(_costs))


@st.composite
def _parts(draw: st.DrawFn, limits: tuple[Limit, ...], most: int) -> tuple[Part, ...]:
    """Return parts of limits with different names; a rate is sometimes unlimited or 0."""
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
    """Return parts that every store admits."""
    parts = draw(_parts((RATES[0], *_QUOTAS, *_ALLOCATIONS), 3))
    return tuple(part._replace(size=UNLIMITED, cost=draw(st.integers(1, 3))) for part in parts)


@st.composite
def order_templates(draw: st.DrawFn) -> OrderTemplate:
    """Draw one template."""
    kind = draw(st.sampled_from(_KINDS))
    fields: dict[str, Any] = {
        "move": draw(_moves),
        "anchor": draw(_anchors),
        "skew": draw(_skews),
        "scope": draw(st.sampled_from(SCOPES)),
        "version": draw(st.sampled_from([None, None, 0, 0, 0, 1])),
    }
    match kind:
        case "one-rate" | "reset":
            fields["parts"] = (draw(_part(draw(st.sampled_from(RATES)))),)
        case "charge" | "read":
            fields["parts"] = draw(_parts((*RATES, *_QUOTAS * 3, *_ALLOCATIONS * 3), 5))
            fields["verb"] = draw(st.sampled_from([Verb.CONSUME] * 3 + [Verb.PEEK] + [Verb.RESERVE] * 2))
            fields |= {"key": draw(st.sampled_from([None, None, None, *_KEYS])), "ttl": draw(_ttls)}
            fields["late"] = draw(st.sampled_from([0, 0, 0, 1, 20 * DAY, 40 * DAY]))
        case "reserve":
            fields |= {"parts": draw(_reserved()), "verb": Verb.RESERVE, "ttl": draw(_ttls)}
            fields["key"] = draw(st.sampled_from([None, None, *_KEYS]))
        case "assign" | "release" | "unassign" | "holders":
            fields["parts"] = (Part(draw(st.sampled_from(_ALLOCATIONS)), draw(_sizes)),)
            fields |= {"holder": draw(st.sampled_from(_HOLDERS)), "pick": draw(st.sampled_from([1, 2, 3, 100]))}
        case "settle":
            fields |= {"pick": draw(_picks), "flag": draw(st.booleans()), "amounts": draw(_committed)}
        case "refund" | "again" | "recall":
            fields |= {"pick": draw(_picks), "flag": draw(st.booleans())}
        case "set-usage" | "history":
            cost = draw(st.sampled_from([0, 1, 3, 10, 100, MAX_COUNT]))
            fields["parts"] = (Part(draw(st.sampled_from(_COUNTED)), draw(_sizes), cost),)
        case _:
            pass
    return OrderTemplate(kind, **fields)
