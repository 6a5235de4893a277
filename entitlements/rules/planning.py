"""
The pure half before the store: from a question to a charge, or to an answer without one.

A *plan* says for each limit what the resolution alone can say (suspended, not
included, an unlimited rate, a cost that never fits), and holds the charge for the rest.
A refusal of one enforced limit refuses the whole, and the store is not asked; but a
charge with a caller's key looks for its record first, whatever the resolution says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from entitlements.model.charge import Charge, Part, Recall, Verb
from entitlements.model.facts import Facts, Reason
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Allocation, Limit, Mode, Quota, Rate, Size
from entitlements.model.names import MAX_COUNT, check_count, check_id, shown
from entitlements.rules.explain import facts
from entitlements.rules.periods import month_ends

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.model.entitlements import Entitlements
    from entitlements.model.policy import Policy

Wanted = str | Mapping[str, int]
"""One limit's name, or several limits with the units of each."""


@dataclass(frozen=True, slots=True)
class Share:
    """
    One limit's share of a plan.

    Args:
        facts: What is known of the limit.
        cost: Units asked for.
        known: What the resolution alone says; None where the store must be asked.
        part: What a store would be asked.
    """

    facts: Facts
    cost: int
    known: Reason | None
    part: Part

    @property
    def refuses(self) -> bool:
        """Whether the resolution alone refuses, and the limit is enforced."""
        limit = self.facts.limit
        shadow = limit is not None and limit.mode is Mode.SHADOW and self.known not in _OF_THE_ACCOUNT
        return self.known is not None and self.known is not Reason.UNLIMITED and not shadow

    @property
    def is_counted(self) -> bool:
        """Whether the store must be asked, or counts what a shadow limit would have refused."""
        shadow_count = self.known is Reason.NOT_INCLUDED and not self.refuses
        return self.known is None or (shadow_count and not isinstance(self.facts.limit, Rate))


_OF_THE_ACCOUNT = (Reason.SUSPENDED, Reason.UNKNOWN_ACCOUNT)


@dataclass(frozen=True, slots=True)
class Draft:
    """
    What plans for the same units have in common.

    Args:
        shares: One per limit, in the order asked.
        asked: What a store would be asked, by name: a repeat may name them in another order.
        refused: Whether the resolution alone refuses the whole.
        counted: Whether any of `asked` leaves a record.
        per: What the limits are kept for beside the account.
        since: First instant at which it holds, as the period ends of quotas do.
        until: First instant at which it no longer does.
    """

    shares: tuple[Share, ...]
    asked: tuple[Part, ...]
    refused: bool
    counted: bool
    per: frozenset[str]
    since: int
    until: int


DRAFTS = 8
"""Most drafts kept of an account, one for each combination of limits and units."""
_FOREVER = 2**63


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How a charge will be answered.

    Args:
        shares: One per limit, in the order asked.
        order: What goes to the store: a charge, a look for its record, or nothing.
    """

    shares: tuple[Share, ...]
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
        entitlements: What the account may do.
        verb: What to do with the units.
        wanted: Units by limit.
        now: The application's clock, in microseconds; quotas carry the period ends around it.
        operation: An id for the charge, if it needs one and the caller named none.
        key: The caller's id for the charge.
        scope: Whose meters for limits with a `per`.
        ttl: Of a reservation: microseconds.
        holder: Of an assignment.

    Raises:
        UnknownFeature: For a name that is no limit.
        ValueError: For a scope that is missing or has no use, or limits of two kinds of scope.
    """
    draft = _draft(entitlements, wanted, now, keyed=key is not None)
    if draft.per or scope is not None:
        check_scope(draft.per, scope)
    if not draft.asked or (draft.refused and key is None):
        return Plan(draft.shares, None)
    named = verb is not Verb.PEEK and (key is not None or draft.counted)
    name = f"o:{operation}" if key is None else f"k:{key}"
    charge = Charge(
        entitlements.account, draft.asked, verb, scope, name if named else None, key is not None, ttl, holder
    )
    return Plan(draft.shares, Recall(charge) if draft.refused else charge)


def _draft(entitlements: Entitlements, wanted: Mapping[str, int], now: int, *, keyed: bool) -> Draft:
    """Return the draft for these units; it is kept until a period ends."""
    drafts, which = entitlements.prepared.drafts, (keyed, *wanted.items())
    draft: Draft | None = drafts.get(which)
    if draft is None or not draft.since <= now < draft.until:
        draft = _drafted(entitlements, wanted, now, keyed=keyed)
        if len(drafts) >= DRAFTS:
            drafts.clear()
        drafts[which] = draft
    return draft


