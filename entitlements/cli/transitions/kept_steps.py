"""The steps of transition cases, in a CSV file or in the table `transition_steps` of a database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Protocol

from entitlements.accounts.csv.cells import read_moment
from entitlements.accounts.csv.table import read_table
from entitlements.cli.files import write_atomically
from entitlements.errors import AccountError
from entitlements.tiering.case_steps import CaseStep
from entitlements.tiering.numbers import as_whole

COLUMNS = tuple(each.name for each in fields(CaseStep))
_MOMENTS = ("opened", "effective", "due", "done")
_NEEDED = ("account", "from_tier", "action", "opened", "effective", "number", "text")


class KeptSteps(Protocol):
    """A file or a table with the steps of cases."""

    def read(self) -> tuple[list[CaseStep], list[str]]:
        """Return the steps, none where nothing is kept yet, and the problems of the rows."""
        ...

    def add(self, steps: Sequence[CaseStep]) -> None:
        """Add steps."""
        ...

    def finish(self, steps: Sequence[CaseStep]) -> None:
        """Keep the time at which each of these steps was done."""
        ...


def open_steps_of(path: str) -> KeptSteps:
    """Return the steps of a CSV file, or of the database that a URL names."""
    if "://" in path:
        try:
            from entitlements.cli.transitions.step_table import StepTable
        except ImportError as error:
            raise AccountError(str(error)) from None
        return StepTable(path)
    return StepFile(path)


class StepFile:
    """
    The steps in a CSV file, which need not exist; it is replaced as a whole.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> tuple[list[CaseStep], list[str]]:
        """Return the steps, and the problems of the rows."""
        if not Path(self._path).exists():
            return [], []
        table = read_table(self._path, Path(self._path).read_bytes(), ())
        for name in _NEEDED:
            if name not in table.names:
                raise AccountError(f"{self._path}: no column {name!r}; the columns are {', '.join(COLUMNS)}")
        rows = ((line, dict(zip(table.names, map(str.strip, cells), strict=False))) for line, cells in table.rows)
        return read_steps(self._path, rows)

    def add(self, steps: Sequence[CaseStep]) -> None:
        """Write the file with more steps."""
        self._write([*self.read()[0], *steps])

    def finish(self, steps: Sequence[CaseStep]) -> None:
        """Write the file with steps done."""
        done = {key_of(step): step for step in steps}
        self._write([done.get(key_of(step), step) for step in self.read()[0]])

    def _write(self, steps: Iterable[CaseStep]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *map(cells_of, steps)])
        write_atomically(self._path, [text.getvalue().encode()])


def key_of(step: CaseStep) -> tuple[str, datetime, int]:
    """Return what no two steps share."""
    return step.account, step.opened, step.number


def cells_of(step: CaseStep) -> list[str]:
    """Return the cells of a step, in the order of the columns."""
    return [_text(getattr(step, name)) for name in COLUMNS]


def read_steps(path: str, rows: Iterable[tuple[int, Mapping[str, str]]]) -> tuple[list[CaseStep], list[str]]:
    """Return the steps in numbered rows, and the problems of the others."""
    steps: dict[tuple[str, datetime, int], CaseStep] = {}
    problems: list[str] = []
    for line, row in rows:
        try:
            step = _step(row)
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
            continue
        if steps.setdefault(key_of(step), step) is not step:
            text = f"number: step {step.number} of this case stands in an earlier row; keep one"
            problems.append(f"{path}:{line}: {text}")
    return list(steps.values()), problems


def _step(row: Mapping[str, str]) -> CaseStep:
    """
    Return the step of a row.

    Raises:
        ValueError: For a cell that is empty or cannot be read, naming it.
    """
    for name in _NEEDED:
        if not row.get(name):
            raise ValueError(f"{name}: the cell is empty; fill it in")
    opened, effective, due, done = (_moment(name, row.get(name) or "") for name in _MOMENTS)
    number = as_whole(row["number"])
    if number is None:
        raise ValueError(f"number: {row['number']!r} is not a number; write one such as 1")
    assert opened is not None
    assert effective is not None
    if effective < opened:
        raise ValueError("effective: the change takes effect before the case was opened; exchange the two")
    if done is not None and done < opened:
        raise ValueError("done: the step was done before the case was opened; correct the time")
    account, from_tier, to, action, text, owner = (
        row.get(name) or "" for name in ("account", "from_tier", "to", "action", "text", "owner")
    )
    return CaseStep(account, from_tier, to, action, opened, effective, number, text, owner, due, done)


def _moment(name: str, text: str) -> datetime | None:
    try:
        return read_moment(text) if text else None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "" if value is None else str(value)
