"""What cannot be read, and what to write instead: the two halves of every message."""

from __future__ import annotations

from decimal import Decimal

_MOST = 60


class Misread(ValueError):
    """
    A value that cannot be read as what it should be.

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


class Absent(Misread):
    """What nobody wrote, as far as could be read: no problem while something written could not be."""


def shown(value: object) -> str:
    """Return *value* for a message: short, on one line, whatever it is."""
    try:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    except Exception:  # noqa: BLE001 - an int of 5,000 digits, or an object that cannot show itself
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"


def any_of(words: object) -> str:
    """Return `a, b or c` for any iterable of words."""
    *most, last = [str(word) for word in words]  # type: ignore[attr-defined]
    return f"{', '.join(most)} or {last}" if most else last
