"""What hooks see: one frozen event per decision and per change of state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entitlements.model.decision import Decision
    from entitlements.model.usage import Usage


@dataclass(frozen=True, slots=True)
class Decided:
    """A question was answered; *verb* is can, decide, consume, peek, reserve or assign."""

    verb: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Threshold:
    """
    A charge took a quota or an allocation across a share of its limit.

    Args:
        percent: 80 or 100; told once per period and limit.
        decision: The part that crossed it.
    """

    percent: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Settlement:
    """A reservation ended: *committed* says how many of each limit, empty when cancelled."""

    account: str
    reservation: str
    committed: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Refunded:
    """What a decision took was given back."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Released:
    """Anonymous units of an allocation were given back."""

    account: str
    limit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Unassigned:
    """A holder gave a unit of an allocation back."""

    account: str
    limit: str
    holder: str


@dataclass(frozen=True, slots=True)
class UsageSet:
    """The total of a limit was set from outside."""

    account: str
    limit: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Every counter of an account was deleted."""

    account: str


@dataclass(frozen=True, slots=True)
class OperationsDropped:
    """An account had too many live operation ids: a later repeat of these is a new charge."""

    account: str
    count: int


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Another policy is in force."""

    before: str
    after: str


Event = (
    Decided
    | Threshold
    | Settlement
    | Refunded
    | Released
    | Unassigned
    | UsageSet
    | Forgotten
    | OperationsDropped
    | Reloaded
)
