"""Errors of values that cannot be read; each message has a problem and a cure."""

from __future__ import annotations


class InvalidValue(ValueError):
    """
    A value that cannot be read as the type or name that is expected.

    Args:
        problem: What is wrong, naming the value.
        cure: What to write instead.
        path: The keys below the value at which it is wrong.
    """

    def __init__(self, problem: str, cure: str, *, path: tuple[str, ...] = ()) -> None:
        super().__init__(problem, cure)
        self.problem = problem
        self.cure = cure
        self.path = path

    def __str__(self) -> str:
        """Return `problem; cure`."""
        return f"{self.problem}; {self.cure}"


class MissingValue(InvalidValue):
    """A definition or value that is missing; reported only if all of the files could be read."""


def any_of(words: object) -> str:
    """Return `a, b or c` for any iterable of words."""
    *most, last = [str(word) for word in words]  # type: ignore[attr-defined]
    return f"{', '.join(most)} or {last}" if most else last
