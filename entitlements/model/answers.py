"""
What a store answers to the orders of `charge.py`: plain values that can travel.

All instants are integer microseconds since 1970 in UTC, on the store's clock.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from entitlements.model.limits import Size


class Status(StrEnum):
    """
    How a charge ended.

    `REUSED`: its operation id stands for another charge. `UNKNOWN`: no record of it is
    kept. `STALE`: its period ends are past; repeat with the store's time. `UNAVAILABLE`
    and `WAIVED`: it could not be counted, and is refused or let through.
    """

    ADMITTED = "admitted"
    REFUSED = "refused"
    REPLAYED = "replayed"
    REUSED = "reused"
    UNKNOWN = "unknown"
    STALE = "stale"
    UNAVAILABLE = "unavailable"
    WAIVED = "waived"


class Way(StrEnum):
    """
    How one part of a charge was answered while the store could not be asked.

    `LOCAL`: by this process's share of the limit. `JOURNAL`: let through, and counted when
    the store is back. `ALLOW`: let through, and never counted. `DENY`: refused.
    """

    LOCAL = "local"
    JOURNAL = "journal"
    ALLOW = "allow"
    DENY = "deny"


class Line(NamedTuple):
    """
    What a store says of one part, as after the call.

    Args:
        fits: Whether this part, alone, would have been admitted.
        used: Units used, reserved ones included; None if it is not counted.
        reserved: Units reserved.
        retry_at: First instant at which the same charge fits if nothing else changes;
            None if it fits, or if waiting does not help.
        resets_at: Rates: when everything is available again, or the end of a fixed
            window; quotas: the end of the period; allocations: None.
        mark: What a refund must name: the instant of the bucket or window, or the
            start of the period.
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
        status: How it ended.
        now: The store's clock when it decided.
        lines: One per part, in the order of the parts; empty unless decided.
        forgotten: Operation ids dropped before their time to make room.
        sizes: Of a replay: what each part was held to the first time.
        ways: How each part was answered without the store; empty where it was asked.
        via: Which path answered, where that is not the store's own.
    """

    status: Status
    now: int
    lines: tuple[Line, ...] = ()
    forgotten: int = 0
    sizes: tuple[Size, ...] = ()
    ways: tuple[Way, ...] = ()
    via: str = ""


class Settled(NamedTuple):
    """
    The answer to `Settle`.

    Args:
        done: Whether the units are settled (also: were settled before); False if the
            reservation is gone and could not be charged anew.
        excess: A limit whose amount is above what was reserved (or that was not reserved
            at all, or `*` where a bare int met several limits); nothing was settled.
        stale: The period ends of `anew` were past; nothing was settled, repeat with `now`.
        now: The store's clock.
    """

    done: bool
    excess: str | None = None
    stale: bool = False
    now: int = 0


class Totalled(NamedTuple):
    """
    The answer to `SetUsage`.

    Args:
        line: The meter as it is now; None if nothing was set.
        least: The total below which it may not go (holders and reservations).
        stale: The period ends were past; nothing was set, repeat with `now`.
        now: The store's clock.
        full: The store has no room for a new account; nothing was set.
    """

    line: Line | None
    least: int = 0
    stale: bool = False
    now: int = 0
    full: bool = False


class PeriodCount(NamedTuple):
    """What was counted in one period; *size* is the limit at its last charge."""

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
        stale: The period ends were past; repeat with `now`.
        now: The store's clock.
    """

    counts: tuple[PeriodCount, ...]
    stale: bool = False
    now: int = 0


Answer = Outcome | Settled | Totalled | Periods | tuple[str, ...] | bool | int | None
