"""
Recurrences of a tier, and the role that sees to each: read from the values of the tier.

Touchpoints, activities, visits and the review of the tier have cadences. The values below
`schedule` name the touchpoints that are business reviews, and the owners.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from entitlements.model.names import nearest_or_all, shown
from entitlements.tiering.cadences import CADENCES, MONTH_1, MONTH_1_DAYS, Cadence
from entitlements.tiering.sla_values import CLOCK, Zones, support_clock
from entitlements.tiering.support_clock import SupportClock
from entitlements.tiering.value_faults import ValueFault, misspelt, unknown_key

NODE = "schedule"
"""The node of the values below which owners and business reviews are named."""

ACTIVITIES = "activities."
"""The begin of keys whose values are cadences of proactive activities."""

AUTOMATION = "automation"
"""The owner of what no person does."""

LONGEST_CLOSED = 60
"""Most days in a row without a working day."""

_EPOCH = date(1970, 1, 1)


class DueKind(StrEnum):
    """The kind of a due item."""

    TOUCHPOINT = "touchpoint"
    BUSINESS_REVIEW = "business-review"
    ACTIVITY = "activity"
    VISIT = "visit"
    TIER_REVIEW = "tier-review"
    ONBOARDING = "onboarding"
    TRIAL = "trial"
    RENEWAL = "renewal"
    NOTICE = "notice"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One thing that recurs in a tier; *days* is the number of days after the tier's first in which it does."""

    kind: DueKind
    name: str
    cadence: Cadence
    audience: str | None = None
    duration: timedelta | None = None
    format: str | None = None
    days: int | None = None


def recurrences(values: Mapping[str, Any]) -> Iterator[Recurrence]:
    """Yield what recurs in a tier: touchpoints, business reviews among them, activities, visits, the tier's review."""
    reviews = {value for key, value in values.items() if key.startswith(f"{NODE}.reviews.")}
    for each in values.get("touchpoints") or ():
        name = each["activity"]
        kind = DueKind.BUSINESS_REVIEW if name in reviews else DueKind.TOUCHPOINT
        days = MONTH_1_DAYS if name.endswith(f"({MONTH_1})") else None
        how = (each.get("audience"), each.get("duration"), each.get("format"), days)
        if (cadence := CADENCES.get(each["frequency"])) is not None:
            yield Recurrence(kind, name, cadence, *how)
    for key, text in values.items():
        if isinstance(text, str) and text in CADENCES:
            if key.startswith(ACTIVITIES):
                yield Recurrence(DueKind.ACTIVITY, key.removeprefix(ACTIVITIES), CADENCES[text])
            elif key == "support.on-site-visits":
                yield Recurrence(DueKind.VISIT, "On-site visit", CADENCES[text])
            elif key == "transition.review":
                yield Recurrence(DueKind.TIER_REVIEW, "Review of the tier", CADENCES[text])
            elif key == "onboarding.webinars":
                days = days_in(values.get("onboarding.duration.to"))
                yield Recurrence(DueKind.ONBOARDING, "Onboarding webinar", CADENCES[text], days=days)


def owner_of(values: Mapping[str, Any], kind: DueKind, name: str) -> str:
    """Return the role that sees to an item: of its name, else of its kind, else `csm`."""
    for each in values.get(f"{NODE}.exceptions") or ():
        if each["item"] == name:
            return str(each["owner"])
    return str(values.get(f"{NODE}.owners.{kind.value}") or "csm")


def schedule_faults(values: Mapping[str, Any]) -> Iterator[ValueFault]:
    """Yield the faults of cadences and owners in *values*; a text that is no cadence, nor a misspelt one, is for people."""
    written = values.get("touchpoints")
    touchpoints = written if isinstance(written, tuple) else ()
    for at, each in enumerate(touchpoints):
        yield from _touchpoint_faults(at, each)
    for key, text in values.items():
        is_cadence = key.startswith(ACTIVITIES) or key in ("transition.review", "support.on-site-visits")
        if is_cadence and isinstance(text, str) and text not in CADENCES and (close := misspelt(text, CADENCES)):
            yield ValueFault(key, f"{text!r} is no cadence", f"did you mean {close!r}?")
        if key.startswith(f"{NODE}."):
            yield from _schedule_fault(key, text, {str(each.get("activity")) for each in touchpoints if _is_row(each)})


def _is_row(each: object) -> bool:
    return isinstance(each, Mapping) and {"frequency", "activity"} <= each.keys()


def _touchpoint_faults(at: int, each: Any) -> Iterator[ValueFault]:
    if not _is_row(each):
        cure = "write {frequency: monthly, activity: Business review}"
        yield ValueFault("touchpoints", f"{shown(each)} is no touchpoint", cure, (at,))
    elif each["frequency"] not in CADENCES:
        text = str(each["frequency"])
        cure = nearest_or_all(text, CADENCES).removeprefix("; ")
        is_error = misspelt(text, CADENCES) is not None
        yield ValueFault("touchpoints", f"{text!r} is no cadence", cure, (at, "frequency"), is_error=is_error)


def _schedule_fault(key: str, value: object, activities: set[str]) -> Iterator[ValueFault]:
    """Yield the fault of one value below `schedule`: an unknown touchpoint, kind or key."""
    kinds = [kind.value for kind in DueKind]
    match key.split(".")[1:]:
        case ["reviews", _]:
            if value not in activities:
                cure = nearest_or_all(str(value), activities).removeprefix("; ") or "write the activity of a touchpoint"
                yield ValueFault(key, f"{shown(value)} is no touchpoint of the tier", cure)
        case ["owners", kind]:
            if kind not in kinds:
                yield ValueFault(key, f"{kind!r} is no kind of item", nearest_or_all(kind, kinds).removeprefix("; "))
            elif not isinstance(value, str):
                yield ValueFault(key, f"{shown(value)} is no role", "write a role, such as csm")
        case ["exceptions"]:
            for at, each in enumerate(value if isinstance(value, tuple) else (value,)):
                if not isinstance(each, Mapping) or not {"item", "owner"} <= each.keys():
                    cure = "write {item: Business review, owner: csm}"
                    yield ValueFault(key, f"{shown(each)} names no item with its owner", cure, (at,))
        case words:
            yield unknown_key(key, ".".join(words), ("reviews", "owners", "exceptions"), "the schedule")


def clock_of(values: Mapping[str, Any], zones: Zones) -> SupportClock | None:
    """Return the support clock of a tier, or None; a tier without service levels has none."""
    words = tuple((key, value) for key, value in values.items() if key.startswith(f"{CLOCK}."))
    return _clock(words, zones) if words else None


@lru_cache(maxsize=64)
def _clock(words: tuple[tuple[str, Any], ...], zones: Zones) -> SupportClock:
    return support_clock(dict(words), zones)


def working_day(clock: SupportClock, day: date) -> date:
    """Return the first day from *day* on that is open, *day* itself if none is near."""
    ordinal = (day - _EPOCH).days
    return next((_EPOCH + timedelta(days=at) for at in range(ordinal, ordinal + 366) if clock.is_open_on(at)), day)


def days_in(value: object) -> int | None:
    """Return the whole days of a duration; None for anything else."""
    return value.days if isinstance(value, timedelta) else None
