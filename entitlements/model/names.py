"""Validation of ids, names and counts, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
import re
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

NAME = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
"""The one namespace of features, limits and values: words of `[a-z0-9]` with `-` and `.`."""

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
    """Return the repr of *value* for a message, shortened to 80 characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an int of 5,000 digits, or a broken __repr__
        return f"of type {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name that is closest to *name*, or ''."""
    if len(name) > MAX_ID:  # no typo, and slow to compare
        return ""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
