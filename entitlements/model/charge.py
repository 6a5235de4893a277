"""
Orders for a store: plain values that can be serialised.

An order is one of the classes below. A store takes an order and returns its answer
(`answers.py`). So the memory store, Redis and every wrapper around them are interchangeable.
All instants are integer microseconds since 1970 in UTC, on the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.model.limits import Limit, OnOutage, Rate, Size
from entitlements.model.prepared import Derived

if TYPE_CHECKING:
    from entitlements.model.answers import Line

Ends = tuple[int, int, int, int]
"""Four boundaries of an account's periods: (start, last end at or before the caller's now, next, next but one).

The last three are the ends that a store may choose; the first is the start of the first period."""

MeterKey = tuple[str, str, str | None]
"""Identifies a rate's meter: account, `Rate.meter_name`, and the scope of a limit with a `per`."""


class Verb(StrEnum):
    """The kind of a charge: look, consume, reserve, assign to a holder, or lease: consume in advance."""

    PEEK = "peek"
    CONSUME = "consume"
    RESERVE = "reserve"
    ASSIGN = "assign"
    LEASE = "lease"
    """Consumes units before they are asked for, so a refusal counts nothing, and without the store it is refused."""


class Part(NamedTuple):
    """
    One limit of a charge, with the units to take from it.

    Args:
        limit: The definition.
        size: The account's present size of the limit; sent with every call.
        cost: Units to take, 1 to 2^53-1.
        ends: For a quota, the boundaries of its periods; for an allocation, those of the periods in which refusals are
            counted, or None to count none; for a rate None.
    """

    limit: Limit
    size: Size
    cost: int = 1
    ends: Ends | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """
    A charge: take units from several limits of one account, all or nothing.

    Args:
        account: The account that owns the meters.
        parts: At least one; each limit once.
        verb: The kind of charge.
        scope: The scope of the parts with a `per`; their meters are kept apart from the account's own.
        operation: The operation id, by which a repeat is recognised; None for a peek, and
            for a charge of rates alone without a key.
        keyed: The operation id is a caller's key: kept 24 hours, not 10 minutes.
        ttl: For a reservation, microseconds until it lapses.
        holder: For an assignment, the holder of the unit.
        deadline: Time budget in microseconds; 0 takes the deadline of the limits.
        made_at: For a charge that was admitted without the store, the instant of that by the store's clock: its
            quotas count in the period of that instant. None for a charge that the store decides.
        version: The version of the account that decides it (`versions.py`); None for an account of the caller's own,
            and for what has been decided already: it is carried out whatever the version.
        sequence: The open number of a charge whose operation id is a sequence number; opaque, and None for any other.
        derived: What stores derive once from a charge that is made again and again.
    """

    account: str
    parts: tuple[Part, ...]
    verb: Verb = Verb.CONSUME
    scope: str | None = None
    operation: str | None = None
    keyed: bool = False
    ttl: int = 0
    holder: str | None = None
    deadline: int = 0
    made_at: int | None = None
    version: int | None = None
    sequence: Any = field(default=None, compare=False, repr=False)
    derived: Derived = field(default_factory=Derived, init=False, compare=False, repr=False)

    def meter_of(self, part: Part) -> MeterKey | None:
        """Return the meter key of a part that each process limits locally in an outage; else None."""
        limit = part.limit
        if type(limit) is Rate and limit.on_outage is OnOutage.LOCAL:
            return self.account, limit.meter_name, self.scope if limit.per else None
        return None

    @property
    def fingerprint(self) -> str:
        """Return the content that an operation id stands for: verb, limits, amounts, scope, holder."""
        units = tuple([(part.limit.name, part.cost) for part in self.parts])
        return _fingerprint(self.verb.value, units, self.scope, self.holder)


(
    _set_account, _set_parts, _set_verb, _set_scope, _set_operation, _set_keyed, _set_ttl, _set_holder, _set_deadline,
    _set_made_at, _set_version, _set_sequence, _set_derived,
) = [vars(Charge)[each.name].__set__ for each in fields(Charge)]  # fmt: skip  # an assignment would be refused
_new = object.__new__


def numbered(charge: Charge, operation: str, sequence: Any = None) -> Charge:
    """Return a charge that consumes or leases under an operation id, and shares what stores derive from it."""
    new = _new(Charge)
    _set_account(new, charge.account)
    _set_parts(new, charge.parts)
    _set_verb(new, charge.verb)
    _set_scope(new, charge.scope)
    _set_operation(new, operation)
    _set_keyed(new, False)
    _set_ttl(new, 0)
    _set_holder(new, None)
    _set_deadline(new, 0)
    _set_made_at(new, None)
    _set_version(new, charge.version)
    _set_derived(new, charge.derived)
    _set_sequence(new, sequence)
    return new


