"""
Due items as a calendar: iCalendar (RFC 5545), by the library `icalendar`.

    pip install entitlements[calendar]

Each item is an event of whole days, because a schedule has days and no times of day. It has
the same UID in every export, so that a calendar which imports it again updates it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from entitlements.extras import extra
from entitlements.model.display import in_words
from entitlements.tiering.schedule import DueItem

with extra("calendar", "icalendar", __name__):
    from icalendar import Calendar, Event

_ONE_DAY = timedelta(days=1)


def to_icalendar(items: Iterable[DueItem], *, stamp: datetime, name: str = "Due") -> bytes:
    """
    Return due items as the text of an `.ics` file, in UTF-8.

    Args:
        items: The items of any number of accounts.
        stamp: The instant of the export (aware).
        name: The calendar's name.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//entitlements//due//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", name)
    for item in items:
        calendar.add_component(_event(item, stamp.astimezone(UTC)))
    return bytes(calendar.to_ical())


def _event(item: DueItem, stamp: datetime) -> Event:
    event = Event()
    event.add("uid", uid_of(item))
    event.add("dtstamp", stamp)
    event.add("dtstart", item.begins or item.date)
    event.add("dtend", item.date + _ONE_DAY)
    event.add("summary", f"{item.account}: {item.name}")
    event.add("description", "\n".join(f"{name}: {value}" for name, value in _details(item)))
    event.add("categories", [item.kind.value])
    event.add("transp", "TRANSPARENT")
    return event


def uid_of(item: DueItem) -> str:
    """Return the identifier of an item: that of its account, kind, name and date."""
    text = f"{item.account}\x1f{item.kind.value}\x1f{item.name}\x1f{item.date.isoformat()}"
    return f"{sha256(text.encode()).hexdigest()[:32]}@entitlements"


def _details(item: DueItem) -> Iterable[tuple[str, str]]:
    shown = {
        "tier": item.tier,
        "owner": item.owner,
        "with": item.audience,
        "length": None if item.duration is None else in_words(item.duration),
        "format": item.format,
    }
    return [(name, value) for name, value in shown.items() if value]
