"""Time zones by their IANA names, from the machine's database or the package `tzdata`."""

from __future__ import annotations

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
    cure = did_you_mean(name, sorted(known)) or "write an IANA name, such as Europe/Berlin"
    raise InvalidValue(f"{shown(name)} is not a time zone", cure)
