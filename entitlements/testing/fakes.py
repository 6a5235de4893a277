"""Fakes: a clock that a test moves, and a hook that records events."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from entitlements.model.instants import MICROSECOND, check_moment, to_datetime

if TYPE_CHECKING:
    from datetime import datetime

    from entitlements.model.events import Event


class FakeClock:
    """
    A clock that only a test moves; it drives resolution and the memory store.

    Args:
        now: An aware datetime.
    """

    is_fake = True
    """A networked store uses its server's clock, and refuses this one."""

    def __init__(self, now: datetime) -> None:
        self._now = check_moment(now, "now")

    def __call__(self) -> int:
        """Return the current instant, in microseconds since 1970."""
        return self._now

    @property
    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        return to_datetime(self._now)

    def advance(self, by: timedelta) -> None:
        """Move forward by *by*, a timedelta; back if it is negative."""
        if not isinstance(by, timedelta):
            raise TypeError(f"by {by!r} must be a timedelta, such as timedelta(seconds={by!r})")
        self._now += by // MICROSECOND

    def set(self, now: datetime) -> None:
        """Move to *now*, an aware datetime."""
        self._now = check_moment(now, "now")


class RecordingHook:
    """A hook that records every event, in order, in `events`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Record one event."""
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Event]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]