def _drafted(entitlements: Entitlements, wanted: Mapping[str, int], now: int, *, keyed: bool) -> Draft:
    shares = tuple(_share(entitlements, name, cost, now) for name, cost in wanted.items())
    asked = sorted((share.part for share in shares if keyed or share.is_counted), key=lambda part: part.limit.name)
    ends = next((share.part.ends for share in shares if share.part.ends is not None), None)
    return Draft(
        shares,
        tuple(asked),
        refused=any(share.refuses for share in shares),
        counted=any(not isinstance(part.limit, Rate) for part in asked),
        per=per_of([share.facts.limit for share in shares]),
        since=-_FOREVER if ends is None else ends[1],
        until=_FOREVER if ends is None else ends[2],
    )


def wanted_units(what: Wanted, n: int) -> dict[str, int]:
    """
    Return the units by limit that a call asks for.

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
        raise ValueError(f"{shown(n)} stands beside a mapping that says its own units; leave it out")
    return {name: _checked(units, name) for name, units in what.items()}


def _checked(units: object, name: object) -> int:
    """Return units if they can be some; the message that they cannot is made only then."""
    if type(units) is int and 1 <= units <= MAX_COUNT:
        return units
    return check_count(units, f"cost of {shown(name)}")


def per_of(limits: Iterable[Limit | None]) -> frozenset[str]:
    """Return what limits are kept for beside the account."""
    return frozenset(limit.per for limit in limits if isinstance(limit, Rate) and limit.per)


def check_scope(per: frozenset[str], scope: str | None) -> None:
    """Check that a scope stands beside limits of exactly one `per`, and only there."""
    if len(per) > 1:
        raise ValueError(f"limits per {' and per '.join(sorted(per))} cannot stand in one charge; make two")
    if per and scope is None:
        raise ValueError(f"a limit per {min(per)} needs scope=, the {min(per)} that it is kept for")
    if scope is not None:
        check_id(scope, "scope")
        if not per:
            raise ValueError(f"scope {scope!r} has no use: none of these limits is declared `per` anything")


def limit_named(policy: Policy, name: str, kinds: type | tuple[type, ...], verb: str) -> Limit:
    """
    Return the limit *name*, checked to be of a kind that *verb* works on.

    Raises:
        UnknownFeature: For a name that is no limit.
        ValueError: For a limit of another kind.
    """
    limit = policy.limits.get(name) if isinstance(name, str) else None
    if limit is None:
        raise policy.unknown(name, asked="limit")
    if not isinstance(limit, kinds):
        works = " and ".join(_KINDS[kind] for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise ValueError(f"{verb} works on {works}; {name!r} is {_KINDS[type(limit)]}")
    return limit


_KINDS = {Rate: "a rate", Quota: "a quota", Allocation: "an allocation"}


def part_of(entitlements: Entitlements, limit: Limit, cost: int, now: int) -> Part:
    """Return what a store is asked of *limit*; what is not included has size 0."""
    size = entitlements.limits.get(limit.name, NOT_INCLUDED)
    ends = month_ends(entitlements.anchor, now) if isinstance(limit, Quota) else None
    return Part(limit, 0 if size is NOT_INCLUDED else size, cost, ends)


def moved(part: Part, anchor: int | None, now: int) -> Part:
    """Return *part* with the period ends around *now*."""
    return part if part.ends is None else part._replace(ends=month_ends(anchor, now))


def moved_charge(charge: Charge, anchor: int | None, now: int) -> Charge:
    """Return *charge* with the period ends around *now*."""
    return replace(charge, parts=tuple(moved(part, anchor, now) for part in charge.parts))


def _share(entitlements: Entitlements, name: str, cost: int, now: int) -> Share:
    limit = entitlements.policy.limits.get(name)
    if limit is None:
        raise entitlements.policy.unknown(name, asked="limit")
    known = facts(entitlements, name)
    return Share(known, cost, _known(known, limit, cost), part_of(entitlements, limit, cost, now))


def _known(known: Facts, limit: Limit, cost: int) -> Reason | None:
    """Return what the resolution alone says of a charge, or None."""
    if known.reason is not Reason.INCLUDED:
        return known.reason
    if not isinstance(limit, Rate):
        return None
    size: Size = known.size  # type: ignore[assignment]
    if size is UNLIMITED:
        return Reason.UNLIMITED
    return Reason.NEVER_FITS if cost > limit.capacity(size) else None
