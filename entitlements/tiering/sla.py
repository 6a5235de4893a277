"""
Service level agreements: the commitments of a tier for tickets, and their progress.

A policy defines them under `sla.<priority>`: `response` and `resolution`, each with its
clock (`response-clock`: 24/7, calendar or support-hours). The support hours are under
`sla.clock` (`zone`, `opens`, `closes`, `days`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from entitlements.errors import PolicyError, UnknownFeature
from entitlements.model.display import attributes_in_json, fields_in_json, in_words
from entitlements.model.entitlements import Entitlements
from entitlements.model.instants import HOUR, MINUTE, check_moment, to_datetime, to_timedelta
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.problem import Problem
from entitlements.tiering.support_clock import SupportClock

__all__ = ["Commitment", "Progress", "ServiceLevel", "Ticket", "priorities", "service_level"]

Zones = Callable[[str], tzinfo]
"""Returns a time zone by name, such as `zoneinfo.ZoneInfo`."""

SUPPORT_HOURS = "support-hours"
CLOCKS = (SUPPORT_HOURS, "24/7", "calendar")
"""The clocks of a commitment; the last two count every hour."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Progress:
    """
    The progress of one commitment for one ticket.

    Args:
        due: The first instant that is too late (aware, UTC); None without a commitment.
        done: The instant at which it was done; None if it is not.
        breached: True if it was done too late, or is late now.
        left: Time until `due`, negative if late; None once done, or without a commitment.
        left_open: The part of `left` that the clock of the commitment counts; 0 if late.
    """

    due: datetime | None
    done: datetime | None
    breached: bool
    left: timedelta | None
    left_open: timedelta | None


