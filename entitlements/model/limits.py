"""
Limit definitions: a limit is a `Rate`, a `Quota` or an `Allocation`.

A policy defines a limit once; each tier gives it a size. A size is an int, `UNLIMITED`
or `NOT_INCLUDED`, never None or -1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from entitlements.model.immutable import FILES, immutable
from entitlements.model.instants import SECOND


def _format_word(word: str, format_spec: str) -> str:
    """Return the word, even for a number's format: `f"{limit:,}"`."""
    try:
        return format(str(word), format_spec)
    except ValueError:
        return str(word)


def _whole_size(_: object, size: Size) -> Size:
    """Return the units that *size* includes, as a plain number; all of them can be taken at once."""
    return int(size) if isinstance(size, int) else size


class Unlimited(StrEnum):  # a str, so that json.dumps writes "unlimited"
    """The type of `UNLIMITED`, which is above every int."""

    UNLIMITED = "unlimited"

    def __lt__(self, other: object) -> bool:
        """Return False: nothing is above unlimited."""
        return False if isinstance(other, int | Unlimited) else NotImplemented

    def __le__(self, other: object) -> bool:
        """Return True for unlimited only."""
        return other is self if isinstance(other, int | Unlimited) else NotImplemented

    def __gt__(self, other: object) -> bool:
        """Return True for every int."""
        return other is not self if isinstance(other, int | Unlimited) else NotImplemented

    def __ge__(self, other: object) -> bool:
        """Return True for every int and for unlimited."""
        return True if isinstance(other, int | Unlimited) else NotImplemented

    def __repr__(self) -> str:
        """Return the public name."""
        return "UNLIMITED"

    __format__ = _format_word


class NotIncluded(StrEnum):  # a str, so that json.dumps writes "not-included"
    """The type of `NOT_INCLUDED`, which is falsy."""

    NOT_INCLUDED = "not-included"

    def __bool__(self) -> Literal[False]:
        """Return False."""
        return False

    def __repr__(self) -> str:
        """Return the public name."""
        return "NOT_INCLUDED"

    __format__ = _format_word


UNLIMITED: Final = Unlimited.UNLIMITED
NOT_INCLUDED: Final = NotIncluded.NOT_INCLUDED

Size = int | Unlimited
"""The size that a store enforces on a meter."""

LimitValue = int | Unlimited | NotIncluded
"""The size of a limit in a tier, and so of an account."""


class Algorithm(StrEnum):
    """The algorithm of a rate's window; `rules/meters.py` states the guarantee of each."""

    SLIDING = "sliding"
    FIXED = "fixed"
    TOKEN_BUCKET = "token-bucket"


class PeriodLength(StrEnum):
    """The length of a quota's periods: days and weeks of the calendar, months and years from the account's anchor."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    LIFETIME = "lifetime"


class OnOutage(StrEnum):
    """The answer of a limit while the store is unreachable."""

    LOCAL = "local"
    ALLOW = "allow"
    DENY = "deny"


class Mode(StrEnum):
    """The mode of a limit: refuse, or only report that it would have refused."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


@immutable(FILES)
@dataclass(frozen=True, slots=True)
class Rate:
    """
    A rate limit: at most so many units in a window.

    Args:
        name: The limit's name in the policy.
        window: Microseconds; 0 if no tier of the policy gives a window.
        algorithm: The algorithm of the window.
        burst: For a token bucket, its capacity; None makes it the rate itself.
        per: The kind of scope that has its own meter, such as `ip`; None for the account.
        unit: One unit's name, for people.
        about: One sentence for people.
        deadline: Microseconds a decision may wait for the store.
        on_outage: The answer while the store is unreachable.
        mode: `SHADOW` measures and never refuses.
        lease: Most units that a process takes in advance, to spend without asking the store; None for none.
        meter_name: Algorithm, window and name: a meter is kept per law, so that while two versions of a policy
            run, each counts by its own.
    """

    name: str
    window: int = 0
    algorithm: Algorithm = Algorithm.SLIDING
    burst: int | None = None
    per: str | None = None
    unit: str = "request"
    about: str = ""
    deadline: int = SECOND // 20
    on_outage: OnOutage = OnOutage.LOCAL
    mode: Mode = Mode.ENFORCE
    lease: int | None = None
    meter_name: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter_name", f"{self.algorithm}:{self.window}:{self.name}")

    def capacity(self, size: Size) -> Size:
        """Return the units that can be spent at once under *size*: the burst of a token bucket."""
        if self.burst is None or self.algorithm is not Algorithm.TOKEN_BUCKET:
            return size
        return self.burst if size != 0 and size is not UNLIMITED else size


@immutable(FILES)
@dataclass(frozen=True, slots=True)
class Quota:
    """
    A quota: at most so many units in a period.

    Args:
        name: The limit's name in the policy.
        period: The length of a period; a lifetime never ends.
        unit: One unit's name, for people.
        about: One sentence for people.
        deadline: Microseconds a decision may wait for the store.
        on_outage: The answer while the store is unreachable.
        mode: `SHADOW` measures and never refuses.
        per: The kind of scope that has its own meter, such as `user`; None for the account.
        lease: Most units that a process takes in advance, to spend without asking the store; None for none.
    """

    name: str
    period: PeriodLength = PeriodLength.MONTH
    unit: str = "unit"
    about: str = ""
    deadline: int = SECOND // 4
    on_outage: OnOutage = OnOutage.DENY
    mode: Mode = Mode.ENFORCE
    per: str | None = None
    lease: int | None = None

    capacity = _whole_size


@immutable(FILES)
@dataclass(frozen=True, slots=True)
class Allocation:
    """
    An allocation: at most so many units held at once, by count or by named holders.

    Args:
        name: The limit's name in the policy.
        unit: One unit's name, for people; `byte` prints as sizes.
        about: One sentence for people.
        deadline: Microseconds a decision may wait for the store.
        on_outage: The answer while the store is unreachable.
        mode: `SHADOW` measures and never refuses.
        per: The kind of scope that has its own meter, such as `user`; None for the account.
        lease: Most units that a process takes in advance, to spend without asking the store; None for none.
    """

    name: str
    unit: str = "unit"
    about: str = ""
    deadline: int = SECOND // 4
    on_outage: OnOutage = OnOutage.DENY
    mode: Mode = Mode.ENFORCE
    per: str | None = None
    lease: int | None = None

    capacity = _whole_size


Limit = Rate | Quota | Allocation
