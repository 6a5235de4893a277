"""
What is asked of a store: plain values that can travel.

An order is one of the classes below. A store takes an order and gives back its
answer (`answers.py`), so that memory, Redis and every wrapper around them are interchangeable.
All instants are integer microseconds since 1970 in UTC, on the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.model.limits import UNLIMITED, Limit, OnOutage, Rate, Size

if TYPE_CHECKING:
    from entitlements.model.answers import Line

Ends = tuple[int, int, int, int]
"""Four boundaries of a quota's periods: the ends that a store may choose, and before
them the start of the first: (start, last end at or before the caller's now, next, next but one)."""

MeterKey = tuple[str, str, str | None]
"""An account, a limit, and the scope where the limit is kept for one."""


class Verb(StrEnum):
    """What a charge does with the units that it asks for."""

    PEEK = "peek"
    CONSUME = "consume"
    RESERVE = "reserve"
    ASSIGN = "assign"


class Part(NamedTuple):
    """
    One limit's share of a charge.

    Args:
        limit: The definition.
        size: What the account has of it, now; it travels with the call.
        cost: Units asked for, 1 to 2^53-1.
        ends: Of a quota: the period boundaries; else None.
    """

    limit: Limit
    size: Size
    cost: int = 1
    ends: Ends | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """
    Take from several limits of one account, all or nothing.

    Args:
        account: Whose meters.
        parts: At least one; a name stands once.
        verb: What to do with the units.
        scope: Whose meters for parts with a `per`, beside the account's own.
        operation: Names this charge, so that a repeat is recognised; None for a charge
            of rates alone that nobody named, and for a peek.
        keyed: The operation was named by a caller: kept 24 hours, not 10 minutes.
        ttl: Of a reservation: microseconds until it lapses.
        holder: Of an assignment: who holds the unit.
        deadline: Microseconds that it may take; 0 where its limits say so.
        is_one_rate: Whether it is of one rate and nothing else, which keeps no record.
        meter: Of one rate that each process limits by itself in an outage: whose meter of which limit.
        packed: What a store has made of it for the wire, with the store; so it is made once.
        shared: What a process charges by itself in an outage, with how many processes there are; likewise.
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
    is_one_rate: bool = field(init=False, compare=False, repr=False)
    meter: MeterKey | None = field(default=None, init=False, compare=False, repr=False)
    packed: Any = field(default=None, init=False, compare=False, repr=False)
    shared: Any = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        alone = len(self.parts) == 1 and self.operation is None and self.verb is Verb.CONSUME
        size = self.parts[0].size if alone else 0
        one_rate = alone and size != 0 and size is not UNLIMITED and isinstance(self.parts[0].limit, Rate)
        object.__setattr__(self, "is_one_rate", one_rate)
        if one_rate:
            object.__setattr__(self, "meter", self.meter_of(self.parts[0]))

    def meter_of(self, part: Part) -> MeterKey | None:
        """Return whose meter of which limit a part asks, of a rate that each process limits by itself in an outage."""
        limit = part.limit
        if type(limit) is Rate and limit.on_outage is OnOutage.LOCAL:
            return self.account, limit.name, self.scope if limit.per else None
        return None

    @property
    def fingerprint(self) -> str:
        """Return what an operation's name stands for: verb, limits, amounts, scope, holder."""
        units = tuple([(part.limit.name, part.cost) for part in self.parts])
        return _fingerprint(self.verb.value, units, self.scope, self.holder)


@lru_cache(maxsize=1024, typed=True)  # a member of an enum is equal to its text, and reads otherwise
def _fingerprint(verb: str, units: tuple[tuple[str, int], ...], scope: str | None, holder: str | None) -> str:
    """Return one text for all accounts that charge the same."""
    return repr((verb, sorted(units), scope, holder))


@dataclass(frozen=True, slots=True)
class Recall:
    """
    Look for the record of a keyed charge, and charge nothing.

    Args:
        charge: The charge as it would be made; answered with its first outcome, with
            `REUSED`, or with `UNKNOWN` where no record is kept.
    """

    charge: Charge


@dataclass(frozen=True, slots=True)
class Settle:
    """
    End a reservation: commit some or all of it, or cancel it.

    Args:
        account: Whose reservation.
        reservation: Its id.
        amounts: Units to commit by limit, 0 to what was reserved; a bare int where one
            limit was reserved; None commits all, () cancels.
        anew: The charge to make where the reservation has lapsed; None where the caller
            does not know it, or cancels.
        anew_until: First instant at which it is too late to charge anew, because nobody
            may remember any more that it was settled; None for never.
        deadline: Microseconds that it may take; 0 where nobody has said.
    """

    account: str
    reservation: str
    amounts: tuple[tuple[str, int], ...] | int | None = None
    anew: Charge | None = None
    anew_until: int | None = None
    deadline: int = 0


@dataclass(frozen=True, slots=True)
class Refund:
    """
    Give back what a charge took, once.

    Args:
        account: Whose charge.
        operation: Its id; None for a charge of rates alone.
        rates: Whether rates are given back as well.
        taken: The lines of a charge of rates alone, with what each took.
        scope: The charge's scope.
        deadline: Microseconds that it may take; 0 where nobody has said.
    """

    account: str
    operation: str | None
    rates: bool = False
    taken: tuple[tuple[Part, Line], ...] = ()
    scope: str | None = None
    deadline: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """Give back up to *amount* anonymous units of an allocation; answered with how many."""

    account: str
    limit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Unassign:
    """Take a unit of an allocation from *holder*; answered with whether they held one."""

    account: str
    limit: str
    holder: str


@dataclass(frozen=True, slots=True)
class SetUsage:
    """Set the total of a quota or an allocation; *part.cost* is the total, 0 included."""

    account: str
    part: Part


@dataclass(frozen=True, slots=True)
class Read:
    """Look at meters; answered with an `Outcome`, every part asked for a cost of 1."""

    account: str
    parts: tuple[Part, ...]
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Look at the periods of a quota; answered with `Periods`."""

    account: str
    part: Part


@dataclass(frozen=True, slots=True)
class ReadHolders:
    """Look at who holds units of an allocation; answered with a sorted tuple."""

    account: str
    limit: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete every counter of the account; answered with None."""

    account: str


Order = Charge | Recall | Settle | Refund | Release | Unassign | SetUsage | Read | ReadHistory | ReadHolders | Forget
