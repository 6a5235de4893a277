"""
Charge planning: the pure half before the store.

A *plan* decides what the entitlements alone decide (suspended, not included, an unlimited rate, a cost
that never fits), and holds the charge for the rest. If one enforced limit is refused, the whole charge is,
and the store is not called. A charge with a caller's key is always looked up first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from entitlements.errors import UnknownFeature
from entitlements.model.charge import Charge, Part, Recall, Verb
from entitlements.model.facts import Facts
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Allocation, Limit, Mode, Quota, Rate, Size
from entitlements.model.names import MAX_COUNT, check_count, check_id, shown
from entitlements.model.prepared import Derived
from entitlements.model.reasons import Reason
from entitlements.model.resolution import charges_of, prepared_of, resolution_of
from entitlements.rules.decisions import DecisionBuilder
from entitlements.rules.explain import facts
from entitlements.rules.leases import all_leased
from entitlements.rules.periods import ends_of
from entitlements.rules.shared_values import shared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.model.calendars import Calendar
    from entitlements.model.entitlements import Entitlements

Wanted = str | Mapping[str, int]
"""One limit's name, or several limits with the units of each."""


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """
    The plan of one limit.

    Args:
        facts: The limit as decisions show it.
        cost: Units.
        known: The reason that the entitlements alone give; None if the store must decide.
        part: The limit's part of a charge.
    """

    facts: Facts
    cost: int
    known: Reason | None
    part: Part

    @property
    def refuses(self) -> bool:
        """True if the entitlements alone refuse, and the limit is enforced."""
        limit = self.facts.limit
        shadow = limit is not None and limit.mode is Mode.SHADOW and self.known not in _OF_THE_ACCOUNT
        return self.known is not None and self.known is not Reason.UNLIMITED and not shadow

    @property
    def is_counted(self) -> bool:
        """True if the store must decide, or counts what a shadow limit would have refused."""
        shadow_count = self.known is Reason.NOT_INCLUDED and not self.refuses
        return self.known is None or (shadow_count and not isinstance(self.facts.limit, Rate))


_OF_THE_ACCOUNT = (Reason.SUSPENDED, Reason.UNKNOWN_ACCOUNT)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCharge:
    """
    A charge of certain units, prepared once for all accounts that share a `Resolution`.

    Args:
        limits: One plan per limit, in the caller's order.
        parts: The parts of the charge, sorted by name: a repeat may list them in another order.
        refused: The entitlements alone refuse the whole.
        counted: A part leaves a record in the store.
        per: The `per` of the limits that have one.
        since: First instant at which it holds: period ends of quotas change.
        until: First instant at which it no longer holds.
        decide: Makes the decision of the account's id, the store's outcome, the path, the operation id and the scope.
        leased: Every part is of a limit with a lease, so that the charge may need no store.
        derived: Derived by stores from its charges, the same for all accounts.
    """

    limits: tuple[LimitPlan, ...]
    parts: tuple[Part, ...]
    refused: bool
    counted: bool
    per: frozenset[str]
    since: int
    until: int
    decide: DecisionBuilder
    leased: bool
    derived: Derived = field(default_factory=Derived)


