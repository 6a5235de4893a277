"""Numbers of criteria, measurements and percentages, exact in decimals."""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation, localcontext

EXACT = Context(prec=200)
"""Enough digits for a sum of 2**53 numbers of 40 digits each (56), and for a percentage of it."""

_WRITTEN = re.compile(r"\s*[0-9]+(?:\.[0-9]*)?\s*|\s*\.[0-9]+\s*")
"""A number in digits: no sign, exponent, separator, or digits of other scripts."""


_WHOLE = re.compile(r"[0-9]{1,9}")


def as_whole(text: str) -> int | None:
    """Return the whole number of at most nine digits in a text; None if it is none, or in digits of another script."""
    return int(text) if _WHOLE.fullmatch(text) else None


def as_number(value: object) -> Decimal | None:
    """Return an int or a Decimal as a Decimal; None for anything else, including a bool."""
    return Decimal(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) else None


def percent(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """Return *part* as a percentage of *whole*, to one decimal; None if *whole* is 0."""
    with localcontext(EXACT):
        return (Decimal(part) * 100 / whole).quantize(Decimal("0.1")) if whole else None


def check_number(value: object, what: str, *, most: Decimal | None = None) -> Decimal:
    """
    Return a finite number from 0 to *most*, exactly as it is written.

    Raises:
        ValueError: For anything else.
    """
    try:
        is_number = not isinstance(value, bool) and (not isinstance(value, str) or _WRITTEN.fullmatch(value))
        number = Decimal(str(value)) if is_number else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or number < 0 or (most is not None and number > most):
        raise ValueError(f"{what} {value!r} must be a number from 0{f' to {most}' if most is not None else ' up'}")
    return number
