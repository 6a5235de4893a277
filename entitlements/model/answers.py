"""
Answers of a store to the orders of `charge.py`: plain values that can be serialised.

All instants are integer microseconds since 1970 in UTC, on the store's clock.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from entitlements.model.limits import Size


class Status(StrEnum):
    """
    The outcome of a charge.

    `REUSED`: the operation id stands for another charge. `UNKNOWN`: no record of the
    operation is kept. `STALE`: the period ends are past; repeat with the store's time.
    `UNAVAILABLE` and `WAIVED`: the store could not count it; the charge is refused or
    allowed.
    """

    ADMITTED = "admitted"
    REFUSED = "refused"
    REPLAYED = "replayed"
    REUSED = "reused"
    UNKNOWN = "unknown"
    STALE = "stale"
    UNAVAILABLE = "unavailable"
    WAIVED = "waived"


class Fallback(StrEnum):
    """
    The answer to one part of a charge while the store was unreachable.

    `LOCAL`: decided by this process's share of the limit. `JOURNAL`: allowed, and counted
    when the store is back. `ALLOW`: allowed, and never counted. `DENY`: refused.
    """

    LOCAL = "local"
    JOURNAL = "journal"
    ALLOW = "allow"
    DENY = "deny"


class Line(NamedTuple):
    """
    The state of one part of a charge after the call.

    Args:
        fits: True if this part alone would have been admitted.
        used: Units used, reserved ones included; None if it is not counted.
        reserved: Units reserved.
        retry_at: First instant at which the same charge fits if nothing else changes;
            None if it fits, or if waiting does not help.
        resets_at: Rates: when everything is available again, or the end of a fixed
            window; quotas: the end of the period; allocations: None.
        mark: The position that a refund must name: the instant of the bucket or window,
            or the start of the period.
        taken: Units that this call took.
    """

    fits: bool
    used: int | None
    reserved: int = 0
    retry_at: int | None = None
    resets_at: int | None = None
    mark: int = 0
    taken: int = 0


class Outcome(NamedTuple):
    """
    The answer to a charge.

    Args:
        status: How the charge ended.
        now: The store's clock when it decided.
        lines: One per part, in the order of the parts; empty if the charge was not decided.
        forgotten: Number of operation ids that were dropped before they expired, to make room.
        sizes: For a replay, the size of each part at the first charge.
        fallbacks: The answer to each part without the store; empty if the store answered.
        via: The path that answered, if it is not the store's own.
    """

    status: Status
    now: int
    lines: tuple[Line, ...] = ()
    forgotten: int = 0
    sizes: tuple[Size, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    via: str = ""


class Outdated(NamedTuple):
    """
    The answer to an order of another version than the account's: nothing was written.

    Args:
        version: The account's version.
        now: The store's clock.
    """

    version: int
    now: int


class Invalidated(NamedTuple):
    """
    The answer to `Invalidate`.

    Args:
        version: The account's new version.
        now: The store's clock.
        failure: Why other processes got no message about it; empty if they did, or if the store sends none.
    """

    version: int
    now: int
    failure: str = ""


class SettledUnits(NamedTuple):
    """
    The units of one limit that a commit kept.

    Args:
        limit: Its name.
        kept: Units that stay used; the record of a rate without a meter keeps none.
        line: The meter after the commit; `taken` are the units beyond what was reserved.
    """

    limit: str
    kept: int
    line: Line


class Settled(NamedTuple):
    """
    The answer to `Settle`.

    Args:
        done: True if the units are settled, now or by an earlier call; False if the
            reservation is gone and could not be charged again.
        excess: A limit that was not reserved;
            `*` for a bare int with several limits. Nothing was settled; of a reservation that was given up (*done*),
            `*` means that another caller keeps it.
        stale: The period ends of `recharge` are past; nothing was settled, repeat with `now`.
        now: The store's clock.
        units: The units of each limit that a commit kept; empty if it was cancelled, or lapsed with nothing to keep.
        replayed: It was settled by an earlier call, which `now` and `units` tell of.
        queued: The store does not reply; what the caller keeps waits in the replay journal.
    """

    done: bool
    excess: str | None = None
    stale: bool = False
    now: int = 0
    units: tuple[SettledUnits, ...] = ()
    replayed: bool = False
    queued: bool = False


class Totalled(NamedTuple):
    """
    The answer to `SetUsage`.

    Args:
        line: The meter after the call; None if nothing was set.
        least: The smallest total that is allowed (holders and reservations).
        stale: The period ends are past; nothing was set, repeat with `now`.
        now: The store's clock.
        full: The store has no room for a new account; nothing was set.
    """

    line: Line | None
    least: int = 0
    stale: bool = False
    now: int = 0
    full: bool = False


class PeriodCount(NamedTuple):
    """The counts of one period; *size* is the limit at its last charge."""

    start: int
    end: int
    used: int
    denied: int
    size: Size


class Periods(NamedTuple):
    """
    The answer to `ReadHistory`.

    Args:
        counts: Newest first, the running one included, 13 at most.
        stale: The period ends are past; repeat with `now`.
        now: The store's clock.
    """

    counts: tuple[PeriodCount, ...]
    stale: bool = False
    now: int = 0


class ScopePage(NamedTuple):
    """
    The answer to `ReadScopes`.

    Args:
        scopes: In the order of their names.
        after: The last scope that was examined, after which the next page begins; None at the end.
    """

    scopes: tuple[str, ...]
    after: str | None = None


Answer = (
    Outcome | Outdated | Invalidated | Settled | Totalled | Periods | ScopePage | tuple[str, ...] | bool | int | None
)
