"""Configuration values as one type: `value(account, key, int)`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED

T = TypeVar("T")

_KINDS = (bool, str, int, float, Decimal, timedelta, tuple, dict)


def as_kind(key: str, value: object, kind: type[T]) -> T | None:
    """
    Return a configuration value as *kind*; None for *no commitment*, and where it is not included.

    Args:
        key: Its key, for the message.
        value: As `Entitlements.value` returns it.
        kind: bool, str, int (whole numbers), float, Decimal, timedelta, tuple, or dict (inner nodes).

    Raises:
        TypeError: If the value is of another kind, or there is no such kind.
    """
    if kind not in _KINDS:
        raise TypeError(f"kind {kind!r} is none of {', '.join(each.__name__ for each in _KINDS)}")
    if value is None or value is NOT_INCLUDED:
        return None
    convert: Any = kind
    converted: Any = value
    if isinstance(value, Decimal) and (kind is float or (kind is int and value == value.to_integral_value())):
        converted = convert(value)
    elif isinstance(value, Mapping) and kind is dict:
        converted = dict(value)
    if type(converted) is not kind:
        raise TypeError(
            f"value {key!r} is {in_words(value)!r}, a {type(value).__name__}, which is no {kind.__name__};"
            f" ask value(account, {key!r}, {type(value).__name__})"
        )
    return converted
