"""
What a tier commits itself to for a ticket of some priority, and whether that is kept.

A policy says it under `sla.<priority>`: `response` and `resolution`, each with the clock
it runs on beside it (`response-clock`: 24/7, calendar or support-hours); under
`sla.clock` the hours of its support (`zone`, `opens`, `closes`, `days`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from entitlements.errors import PolicyError, UnknownFeature
from entitlements.model.display import in_json, in_words
from entitlements.model.instants import HOUR, MINUTE, check_moment, to_datetime, to_timedelta
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.problem import Problem
from entitlements.tiering.support_clock import SupportClock

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements

Zones = Callable[[str], tzinfo]
"""Finds a time zone by its name, such as `zoneinfo.ZoneInfo`."""

SUPPORT_HOURS = "support-hours"
CLOCKS = (SUPPORT_HOURS, "24/7", "calendar")
"""What a time may run on; the last two count every hour."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How one commitment stands for one ticket.

    Args:
        due: First instant that is too late (aware, UTC); None without a commitment.
        done: When it was done, or None.
        breached: Whether it was done too late, or is not done and late by now.
        left: Time until `due`, negative when late; None once done, and without a commitment.
        left_open: The part of `left` that counts on the clock of the commitment; 0 when late.
    """

    due: datetime | None
    done: datetime | None
    breached: bool
    left: timedelta | None
    left_open: timedelta | None


@dataclass(frozen=True, slots=True)
class Commitment:
    """
    To answer, or to solve, in less than some time.

    Args:
        within: How long; None promises nothing.
        label: What is said instead of a promise, such as `Best effort`; else empty.
        clock: `support-hours`, `24/7` or `calendar`.
        support_clock: The hours of support, where the clock is theirs.
    """

    within: timedelta | None
    label: str
    clock: str
    support_clock: SupportClock | None = None

    def __str__(self) -> str:
        """Return `2 hours (24/7)`, or what is said instead."""
        if self.within is None:
            return f"no commitment: {self.label}" if self.label else "no commitment"
        return f"{in_words(self.within)} ({self.clock})"

    def due(self, opened: datetime) -> datetime | None:
        """
        Return the first instant that is too late for a ticket *opened* then; None without a commitment.

        Raises:
            ValueError: For a naive datetime.
        """
        start = check_moment(opened, "opened")
        if self.within is None:
            return None
        lasting = self.within // timedelta(microseconds=1)
        return to_datetime(self.support_clock.add(start, lasting) if self.support_clock else start + lasting)

    def progress(self, opened: datetime, now: datetime, done: datetime | None = None) -> Progress:
        """
        Return how the commitment stands at *now* for a ticket.

        Args:
            opened: When the ticket was opened.
            now: The present.
            done: When it was answered, or solved; None if that is to come.

        Raises:
            ValueError: For naive datetimes, and for what was done before it was opened.
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
    """How both commitments stand for one ticket."""

    response: Progress
    resolution: Progress

    @property
    def breached(self) -> bool:
        """Whether either was broken."""
        return self.response.breached or self.resolution.breached


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """
    What an account is owed for tickets of one priority.

    Args:
        tier: The tier in force.
        priority: As the policy writes it, such as `p1`.
        name: What that priority is called, such as `Critical`; empty where the policy does not say.
        example: What belongs to it.
        response: In what time somebody answers.
        resolution: In what time it is solved.
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
        Return how a ticket stands at *now*.

        Raises:
            ValueError: For naive datetimes, and for what was done before it was opened.
        """
        answered = responded if responded is not None else resolved
        return Ticket(
            self.response.progress(opened, now, answered), self.resolution.progress(opened, now, resolved)
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes; durations in seconds."""
        told: dict[str, object] = {
            "tier": self.tier, "priority": self.priority, "name": self.name, "example": self.example
        }  # fmt: skip
        for kind, commitment in (("response", self.response), ("resolution", self.resolution)):
            told[kind] = {
                "within": in_json(commitment.within),
                "label": commitment.label,
                "clock": commitment.clock if commitment.within is not None else None,
            }
        return told


def service_level(entitlements: Entitlements, priority: str, zones: Zones) -> ServiceLevel:
    """
    Return what the account is owed for tickets of *priority*; upper and lower case are one.

    Args:
        entitlements: What the account may do.
        priority: `P1`, as the policy names it under `sla`.
        zones: Finds the support clock's time zone.

    Raises:
        UnknownFeature: For a priority that no tier of the policy knows.
        PolicyError: For values that make no commitment and no clock.
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
    """Return the priorities that the policy knows, sorted."""
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
    """Return the hours of support that the tier's `sla.clock` says."""
    says = {word: entitlements.values.get(f"sla.clock.{word}") for word in ("zone", "opens", "closes", "days")}
    try:
        zone = zones(str(says["zone"]))
    except (KeyError, ValueError, OSError):
        cure = "write a name of the IANA database, such as America/New_York"
        raise _wrong(entitlements, "sla.clock.zone", says["zone"], cure) from None
    days = says["days"]
    if not isinstance(days, tuple) or not days or not set(days) <= set(WEEKDAYS):
        raise _wrong(entitlements, "sla.clock.days", days, f"write a list of {', '.join(WEEKDAYS)}")
    opens, closes = (_time_of_day(entitlements, f"sla.clock.{word}", says[word]) for word in ("opens", "closes"))
    try:
        return SupportClock(zone, opens, closes, frozenset(WEEKDAYS.index(str(day)) for day in days))
    except ValueError:
        span = f"{says['opens']} to {says['closes']}"
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
