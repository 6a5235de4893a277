"""
Values below `sla`: the commitments by priority, and the support hours.

A policy defines them under `sla.<priority>`: `response` and `resolution`, each with its
clock (`response-clock`: 24/7, calendar or support-hours), and a `name` and an `example`.
The support hours are under `sla.clock`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from entitlements.model.display import in_words
from entitlements.model.names import shown
from entitlements.tiering.support_hours import CLOCK, Zones, clock_faults, missing_words, word_faults
from entitlements.tiering.value_faults import ValueFault, unknown_key

NODE = "sla"
SUPPORT_HOURS = "support-hours"
CLOCKS = (SUPPORT_HOURS, "24/7", "calendar")
"""The clocks of a commitment; the last two count every hour."""
COMMITMENTS = ("response", "resolution")
_WORDS = ("name", "example", *(f"{word}{suffix}" for word in COMMITMENTS for suffix in ("", "-clock")))


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
    _, priority, *words = key.split(".")
    if priority == "clock":
        yield from word_faults(".".join(words), value, zones) if words else _no_hours(key, value)
    elif not words:
        yield _no_commitments(key, value)
    elif len(words) == 1 and words[0] in COMMITMENTS:
        if value is not None and not (isinstance(value, timedelta) and value > timedelta(0)):
            yield ValueFault(key, f"{_written(value)} is not a commitment", _COMMITMENT)
    elif len(words) == 1 and words[0].removesuffix("-clock") in COMMITMENTS:
        if value not in CLOCKS:
            yield ValueFault(key, f"{_written(value)} is not a clock", f"write one of {', '.join(CLOCKS)}")
    elif not (words[0] in COMMITMENTS and words[1:] == ["label"]) and words not in (["name"], ["example"]):
        yield unknown_key(key, ".".join(words), _WORDS, f"the service level {priority!r}")


def _no_hours(key: str, value: object) -> Iterator[ValueFault]:
    cure = "write zone, opens, closes and days below it, and response-clock: 24/7 at a priority"
    yield ValueFault(key, f"{_written(value)} is not the hours of a clock", cure)


def _no_commitments(key: str, value: object) -> ValueFault:
    problem = f"{_written(value)} is not a service level, so it is ignored there"
    is_time = isinstance(value, timedelta)
    return ValueFault(key, problem, "write response and resolution below it", is_error=is_time)


def _written(value: object) -> str:
    return repr(in_words(value)) if isinstance(value, timedelta) else shown(value)


_COMMITMENT = "write a duration such as 4 hours, or {no-commitment: text}"
