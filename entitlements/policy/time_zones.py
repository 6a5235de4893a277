"""Time zones by their IANA names, from the machine's database or the package `tzdata`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from entitlements.model.names import did_you_mean, shown
from entitlements.policy.errors import InvalidValue


def find_zone(name: object) -> tzinfo:
    """
    Return the time zone of an IANA name, such as `Europe/Berlin`.

    Raises:
        InvalidValue: For any other value, and on a machine without time zones for any name but `UTC`.
    """
    if name == "UTC":
        return UTC
    try:
        if isinstance(name, str):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: a folder of the database, such as `America`
        pass
    known = available_timezones()
    if not known and isinstance(name, str):
        raise InvalidValue(f"{shown(name)} is not known: this machine has no time zones", "pip install tzdata")
    raise InvalidValue(f"{shown(name)} is not a time zone", _cure(name, known))


def _cure(name: object, known: Iterable[str]) -> str:
    """Return the cure: the name of a place, as neither an abbreviation nor an offset says when clocks change."""
    places = sorted(each for each in known if "/" in each and not each.startswith("Etc/"))
    city = str(name).replace(" ", "_").casefold()
    found = next((each for each in ("UTC", *places) if each.rpartition("/")[2].casefold() == city), None)
    if found:
        return f"did you mean {found!r}?"
    if not isinstance(name, str) or _ABBREVIATION.fullmatch(name):
        return "write the IANA name of a place, such as Europe/Berlin, which says when clocks change"
    return did_you_mean(name, places) or "write the IANA name of a place, such as Europe/Berlin"


_ABBREVIATION = re.compile(r"[A-Za-z]{2,5}|(?i:utc|gmt|z)? ?[+-][0-9:. ]+|(?i:utc|gmt)[+-]?[0-9]+")
"""An abbreviation such as CEST, or an offset such as +02:00 and GMT+2."""
