"""One thing that is wrong with a file of the user's, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error keeps the file out; a warning is worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """
    A problem, printed as `file:line: path: problem; cure`.

    Args:
        file: The file as the user named it.
        line: 1-based; 0 where a problem belongs to no line.
        path: The dotted path inside the file, such as `tiers.trial.limits.api`.
        problem: What is wrong, naming the value.
        cure: What to write instead.
        severity: Whether the file can be used all the same.
    """

    file: str
    line: int
    path: str
    problem: str
    cure: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Return `file:line: path: problem; cure`, a warning marked as one."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        mark = "warning: " if self.severity is Severity.WARNING else ""
        path = f"{self.path}: " if self.path else ""
        return f"{where}: {mark}{path}{self.problem}; {self.cure}"
