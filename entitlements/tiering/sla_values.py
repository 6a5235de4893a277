"""
Values below `sla`: the commitments by priority, and the support hours.

A policy defines commitments under `sla.<priority>`: `response` and `resolution`, each with its
clock (`response-clock`: 24/7, calendar or support-hours), and a `name` and an `example`.
The support hours are under `sla.clock`: `zone`, `opens`, `closes` and `days` are required of a
clock that counts them. `breaks` are spans such as `12:30-13:30`; `holidays` are dates,
`2026-12-25` or `12-25` for every year. A desk that works past midnight closes after 24:00:
`30:00` is 06:00 of the next day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta, tzinfo
from typing import Any

from entitlements.model.display import in_words
from entitlements.model.instants import DAY, HOUR, MINUTE
from entitlements.model.names import shown
from entitlements.tiering.support_clock import Span, SupportClock
from entitlements.tiering.value_faults import ValueFault, misspelt, unknown_key

NODE = "sla"
SUPPORT_HOURS = "support-hours"
CLOCKS = (SUPPORT_HOURS, "24/7", "calendar")
"""The clocks of a commitment; the last two count every hour."""

COMMITMENTS = ("response", "resolution")
_OF_A_LEVEL = ("name", "example", *(f"{word}{suffix}" for word in COMMITMENTS for suffix in ("", "-clock")))

Zones = Callable[[str], tzinfo]
"""Returns a time zone by name, such as `zoneinfo.ZoneInfo`."""

CLOCK = "sla.clock"
"""The node of the support hours."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
REQUIRED = ("zone", "opens", "closes", "days")
_OF_A_CLOCK = (*REQUIRED, "breaks", "holidays")
_TIME = re.compile("([0-9]{1,2}):([0-5][0-9])")
_YEARLY = re.compile("([0-9]{2})-([0-9]{2})")
_EPOCH = date(1970, 1, 1).toordinal()
_LEAP_YEAR = 2000


