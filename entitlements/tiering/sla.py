"""
Service level agreements: the commitments of a tier for tickets, and their progress.

The time of a commitment runs on its clock, and stands still while a ticket is paused,
such as while it waits for the customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from entitlements.errors import UnknownFeature
from entitlements.model.display import attributes_in_json, fields_in_json, in_words
from entitlements.model.entitlements import Entitlements
from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.instants import check_moment, to_datetime, to_timedelta
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.resolution import resolution_of
from entitlements.tiering.sla_values import CLOCK, NODE, SUPPORT_HOURS, Zones, priorities_in, sla_faults, support_clock
from entitlements.tiering.support_clock import Span, SupportClock
from entitlements.tiering.value_faults import require_readable

__all__ = ["Commitment", "Pause", "Progress", "ServiceLevel", "Ticket", "priorities", "service_level"]

Pause = tuple[datetime, datetime | None]
"""Start and end of a time in which the clock of a ticket stands still; None for a pause that has not ended."""


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

    def due(self, opened: datetime, *, paused: Iterable[Pause] = ()) -> datetime | None:
        """
        Return the first instant that is too late for a ticket; None without a commitment.

        Args:
            opened: The instant at which the ticket was opened.
            paused: The pauses, in any order; each has ended.

        Raises:
            ValueError: For a naive datetime, and for a pause without an end after its start.
        """
        start = check_moment(opened, "opened")
        spans = _spans(paused, None)
        return None if self.within is None else to_datetime(self._due(start, spans))

    def progress(
        self, opened: datetime, now: datetime, done: datetime | None = None, *, paused: Iterable[Pause] = ()
    ) -> Progress:
        """
        Return the progress of the commitment for a ticket at *now*.

        Args:
            opened: The instant at which the ticket was opened.
            now: The present.
            done: The instant of the response or resolution; None if it is still open.
            paused: The pauses; one without an end lasts until *now*.

        Raises:
            ValueError: For naive datetimes, for a *done* before *opened*, and for a pause
                that ends before it starts.
        """
        present, start = check_moment(now, "now"), check_moment(opened, "opened")
        spans = _spans(paused, present)
        if done is not None and check_moment(done, "done") < start:
            raise ValueError(f"done {done} lies before opened {opened}")
        if self.within is None:
            return Progress(None, done, breached=False, left=None, left_open=None)
        late = self._due(start, spans)
        due = to_datetime(late)
        if done is not None:
            return Progress(due, done, done >= due, None, None)
        counts = self._counted(present, late, spans)
        return Progress(due, None, present >= late, to_timedelta(late - present), to_timedelta(counts))

    def _due(self, start: int, pauses: list[Span]) -> int:
        """Return the instant at which the clock has run for the commitment's time."""
        assert self.within is not None
        rest = self.within // timedelta(microseconds=1)
        for begins, ends in pauses:
            if ends <= start:
                continue
            runs = self._open_time(start, begins)
            if runs >= rest:
                break
            start, rest = ends, rest - runs
        return self.support_clock.add(start, rest) if self.support_clock else start + rest

    def _counted(self, start: int, end: int, pauses: list[Span]) -> int:
        """Return the time between two instants in which the clock runs."""
        total = 0
        for begins, ends in pauses:
            total += self._open_time(start, min(begins, end))
            start = max(start, ends)
        return total + self._open_time(start, end)

    def _open_time(self, start: int, end: int) -> int:
        if end <= start:
            return 0
        return self.support_clock.open_time(start, end) if self.support_clock else end - start


def _spans(paused: Iterable[Pause], present: int | None) -> list[Span]:
    """Return the pauses in order, without overlaps; one without an end lasts until *present*."""
    spans: list[Span] = []
    for begins, ends in paused:
        start = check_moment(begins, "the start of a pause")
        goes_on = ends is None and present is not None
        end = max(start, present or 0) if goes_on else check_moment(ends, "the end of a pause")
        if end < start:
            raise ValueError(f"a pause ends at {ends}, before its start {begins}; exchange the two")
        spans.append((start, end))
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


@dataclass(frozen=True, slots=True)
class Ticket:
    """The progress of both commitments for one ticket."""

    response: Progress
    resolution: Progress

    @property
    def breached(self) -> bool:
        """True if either commitment was breached."""
        return self.response.breached or self.resolution.breached


@immutable(ANSWER)
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
        self,
        opened: datetime,
        *,
        now: datetime,
        responded: datetime | None = None,
        resolved: datetime | None = None,
        paused: Iterable[Pause] = (),
    ) -> Ticket:
        """
        Return the progress of a ticket at *now*.

        Args:
            opened: The instant at which the ticket was opened.
            now: The present.
            responded: The instant of the response; None if there was none yet.
            resolved: The instant of the resolution; None if there was none yet.
            paused: The times in which the clock stands still, as (start, end); an end of
                None is a pause that has not ended.

        Raises:
            ValueError: For naive datetimes, for a response or resolution before *opened*,
                and for a pause that ends before it starts.
        """
        answered = responded if responded is not None else resolved
        spans = tuple(paused)
        return Ticket(
            self.response.progress(opened, now, answered, paused=spans),
            self.resolution.progress(opened, now, resolved, paused=spans),
        )

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
    under, values = f"{NODE}.{name}", resolution_of(entitlements).values
    parts = (f"{under}.", f"{CLOCK}.")
    own = {key: value for key, value in values.items() if key.startswith(parts)}
    require_readable(entitlements, sla_faults(own, zones))
    return ServiceLevel(
        entitlements.tier or "",
        name,
        str(values.get(f"{under}.name") or ""),
        str(values.get(f"{under}.example") or ""),
        _commitment(values, f"{under}.response", zones),
        _commitment(values, f"{under}.resolution", zones),
    )


def priorities(entitlements: Entitlements) -> tuple[str, ...]:
    """Return the priorities of the policy, sorted."""
    return priorities_in(entitlements.policy.keys)


def _priority(entitlements: Entitlements, priority: object) -> str:
    known = priorities(entitlements)
    if not known:
        raise UnknownFeature(
            f"policy {entitlements.policy.version} has no service levels; write sla.p1.response and sla.p1.resolution"
            " among a tier's values"
        )
    asked = priority.strip() if isinstance(priority, str) else ""
    if asked in known:
        return asked
    alike = [name for name in known if name.casefold() == asked.casefold()]
    if len(alike) != 1:
        raise UnknownFeature(f"there is no priority {priority!r}; there are {', '.join(known)}")
    return alike[0]


def _commitment(values: Mapping[str, object], key: str, zones: Zones) -> Commitment:
    within = values.get(key, NOT_INCLUDED)
    if within is NOT_INCLUDED:
        return Commitment(None, "not included", "calendar")
    if not isinstance(within, timedelta):
        return Commitment(None, str(values.get(f"{key}.label") or ""), "calendar")
    clock = values.get(f"{key}-clock", "calendar")
    return Commitment(within, "", str(clock), support_clock(values, zones) if clock == SUPPORT_HOURS else None)