@dataclass(frozen=True, slots=True)
class Commitment:
    """
    A commitment to respond to a ticket, or to resolve it, within a time.

    Args:
        within: The time limit; None for no commitment.
        label: The text if there is no commitment, such as `Best effort`; else empty.
        clock: `support-hours`, `24/7` or `calendar`.
        support_clock: The support hours, if the clock counts only those.
    """

    within: timedelta | None
    label: str
    clock: str
    support_clock: SupportClock | None = None

    def __str__(self) -> str:
        """Return `2 hours (24/7)`, or `no commitment` with its label."""
        if self.within is None:
            return f"no commitment: {self.label}" if self.label else "no commitment"
        return f"{in_words(self.within)} ({self.clock})"

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`; without a commitment there is no clock."""
        clock = None if self.within is None else self.clock
        return attributes_in_json(self, ("within", "label")) | {"clock": clock}

    def due(self, opened: datetime) -> datetime | None:
        """
        Return the first instant that is too late for a ticket; None without a commitment.

        Raises:
            ValueError: For a naive datetime.
        """
        start = check_moment(opened, "opened")
        if self.within is None:
            return None
        duration = self.within // timedelta(microseconds=1)
        return to_datetime(self.support_clock.add(start, duration) if self.support_clock else start + duration)

    def progress(self, opened: datetime, now: datetime, done: datetime | None = None) -> Progress:
        """
        Return the progress of the commitment for a ticket at *now*.

        Args:
            opened: The instant at which the ticket was opened.
            now: The present.
            done: The instant of the response or resolution; None if it is still open.

        Raises:
            ValueError: For naive datetimes, and for a *done* before *opened*.
        """
        present, due = check_moment(now, "now"), self.due(opened)
        if done is not None and check_moment(done, "done") < check_moment(opened, "opened"):
            raise ValueError(f"done {done} lies before opened {opened}")
        if due is None:
            return Progress(None, done, breached=False, left=None, left_open=None)
        if done is not None:
            return Progress(due, done, done >= due, None, None)
        late = check_moment(due, "due")
        counts = self.support_clock.open_time(present, late) if self.support_clock else max(0, late - present)
        return Progress(due, None, present >= late, to_timedelta(late - present), to_timedelta(counts))


@dataclass(frozen=True, slots=True)
class Ticket:
    """The progress of both commitments for one ticket."""

    response: Progress
    resolution: Progress

    @property
    def breached(self) -> bool:
        """True if either commitment was breached."""
        return self.response.breached or self.resolution.breached


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """
    The commitments to an account for tickets of one priority.

    Args:
        tier: The tier in force.
        priority: As the policy writes it, such as `p1`.
        name: The name of the priority, such as `Critical`; empty if the policy has none.
        example: An example of a ticket.
        response: The commitment to respond.
        resolution: The commitment to resolve.
    """

    tier: str
    priority: str
    name: str
    example: str
    response: Commitment
    resolution: Commitment

    def ticket(
        self, opened: datetime, *, now: datetime, responded: datetime | None = None, resolved: datetime | None = None
    ) -> Ticket:
        """
        Return the progress of a ticket at *now*.

        Raises:
            ValueError: For naive datetimes, and for a response or resolution before *opened*.
        """
        answered = responded if responded is not None else resolved
        return Ticket(
            self.response.progress(opened, now, answered), self.resolution.progress(opened, now, resolved)
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`; durations in seconds."""
        return fields_in_json(self)


def service_level(entitlements: Entitlements, priority: str, zones: Zones) -> ServiceLevel:
    """
    Return the commitments to the account for tickets of *priority*, in any case.

    Args:
        entitlements: The account's entitlements.
        priority: A priority of the policy, such as `P1`.
        zones: Returns the time zone of the support hours.

    Raises:
        UnknownFeature: For a priority that no tier of the policy has.
        PolicyError: For an invalid commitment or clock in the policy.
    """
    name = _priority(entitlements, priority)
    under = f"sla.{name}"
    return ServiceLevel(
        entitlements.tier or "",
        name,
        str(entitlements.values.get(f"{under}.name") or ""),
        str(entitlements.values.get(f"{under}.example") or ""),
        _commitment(entitlements, f"{under}.response", zones),
        _commitment(entitlements, f"{under}.resolution", zones),
    )


def priorities(entitlements: Entitlements) -> tuple[str, ...]:
    """Return the priorities of the policy, sorted."""
    keys = (key.split(".") for key in entitlements.policy.keys)
    return tuple(sorted({path[1] for path in keys if path[0] == "sla" and path[2:] == ["response"]}))


def _priority(entitlements: Entitlements, priority: object) -> str:
    known = priorities(entitlements)
    if not known:
        raise UnknownFeature(
            f"policy {entitlements.policy.version} has no service levels; write sla.p1.response and sla.p1.resolution"
            " among a tier's values"
        )
    name = priority.strip().lower() if isinstance(priority, str) else ""
    if name not in known:
        raise UnknownFeature(f"there is no priority {priority!r}; there are {', '.join(known)}")
    return name


def _commitment(entitlements: Entitlements, key: str, zones: Zones) -> Commitment:
    within = entitlements.values.get(key, NOT_INCLUDED)
    if within is NOT_INCLUDED:
        return Commitment(None, "not included", "calendar")
    if within is None:
        return Commitment(None, str(entitlements.values.get(f"{key}.label") or ""), "calendar")
    if not isinstance(within, timedelta) or within <= timedelta(0):
        raise _wrong(entitlements, key, within, "write a duration such as 4 hours, or {no-commitment: text}")
    clock = entitlements.values.get(f"{key}-clock", "calendar")
    if clock not in CLOCKS:
        raise _wrong(entitlements, f"{key}-clock", clock, f"write one of {', '.join(CLOCKS)}")
    return Commitment(within, "", str(clock), _support_clock(entitlements, zones) if clock == SUPPORT_HOURS else None)


def _support_clock(entitlements: Entitlements, zones: Zones) -> SupportClock:
    """Return the support hours of the tier's `sla.clock`."""
    written = {word: entitlements.values.get(f"sla.clock.{word}") for word in ("zone", "opens", "closes", "days")}
    try:
        zone = zones(str(written["zone"]))
    except (KeyError, ValueError, OSError):
        cure = "write a name of the IANA database, such as America/New_York"
        raise _wrong(entitlements, "sla.clock.zone", written["zone"], cure) from None
    days = written["days"]
    if not isinstance(days, tuple) or not days or not set(days) <= set(WEEKDAYS):
        raise _wrong(entitlements, "sla.clock.days", days, f"write a list of {', '.join(WEEKDAYS)}")
    opens, closes = (_time_of_day(entitlements, f"sla.clock.{word}", written[word]) for word in ("opens", "closes"))
    try:
        return SupportClock(zone, opens, closes, frozenset(WEEKDAYS.index(str(day)) for day in days))
    except ValueError:
        span = f"{written['opens']} to {written['closes']}"
        raise _wrong(entitlements, "sla.clock", span, "let it open before it closes, at 24:00 at the latest") from None


def _time_of_day(entitlements: Entitlements, key: str, written: object) -> int:
    hours, colon, minutes = str(written).partition(":")
    digits = hours.isascii() and hours.isdigit() and minutes.isascii() and minutes.isdigit() and len(minutes) == 2
    if not colon or not digits or int(minutes) > 59:
        raise _wrong(entitlements, key, written, 'write a time of day in quotes, such as "08:00"')
    return int(hours) * HOUR + int(minutes) * MINUTE


def _wrong(entitlements: Entitlements, key: str, value: object, cure: str) -> PolicyError:
    path = f"tiers.{entitlements.tier}.values.{key}"
    shown = dict(value) if isinstance(value, Mapping) else value
    return PolicyError([Problem(f"policy {entitlements.policy.version}", 0, path, f"{shown!r} cannot be used", cure)])
