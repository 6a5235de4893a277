"""The text of an override's value in SQL: as a policy or a CSV spells it, so that one reader reads all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from entitlements.accounts.csv.cells import read_value
from entitlements.errors import AccountError
from entitlements.model.instants import MICROSECOND
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
from entitlements.model.names import shown
from entitlements.model.overage import Included
from entitlements.policy.errors import InvalidValue
from entitlements.policy.overage import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from entitlements.model.calendars import Anchor


def write_anchor(anchor: Anchor | None) -> str | None:
    """Return the text that a CSV has for an anchor; an instant is written to the second."""
    if isinstance(anchor, datetime):
        return anchor.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    return None if anchor is None else str(anchor)


def write_value(name: str, value: object) -> str:
    """
    Return the text that `read_value` reads as *value*.

    Raises:
        AccountError: For a value that no text stands for.
    """
    text = _text(value)
    try:
        if text is not None:
            read = read_value(text)
            if isinstance(value, Included):
                value = value.to_dict()
            if read == value and isinstance(read, bool) == isinstance(value, bool):
                return text
    except InvalidValue:
        pass
    raise AccountError(
        f"override of {name!r}: {shown(value)} cannot be stored; give one bool, number, duration or text"
    )


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | Included):
        size = value.to_dict() if isinstance(value, Included) else dict(value)
        return f"{{included: {size['included']}, overage: {size['overage']}}}" if [*size] == [*KEYS] else None
    if value is UNLIMITED or value is NOT_INCLUDED or isinstance(value, int | Decimal):
        return str(int(value) if type(value) is not int and isinstance(value, int) else value)
    if isinstance(value, timedelta):
        length = value // MICROSECOND
        return f"PT{length // 1_000_000}S" if length % 1_000_000 == 0 else f"{Decimal(length) / 1000} ms"
    return _quoted(value) if isinstance(value, str) else None


def _quoted(text: str) -> str:
    """Return a text as it is if it reads as itself, else in quotes."""
    try:
        if read_value(text) == text:
            return text
    except InvalidValue:
        pass
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def write_attributes(attributes: MappingOf[str, object]) -> str | None:
    """
    Return attributes as JSON; None for none.

    Raises:
        AccountError: For a value that JSON does not have.
    """
    if not attributes:
        return None
    try:
        text = json.dumps(dict(attributes), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AccountError(
            f"attributes cannot be stored: {error}; give texts, whole numbers, bools and lists"
        ) from None
    return text


def read_attributes(text: str) -> MappingOf[str, object]:
    """Return the attributes in a JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidValue(f"{shown(text)} is not JSON ({error})", 'write an object such as {"agents": 5}') from None
    if not isinstance(found, Mapping):
        raise InvalidValue(f"{shown(text)} is not a JSON object", 'write an object such as {"agents": 5}')
    return found
