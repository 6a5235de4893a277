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


@dataclass(frozen=True, slots=True)
class Degraded:
    """
    A decision was made without the store.

    Args:
        verb: As in `Decided`.
        mode: What decided: `local`, `allow` or `deny`.
        decision: The decision, which is told as `Decided` too.
    """

    verb: str
    mode: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """
    The breaker before the store changed its state.

    Args:
        before: `closed` (the store is asked), `open` (it is not) or `half-open` (one call tries it).
        after: Likewise.
        pause: Of an open one: microseconds until a call may try the store; else 0.
    """

    before: str
    after: str
    pause: int


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """
    The store was sent an order, and nobody knows whether it was carried out.

    Args:
        order: The order's class, such as `Charge`.
        repeated: It is sent once more, which its operation id makes safe.
    """

    order: str
    repeated: bool


@dataclass(frozen=True, slots=True)
class Journalled:
    """
    The journal of what was let through, or must be undone, moved on.

    Args:
        waiting: Entries that wait for the store.
        replayed: Entries that this call has brought to the store.
        lost: Entries that it gave up: no room, or too old to be repeated safely.
    """

    waiting: int
    replayed: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """The policy's files changed, and what they say now was not put in force; *problem* says why."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class AccountsDown:
    """The source of accounts fails: what is known stands in for a while; *problem* names no account."""

    problem: str


@dataclass(frozen=True, slots=True)
class AccountsBack:
    """The source of accounts answers again."""


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
    | Degraded
    | BreakerChanged
    | OutcomeUnknown
    | Journalled
    | ReloadFailed
    | AccountsDown
    | AccountsBack
)
