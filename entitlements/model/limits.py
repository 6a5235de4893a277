"""
What can be limited, and how: a limit is a `Rate`, a `Quota` or an `Allocation`.

A definition stands once per policy; its size stands per tier and is an int,
`UNLIMITED` or `NOT_INCLUDED`: three different things, never None or -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from entitlements.model.instants import SECOND


class Unlimited(StrEnum):  # a str, so that json.dumps writes "unlimited"
    """The type of `UNLIMITED`, which is above every int."""

    UNLIMITED = "unlimited"

    def __lt__(self, other: object) -> bool:
        """Nothing is above unlimited."""
        return False if isinstance(other, int | Unlimited) else NotImplemented

    def __le__(self, other: object) -> bool:
        """Only unlimited reaches unlimited."""
        return other is self if isinstance(other, int | Unlimited) else NotImplemented

    def __gt__(self, other: object) -> bool:
        """Unlimited is above every int."""
        return other is not self if isinstance(other, int | Unlimited) else NotImplemented

    def __ge__(self, other: object) -> bool:
        """Unlimited is above every int and equal to itself."""
        return True if isinstance(other, int | Unlimited) else NotImplemented

    def __repr__(self) -> str:
        """Return the public name."""
        return "UNLIMITED"

    def __format__(self, spec: str) -> str:
        """Return the word, also where a number's format was meant: `f"{limit:,}"`."""
        return _format(self.value, spec)

    def __str__(self) -> str:
        """Return the word that a policy and JSON write."""
        return self.value


class NotIncluded(StrEnum):  # a str, so that json.dumps writes "not-included"
    """The type of `NOT_INCLUDED`, which is falsy."""

    NOT_INCLUDED = "not-included"

    def __bool__(self) -> bool:
        """What is not included is falsy."""
        return False

    def __repr__(self) -> str:
        """Return the public name."""
        return "NOT_INCLUDED"

    def __format__(self, spec: str) -> str:
        """Return the word, also where a number's format was meant: `f"{limit:,}"`."""
        return _format(self.value, spec)

    def __str__(self) -> str:
        """Return the word that a policy and JSON write."""
        return self.value


def _format(word: str, spec: str) -> str:
    try:
        return format(word, spec)
    except ValueError:
        return word


UNLIMITED: Final = Unlimited.UNLIMITED
NOT_INCLUDED: Final = NotIncluded.NOT_INCLUDED

Size = int | Unlimited
"""What a store is asked to hold a meter to."""

LimitValue = int | Unlimited | NotIncluded
"""What a tier, and so an account, has of a limit."""


class Algorithm(StrEnum):
    """How a rate's window moves; `rules/meters.py` states each promise."""

    SLIDING = "sliding"
    FIXED = "fixed"
    TOKEN_BUCKET = "token-bucket"


class OnOutage(StrEnum):
    """What a limit answers while the store does not."""

    LOCAL = "local"
    ALLOW = "allow"
    DENY = "deny"


class Mode(StrEnum):
    """Whether a limit refuses, or only says that it would have."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Rate:
    """
    At most so many units in a window.

    Args:
        name: The limit's name in the policy.
        window: Microseconds; 0 where no tier of the policy names one.
        algorithm: The law of the window.
        burst: Of a token bucket: its capacity; None makes it the rate itself.
        per: What a meter of its own is kept for beside the account, such as `ip`.
        unit: One unit's name, for people.
        about: One sentence for people.
        deadline: Microseconds a decision may wait for the store.
        on_outage: What is answered while the store does not.
        mode: `SHADOW` measures and never refuses.
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

    def capacity(self, size: Size) -> Size:
        """Return what can be spent at once under *size*: the burst of a token bucket."""
        if self.burst is None or self.algorithm is not Algorithm.TOKEN_BUCKET:
            return size
        return self.burst if size != 0 and size is not UNLIMITED else size


@dataclass(frozen=True, slots=True)
class Quota:
    """
    At most so many units in a period: a calendar month, or from anchor to anchor.

    Args:
        name: The limit's name in the policy.
        period: `month`, the only one.
        unit: One unit's name, for people.
        about: One sentence for people.
        deadline: Microseconds a decision may wait for the store.
        on_outage: What is answered while the store does not.
        mode: `SHADOW` measures and never refuses.
    """

    name: str
    period: str = "month"
    unit: str = "unit"
    about: str = ""
    deadline: int = SECOND // 4
    on_outage: OnOutage = OnOutage.DENY
    mode: Mode = Mode.ENFORCE

    def capacity(self, size: Size) -> Size:
        """Return what can be spent at once under *size*: all of it."""
        return size


@dataclass(frozen=True, slots=True)
class Allocation:
    """
    At most so many units held at once, by count or by named holders.

    Args:
        name: The limit's name in the policy.
        unit: One unit's name, for people; `byte` prints as sizes.
        about: One sentence for people.
        deadline: Microseconds a decision may wait for the store.
        on_outage: What is answered while the store does not.
        mode: `SHADOW` measures and never refuses.
    """

    name: str
    unit: str = "unit"
    about: str = ""
    deadline: int = SECOND // 4
    on_outage: OnOutage = OnOutage.DENY
    mode: Mode = Mode.ENFORCE

    def capacity(self, size: Size) -> Size:
        """Return what can be taken at once under *size*: all of it."""
        return size


Limit = Rate | Quota | Allocation
