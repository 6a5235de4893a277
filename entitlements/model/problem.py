"""A `Problem`: one error or warning about a user's file, with its cure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The severity: a file with an error cannot be used, one with a warning can."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """
    A problem, printed as `file:line: path: problem; cure`.

    Args:
        file: The file as the user named it.
        line: 1-based; 0 for a problem that belongs to no line.
        path: The dotted path inside the file, such as `tiers.trial.limits.api`.
        problem: The problem, with the value.
        cure: The text to write instead.
        severity: The severity.
    """

    file: str
    line: int
    path: str
    problem: str
    cure: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Return `file:line: path: problem; cure`; a warning is marked."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        mark = "warning: " if self.severity is Severity.WARNING else ""
        path = f"{self.path}: " if self.path else ""
        return f"{where}: {mark}{path}{self.problem}; {self.cure}"
