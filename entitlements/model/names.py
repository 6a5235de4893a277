"""Validation of ids, names and counts, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_COUNT = 2**53 - 1
"""Largest cost, limit and count: the largest odd integer that a double holds (Lua's numbers)."""

MAX_RATE = 2**32 - 1
"""Largest rate: a bucket's count is stored in four bytes."""

MAX_ID = 256
"""Longest id of an account, a scope, a holder or an idempotency key, in characters."""

MAX_NAME = 200
"""Longest name of a feature and a limit, in characters: stores encode the length in one byte."""

NAME = re.compile("[A-Za-z0-9._-]+")
"""A name of a feature, level, limit, value, tier or add-on; the case counts."""

NAME_CURE = "write letters (A-Z, a-z), digits, and . _ -"

_LONGEST_SHOWN = 80

FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates."""


def check_id(value: object, what: str = "account id", *, most: int = MAX_ID) -> str:
    """
    Return *value* unchanged if it is a valid id; ids are opaque, never normalised.

    Raises:
        ValueError: For anything but a str of 1 to *most* characters without control
            characters and lone surrogates.
    """
    if not isinstance(value, str):
        raise ValueError(f"{what} {shown(value)} is of type {type(value).__name__}; pass a str")
    if not 1 <= len(value) <= most:
        begins = f"{value[:20]!r}… ({len(value)} characters)" if value else "''"
        raise ValueError(f"{what} {begins} must have 1 to {most} characters")
    if found := FORBIDDEN.search(value):
        raise ValueError(
            f"{what} {value!r} holds {found[0]!r}; control characters and lone surrogates"
            " are not allowed, strip or encode them"
        )
    return value


def check_count(value: object, what: str = "cost", *, least: int = 1) -> int:
    """
    Return *value* if it is an int from *least* to 2^53-1.

    Raises:
        ValueError: For a bool, a float, any other type, or an int out of range.
    """
    if type(value) is not int or not least <= value <= MAX_COUNT:
        raise ValueError(f"{what} {shown(value)} must be an int from {least} to 2**53 - 1")
    return value


def shown(value: object) -> str:
    """Return the repr of *value* for a message, shortened to 80 characters; a number or duration as it is written."""
    try:
        text = str(value) if isinstance(value, Decimal | timedelta) else repr(value)
    except Exception:  # noqa: BLE001 - an int of 5,000 digits, or a broken __repr__
        return f"of type {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def similar(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is closest to *name* in any case; None if none is as similar as *cutoff*, 0 to 1."""
    if not isinstance(name, str) or len(name) > MAX_ID:  # longer texts are no typos, and slow to compare
        return None
    names = {each.casefold(): each for each in known}
    return next((names[each] for each in difflib.get_close_matches(name.casefold(), names, n=1, cutoff=cutoff)), None)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the known name that is closest to *name*, or ''."""
    close = similar(name, known)
    return f"did you mean {close!r}?" if close else ""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name that is closest to *name*, or ''."""
    return f"; {close}" if (close := did_you_mean(name, known)) else ""


def nearest_or_all(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or `; there are 'a, b'` if no known name is similar to *name*."""
    names = list(known)
    return nearest(name, names) or f"; there are {', '.join(names) or 'none'}"