def priorities_in(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the priorities that have a commitment among the dotted *keys*, sorted."""
    paths = (key.split(".") for key in keys)
    return tuple(sorted({path[1] for path in paths if path[0] == NODE and len(path) == 3 and path[2] in COMMITMENTS}))


def sla_faults(values: Mapping[str, Any], zones: Zones) -> Iterator[ValueFault]:
    """Yield the faults of the service levels in *values*."""
    for key, value in values.items():
        if key.startswith(f"{NODE}.") and not key.startswith(f"{CLOCK}."):
            yield from sla_fault(key, value, zones)
            if key.endswith("-clock") and value == SUPPORT_HOURS and (missing := missing_words(values)):
                lacks = ", ".join(f"{CLOCK}.{word}" for word in missing)
                yield ValueFault(key, f"the support hours are not complete: there is no {lacks}", f"write {lacks}")
    yield from clock_faults(values, zones)


def sla_fault(key: str, value: object, zones: Zones) -> Iterator[ValueFault]:
    """Yield the faults of one value below `sla`, taken alone."""
    is_time = isinstance(value, timedelta)
    text = repr(in_words(value)) if is_time else shown(value)
    match key.split(".")[1:]:
        case ["clock"]:
            cure = "write zone, opens, closes and days below it, and response-clock: 24/7 at a priority"
            yield ValueFault(key, f"{text} is not the hours of a clock", cure)
        case ["clock", *words]:
            yield from word_faults(".".join(words), value, zones)
        case [_]:
            problem = f"{text} is not a service level, so it is ignored there"
            yield ValueFault(key, problem, "write response and resolution below it", is_error=is_time)
        case [_, "response" | "resolution"]:
            if value is not None and not (isinstance(value, timedelta) and value > timedelta(0)):
                cure = "write a duration such as 4 hours, or {no-commitment: text}"
                yield ValueFault(key, f"{text} is not a commitment", cure)
        case [_, "response-clock" | "resolution-clock"]:
            if value not in CLOCKS:
                yield ValueFault(key, f"{text} is not a clock", f"write one of {', '.join(CLOCKS)}")
        case [_, "name" | "example"] | [_, "response" | "resolution", "label"]:
            pass
        case [word, *words] if words[0] in _OF_A_CLOCK and misspelt(word, ["clock"]):
            yield ValueFault(key, f"nothing reads {f'{NODE}.{word}'!r}", "did you mean 'clock'?")
        case words:
            yield unknown_key(key, ".".join(words[1:]), _OF_A_LEVEL, f"the service level {words[0]!r}")


def clock_faults(values: Mapping[str, Any], zones: Zones) -> Iterator[ValueFault]:
    """Yield the faults of the values below `sla.clock`, each taken alone and then together."""
    written = _written(values)
    faults = [fault for word, value in written.items() for fault in word_faults(word, value, zones)]
    yield from faults
    if any(fault.is_error for fault in faults) or not {"opens", "closes"} <= written.keys():
        return
    opens, closes = _hours(written)
    key, span = f"{CLOCK}.closes", f"{written['opens']} to {written['closes']}"
    if closes <= opens:
        next_day = f"{(closes + DAY) // HOUR}:{closes % HOUR // MINUTE:02}"
        cure = f'let it open before it closes; for a desk that works past midnight write closes: "{next_day}"'
        yield ValueFault(key, f"the clock closes before it opens, {span}", cure)
    elif closes > opens + DAY:
        yield ValueFault(key, f"the hours {span} are more than a day", "write 00:00 to 24:00 for the whole day")
    elif "breaks" in written and (problem := _breaks_problem(opens, closes, written["breaks"])):
        yield ValueFault(f"{CLOCK}.breaks", problem, f"write breaks in order, within {span}")


def word_faults(word: str, value: object, zones: Zones) -> Iterator[ValueFault]:
    """Yield the faults of one value below `sla.clock`."""
    key = f"{CLOCK}.{word}"
    match word:
        case "zone":
            yield from _zone_faults(key, value, zones)
        case "opens" | "closes":
            most = DAY - 1 if word == "opens" else 2 * DAY
            if (at := _time_of_day(value)) is None or at > most:
                yield ValueFault(key, f"{shown(value)} is not a time of day", 'write one in quotes, such as "08:00"')
        case "days":
            if not isinstance(value, tuple) or not value:
                yield ValueFault(key, f"{shown(value)} is not a list of days", f"write a list of {', '.join(WEEKDAYS)}")
            else:
                yield from _item_faults(key, value, lambda day: day in WEEKDAYS, _day_cure)
        case "breaks":
            yield from _list_faults(key, value, _span, 'write a list of spans, such as ["12:30-13:30"]')
        case "holidays":
            yield from _list_faults(key, value, _date, "write a list of dates, such as [2026-12-25, 01-01]")
        case _:
            fault = unknown_key(key, word, _OF_A_CLOCK, "the support hours")
            yield ValueFault(key, fault.problem, fault.cure)


def missing_words(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the required words of `sla.clock` that the tier does not have."""
    written = _written(values)
    return tuple(word for word in REQUIRED if word not in written)


def support_clock(values: Mapping[str, Any], zones: Zones) -> SupportClock:
    """Return the support hours in *values*, which have no fault."""
    written = _written(values)
    opens, closes = _hours(written)
    dates = [found for found in map(_date, written.get("holidays", ())) if found is not None]
    return SupportClock(
        zones(written["zone"]),
        opens,
        closes,
        frozenset(WEEKDAYS.index(day) for day in written["days"]),
        _breaks(opens, written.get("breaks", ())),
        frozenset(each for each in dates if isinstance(each, int)),
        frozenset(each for each in dates if not isinstance(each, int)),
    )


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{CLOCK}."
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def _zone_faults(key: str, value: object, zones: Zones) -> Iterator[ValueFault]:
    try:
        if isinstance(value, str):
            zones(value)
            return
    except (KeyError, ValueError, OSError):
        pass
    cure = "write a name of the IANA database, such as America/New_York"
    yield ValueFault(key, f"{shown(value)} is not a time zone", cure)


def _list_faults(key: str, value: object, read: Callable[[object], object], cure: str) -> Iterator[ValueFault]:
    if isinstance(value, tuple):
        yield from _item_faults(key, value, lambda item: read(item) is not None, lambda _: cure)
    else:
        yield ValueFault(key, f"{shown(value)} is not a list", cure)


def _item_faults(
    key: str, value: tuple[object, ...], is_valid: Callable[[object], bool], cure: Callable[[object], str]
) -> Iterator[ValueFault]:
    for index, item in enumerate(value):
        if not is_valid(item):
            yield ValueFault(key, f"{shown(item)} cannot be read", cure(item), (index,))


def _day_cure(item: object) -> str:
    text = item.strip().lower() if isinstance(item, str) else ""
    close = [day for day in WEEKDAYS if len(text) >= 2 and day.startswith(text)]
    return f"write {close[0]}" if len(close) == 1 else f"write one of {', '.join(WEEKDAYS)}"


def _time_of_day(value: object) -> int | None:
    """Return the microseconds after midnight of a time such as `08:00`, up to 48:00; None for anything else."""
    found = _TIME.fullmatch(value) if isinstance(value, str) and value.isascii() else None
    time = int(found[1]) * HOUR + int(found[2]) * MINUTE if found else None
    return time if time is None or time <= 2 * DAY else None


def _hours(written: Mapping[str, object]) -> Span:
    """Return the hours of a clock whose `opens` and `closes` have no fault."""
    opens, closes = (_time_of_day(written[word]) for word in ("opens", "closes"))
    assert opens is not None
    assert closes is not None
    return opens, closes


def _span(value: object) -> Span | None:
    """Return the start and end of `12:30-13:30`; None for anything else."""
    begins, dash, ends = value.partition("-") if isinstance(value, str) else ("", "", "")
    start, end = _time_of_day(begins.strip()), _time_of_day(ends.strip())
    return (start, end) if dash and start is not None and end is not None and start < end else None


def _breaks(opens: int, written: tuple[object, ...]) -> tuple[Span, ...]:
    """Return the breaks; one before the hours open is meant after midnight."""
    spans = (span for span in map(_span, written) if span is not None)
    return tuple((start + DAY, end + DAY) if start < opens else (start, end) for start, end in spans)


def _breaks_problem(opens: int, closes: int, written: tuple[object, ...]) -> str | None:
    """Return the reason why the breaks do not fit into the hours, or None."""
    free = opens
    for (start, end), text in zip(_breaks(opens, written), written, strict=True):
        if not free <= start < end <= closes:
            return f"the break {text!r} is outside of the hours, or overlaps the one before"
        free = end
    taken = sum(end - start for start, end in _breaks(opens, written))
    return "the breaks leave no support hours" if taken == closes - opens else None


def _date(value: object) -> int | tuple[int, int] | None:
    """Return days since 1970 of `2026-12-25`, or (month, day) of `12-25`; None for anything else."""
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        if found := _YEARLY.fullmatch(value):
            day = date(_LEAP_YEAR, int(found[1]), int(found[2]))
            return day.month, day.day
        return date.fromisoformat(value).toordinal() - _EPOCH if len(value) == 10 else None
    except ValueError:
        return None