@lru_cache(maxsize=1024, typed=True)  # an enum member equals its text but has another repr
def _fingerprint(verb: str, units: tuple[tuple[str, int], ...], scope: str | None, holder: str | None) -> str:
    """Return the fingerprint; accounts that charge the same share one text."""
    return repr((verb, sorted(units), scope, holder))


@dataclass(frozen=True, slots=True)
class Recall:
    """
    Look up the record of a keyed charge without charging.

    The answer is the first outcome, `REUSED`, or `UNKNOWN` if no record is kept.

    Args:
        charge: The charge to look up.
    """

    charge: Charge


@dataclass(frozen=True, slots=True)
class Settle:
    """
    Settle a reservation: commit some or all of it, or cancel it.

    Args:
        account: The account that reserved.
        reservation: The reservation's id.
        amounts: Units to commit by limit, also more than was reserved; a bare int for a single limit, or the only
            one that is no rate. A rate that is left out stays as it was taken. None commits all, () cancels.
        recharge: The charge to make if the reservation has lapsed; None if the caller does not
            know it, or cancels.
        recharge_until: First instant at which `recharge` must not be charged any more, because the
            record that the reservation was settled may have expired; None for never.
        deadline: Time budget in microseconds; 0 for the default.
        given_up: True to cancel for a caller that left before it had the reservation: another caller that was given
            it by the same key keeps it.
        scope: The scope of the reservation, if limits with a `per` are among its own.
    """

    account: str
    reservation: str
    amounts: tuple[tuple[str, int], ...] | int | None = None
    recharge: Charge | None = None
    recharge_until: int | None = None
    deadline: int = 0
    given_up: bool = False
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """
    Return the units of a charge, once.

    Args:
        account: The account that was charged.
        operation: The charge's operation id; None for a charge of rates alone.
        rates: True to return the units of rates as well.
        taken: The parts of a charge of rates alone, each with the line that says what it took.
        scope: The charge's scope.
        deadline: Time budget in microseconds; 0 for the default.
        charged_at: The instant of the charge by the store's clock, where its operation id is a caller's key: a
            refund frees the key, so the key may stand for a later charge. None if it is unknown.
        sequence: Of the rest of a lease, the open number of its charge, which must have been carried out and is void
            afterwards; opaque, and None for any other refund.
    """

    account: str
    operation: str | None
    rates: bool = False
    taken: tuple[tuple[Part, Line], ...] = ()
    scope: str | None = None
    deadline: int = 0
    charged_at: int | None = None
    sequence: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Release:
    """Return up to *amount* anonymous units of an allocation; the answer is the number returned."""

    account: str
    limit: str
    amount: int
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Unassign:
    """Take a unit of an allocation from *holder*; the answer is True if they held one."""

    account: str
    limit: str
    holder: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class SetUsage:
    """
    Set the total of a quota or an allocation to *part.cost*, which may be 0.

    Args:
        account: The account.
        part: The limit, with the total as its cost.
        sequence: The open number of the order, by which the store drops an earlier total that comes later; opaque, and
            None for a store that keeps none.
        scope: The scope, if the limit has a `per`.
    """

    account: str
    part: Part
    sequence: Any = field(default=None, compare=False, repr=False)
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class ResetRate:
    """Empty the meter of a rate; the answer is None."""

    account: str
    part: Part
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Read meters; the answer is an `Outcome` for a cost of 1 of every part. *version* is as for a `Charge`."""

    account: str
    parts: tuple[Part, ...]
    scope: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Read the periods of a quota; the answer is `Periods`."""

    account: str
    part: Part
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class ReadHolders:
    """Read the holders of an allocation; the answer is a sorted tuple."""

    account: str
    limit: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class ReadScopes:
    """
    Read the scopes of an account that have a record; the answer is a `ScopePage`.

    Args:
        account: The account.
        after: Only scopes after this one, in the order of their names; "" for all.
        most: Most scopes of the answer.
    """

    account: str
    after: str = ""
    most: int = 100


@dataclass(frozen=True, slots=True)
class Forget:
    """
    Delete counters; the answer is None.

    Args:
        account: The account.
        scopes: The scopes whose counters are deleted; None for those of the account itself. The version of the account
            stays for as long as it is kept.
    """

    account: str
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Invalidate:
    """Give the account a new version, because it has changed at its source; the answer is `Invalidated`."""

    account: str


Order = (
    Charge
    | Recall
    | Settle
    | Refund
    | Release
    | Unassign
    | SetUsage
    | ResetRate
    | Read
    | ReadHistory
    | ReadHolders
    | ReadScopes
    | Forget
    | Invalidate
)
