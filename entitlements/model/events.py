"""Events for hooks: one frozen value per decision and per change of state."""

from __future__ import annotations

from dataclasses import dataclass

from entitlements.model.decision import Decision
from entitlements.model.usage import Usage


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision was made; *verb* is can, decide, consume, peek, reserve or assign."""

    verb: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Threshold:
    """
    A charge, or a new total, took a quota or an allocation across a threshold of its limit.

    Args:
        percent: One of the enforcer's `thresholds`, 80 and 100 by default; each at most once per period and limit.
        decision: The part that crossed the threshold.
    """

    percent: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    A reservation was settled.

    Args:
        account: The account.
        reservation: Its id.
        committed: The units that each limit keeps; empty if it was cancelled.
        scope: The scope of its limits with a `per`; None if it was made without one.
        decision: What `commit` returned; None if it was cancelled.
    """

    account: str
    reservation: str
    committed: tuple[tuple[str, int], ...]
    scope: str | None = None
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Refunded:
    """The units of a decision were refunded."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Released:
    """Anonymous units of an allocation were released; *scope* is None for an allocation of the account."""

    account: str
    limit: str
    amount: int
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Unassigned:
    """A holder's unit of an allocation was released; *scope* is None for an allocation of the account."""

    account: str
    limit: str
    holder: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class UsageSet:
    """The total of a limit was set by `set_usage`; *scope* is None for a limit of the account."""

    account: str
    limit: str
    usage: Usage
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class RateReset:
    """The meter of a rate was emptied by `reset`; *scope* is None for a rate of the account."""

    account: str
    limit: str
    scope: str | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Every counter of an account was deleted, or with *scope* those of a scope of it."""

    account: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class AccountInvalidated:
    """
    Loaded accounts were dropped because they have changed at their source, here or in another process.

    Args:
        account: The account's id; None for every account, where messages may have been lost.
    """

    account: str | None


@dataclass(frozen=True, slots=True)
class OperationsDropped:
    """Operation ids were dropped because an account had too many; a later repeat of one is a new charge."""

    account: str
    count: int


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Another policy came into force; *before* and *after* are versions."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """
    A decision was made without the store.

    Args:
        verb: As in `Decided`.
        mode: The outage mode that decided: `local`, `allow` or `deny`.
        decision: The decision; a `Decided` event reports it as well.
    """

    verb: str
    mode: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """
    The store's circuit breaker changed its state.

    On a cluster each node has a breaker of its own, and the event is about the worst state of them all.

    Args:
        before: `closed` (calls pass), `open` (calls are blocked) or `half-open` (one call probes the store).
        after: The new state.
        pause: Microseconds until an open breaker lets a call probe the store; else 0.
    """

    before: str
    after: str
    pause: int


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """
    An order was sent to the store and its outcome is unknown.

    Args:
        order: The order's class, such as `Charge`.
        repeated: True if the order is sent once more, which its operation id makes safe.
    """

    order: str
    repeated: bool


@dataclass(frozen=True, slots=True)
class Journalled:
    """
    The replay journal gained, replayed or lost entries.

    Args:
        waiting: Entries that wait for the store.
        replayed: Entries that this call has replayed to the store.
        lost: Entries that were dropped: no room, or too old to be repeated safely.
    """

    waiting: int
    replayed: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """The policy's files changed and could not be loaded; the old policy stays in force."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class AccountsDown:
    """The account source fails; cached accounts are served for a while. *problem* names no account."""

    problem: str


@dataclass(frozen=True, slots=True)
class AccountsBack:
    """The account source recovered."""


Event = (
    Decided
    | Threshold
    | Settlement
    | Refunded
    | Released
    | Unassigned
    | UsageSet
    | RateReset
    | Forgotten
    | AccountInvalidated
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