_FOREVER = 2**63


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The plan of one charge.

    Args:
        prepared: What it shares with other charges.
        order: The order for the store: a charge, a lookup of its record, or None.
    """

    prepared: PreparedCharge
    order: Charge | Recall | None


def plan(
    entitlements: Entitlements,
    verb: Verb,
    wanted: Mapping[str, int],
    now: int,
    *,
    operation: str | None = None,
    key: str | None = None,
    scope: str | None = None,
    ttl: int = 0,
    holder: str | None = None,
) -> Plan:
    """
    Plan one charge.

    Args:
        entitlements: The entitlements of the account.
        verb: The kind of charge.
        wanted: Units by limit.
        now: The application's time, in microseconds; quotas and allocations carry the period ends around it.
        operation: Operation id for a charge that needs one and has no key.
        key: The caller's idempotency key.
        scope: The scope of limits with a `per`.
        ttl: For a reservation, microseconds until it lapses.
        holder: For an assignment, the holder.

    Raises:
        UnknownFeature: For a name that is no limit.
        ValueError: For a scope that is missing or has no use, or limits of two kinds of scope.
    """
    reserves = verb is Verb.RESERVE
    prepared = prepare(entitlements, wanted, now, keyed=key is not None or reserves)
    if prepared.per or scope is not None:
        check_scope(prepared.per, scope, prepared.limits)
    if not prepared.parts or (prepared.refused and key is None):
        return Plan(prepared, None)
    named = verb is not Verb.PEEK and (key is not None or prepared.counted or reserves)
    name = f"k:{key}" if key is not None else f"o:{operation}"
    charge = Charge(
        entitlements.account, prepared.parts, verb, scope, name if named else None, key is not None, ttl, holder,
        version=charges_of(entitlements).version,
    )  # fmt: skip
    return Plan(prepared, Recall(charge) if prepared.refused else charge)


def prepare(entitlements: Entitlements, wanted: Mapping[str, int], now: int, *, keyed: bool = False) -> PreparedCharge:
    """Return the prepared charge of these units; it is kept until a period ends."""
    kept, which = prepared_of(entitlements), (keyed, *wanted.items())
    found: PreparedCharge | None = kept.charges.get(which)
    if found is None or not found.since <= now < found.until:
        found = _prepare(entitlements, wanted, now, keyed=keyed)
        kept.keep(which, found)
    return found


def order_of(prepared: PreparedCharge, entitlements: Entitlements) -> Charge | None:
    """Return the charge of an account that consumes prepared units, without a scope and an operation id; None if no store is needed."""
    made = charges_of(entitlements)
    order = made.made.get(prepared)
    if order is None and prepared.parts and not prepared.refused:
        order = Charge(entitlements.account, prepared.parts, version=made.version)
        object.__setattr__(order, "derived", Derived(prepared.derived))  # what is the same for every account is shared
        made.keep(prepared, order)
    return order


def _prepare(entitlements: Entitlements, wanted: Mapping[str, int], now: int, *, keyed: bool) -> PreparedCharge:
    limits = tuple(_limit_plan(entitlements, name, cost, now) for name, cost in wanted.items())
    counted = [each.part for each in limits if keyed or each.is_counted]
    parts = shared(tuple(sorted(counted, key=lambda part: part.limit.name)))
    ends = [each.part.ends for each in limits if each.part.ends is not None]
    refused = any(each.refuses for each in limits)
    leased = bool(parts) and not refused and all_leased(parts)
    return PreparedCharge(
        limits,
        parts,
        refused,
        counted=any(not isinstance(part.limit, Rate) for part in parts),
        per=per_of([each.facts.limit for each in limits]),
        since=max((each[1] for each in ends), default=-_FOREVER),
        until=min((each[2] for each in ends), default=_FOREVER),
        decide=DecisionBuilder(limits, parts),
        leased=leased,
    )


def wanted_units(what: Wanted, n: int) -> dict[str, int]:
    """
    Return the units of a call, by limit.

    Raises:
        ValueError: For an empty mapping, or units that are no int from 1 to 2^53-1.
    """
    if isinstance(what, str):
        return {what: _checked(n, what)}
    if not isinstance(what, Mapping):
        raise ValueError(f"{shown(what)} names no limit; pass a limit's name or {{name: units}}")
    if not what:
        raise ValueError("an empty mapping charges nothing; name at least one limit")
    if type(n) is not int or n != 1:
        raise ValueError(f"{shown(n)} is given with a mapping, which has its own units; leave it out")
    return {name: _checked(units, name) for name, units in what.items()}


def _checked(units: object, name: object) -> int:
    """Return *units* if they are an int from 1 to 2^53-1; raise ValueError otherwise."""
    if type(units) is int and 1 <= units <= MAX_COUNT:
        return units
    return check_count(units, f"cost of {shown(name)}")


def per_of(limits: Iterable[Limit | None]) -> frozenset[str]:
    """Return the `per` of those limits that have one."""
    return frozenset(limit.per for limit in limits if limit is not None and limit.per)


def check_scope(per: frozenset[str], scope: str | None, limits: Sequence[LimitPlan | Limit]) -> None:
    """Check that a scope is given if and only if *limits*, which have *per*, have one of them."""
    if len(per) > 1:
        raise ValueError(
            f"{_named(limits)} are limits per {' and per '.join(sorted(per))}, and a charge has one scope; make two"
        )
    if per and scope is None:
        text = f"{_named(limits)}: a limit per {min(per)} needs scope=, the {min(per)} that it is kept for"
        raise ValueError(text)
    if scope is not None:
        check_id(scope, "scope")
        if not per:
            verb = "is" if len(limits) == 1 else "are"
            raise ValueError(
                f"scope {scope!r} has no use: {_named(limits)} {verb} not declared `per` anything; leave it out"
            )


def _named(limits: Sequence[LimitPlan | Limit]) -> str:
    """Return the names of limits: those with a `per`, or all if none has one."""
    known = [each.facts.limit if isinstance(each, LimitPlan) else each for each in limits]
    found = [each for each in known if each is not None and each.per] or known
    return ", ".join(repr(each.name) for each in found if each is not None)


def limit_named(
    entitlements: Entitlements, name: str, kinds: type | tuple[type, ...], verb: str, holder: str = ""
) -> Limit:
    """
    Return the limit *name*, checked to be of a kind that *verb* works on; *holder* is its third argument.

    Raises:
        UnknownFeature: For a name that is no limit.
        ValueError: For a limit of another kind.
    """
    policy, account = entitlements.policy, entitlements.account
    limit = policy.limits.get(name) if isinstance(name, str) else None
    if limit is None:
        error = policy.unknown(name, asked="limit", account=account)
        swapped = holder and (holder in policy.limits or account in policy.limits)
        raise UnknownFeature(f"{error}; write {verb}(account, limit, holder)") if swapped else error
    if not isinstance(limit, kinds):
        works = " and ".join(_KINDS[kind] for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise ValueError(f"{verb} works on {works}; {name!r} is {_KINDS[type(limit)]}{_CURES.get(verb, '')}")
    return limit


_CURES = {
    "reset": ", which set_usage sets to 0",
    "set_usage": ", which reset makes empty",
    "history": "; usage shows what is used of it now",
    "scopes": "; usage shows what is used of it now",
    "assign": "; consume takes units of it",
    "unassign": "; refund gives the units of a charge back",
    "release": "; refund gives the units of a charge back",
    "holders": "; usage shows what is used of it",
}
_KINDS = {Rate: "a rate", Quota: "a quota", Allocation: "an allocation"}


def part_of(entitlements: Entitlements, limit: Limit, cost: int, now: int) -> Part:
    """Return the part of a charge for *limit*; one that is not included has size 0."""
    size = resolution_of(entitlements).limits.get(limit.name, NOT_INCLUDED)
    ends = None if isinstance(limit, Rate) else ends_of(limit, resolution_of(entitlements).calendar, now)
    return Part(limit, 0 if size is NOT_INCLUDED else size, cost, ends)


def with_period_ends(part: Part, calendar: Calendar, now: int) -> Part:
    """Return *part* with the period ends around *now*."""
    return part if part.ends is None else part._replace(ends=ends_of(part.limit, calendar, now))


def charge_with_period_ends(charge: Charge, calendar: Calendar, now: int) -> Charge:
    """Return *charge* with the period ends around *now*."""
    return replace(charge, parts=tuple(with_period_ends(part, calendar, now) for part in charge.parts))


def _limit_plan(entitlements: Entitlements, name: str, cost: int, now: int) -> LimitPlan:
    limit = entitlements.policy.limits.get(name)
    if limit is None:
        raise entitlements.policy.unknown(name, asked="limit", account=entitlements.account)
    known = facts(entitlements, name)
    part = shared(part_of(entitlements, limit, cost, now))
    return LimitPlan(known, cost, _known(known, limit, cost), part)


def _known(known: Facts, limit: Limit, cost: int) -> Reason | None:
    """Return the reason that the entitlements alone give for a charge, or None."""
    if known.reason is not Reason.INCLUDED:
        return known.reason
    if not isinstance(limit, Rate):
        return None
    size: Size = known.size  # type: ignore[assignment]
    if size is UNLIMITED:
        return Reason.UNLIMITED
    return Reason.NEVER_FITS if cost > limit.capacity(size) else None
