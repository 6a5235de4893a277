"""Errors of values that cannot be read; each message has a problem and a cure."""

from __future__ import annotations

from decimal import Decimal

_MAX_LENGTH = 60


class InvalidValue(ValueError):
    """
    A value that cannot be read as the type or name that is expected.

    Args:
        problem: What is wrong, naming the value.
        cure: What to write instead.
    """

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem, cure)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        """Return `problem; cure`."""
        return f"{self.problem}; {self.cure}"


class MissingValue(InvalidValue):
    """A definition or value that is missing; reported only if all of the files could be read."""


def shown(value: object) -> str:
    """Return *value* for a message: at most 60 characters, on one line, for any type."""
    try:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    except Exception:  # noqa: BLE001 - an int of 5,000 digits, or an object whose repr fails
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def any_of(words: object) -> str:
    """Return `a, b or c` for any iterable of words."""
    *most, last = [str(word) for word in words]  # type: ignore[attr-defined]
    return f"{', '.join(most)} or {last}" if most else last
