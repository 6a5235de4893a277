"""The comparison matrix: sections of rows of cells, one column for each tier."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from entitlements.presentation.formatting import NOT_INCLUDED_TEXT


class CellKind(StrEnum):
    """The kind of a cell, which chooses its style."""

    HAS = "has"
    YES = "yes"
    NO = "no"
    ABSENT = "absent"
    OPEN = "open"
    """No commitment is made."""
    BLANK = "blank"
    """The values are in the rows below."""


@dataclass(frozen=True, slots=True)
class Cell:
    """
    The value of one tier in one row.

    Args:
        items: The text; several texts for a list.
        kind: Of the value.
    """

    items: tuple[str, ...]
    kind: CellKind = CellKind.HAS


ABSENT = Cell((NOT_INCLUDED_TEXT,), CellKind.ABSENT)
BLANK = Cell(("",), CellKind.BLANK)


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """
    One limit, feature, value or add-on in all tiers.

    Args:
        name: Its dotted name inside the section.
        label: The part of the name that no row above has.
        depth: The number of rows above that have the other parts.
        cells: One for each tier; empty for a heading of the rows below.
        about: A description in one sentence.
    """

    name: str
    label: str
    depth: int
    cells: tuple[Cell, ...]
    about: str = ""


class SectionKind(StrEnum):
    """The kind of the rows of a section."""

    LIMITS = "limits"
    FEATURES = "features"
    VALUES = "values"
    ADD_ONS = "add-ons"


@dataclass(frozen=True, slots=True)
class Section:
    """
    A titled group of rows.

    Args:
        name: The title.
        rows: At least one.
        kind: Of the rows.
        words: The first words of the keys, if the rows are values.
    """

    name: str
    rows: tuple[MatrixRow, ...]
    kind: SectionKind
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """
    The heading of a tier.

    Args:
        id: The tier's id in the policy.
        name: The tier's name for people.
        note: The terms of a trial plan, and `retired`; empty for other tiers.
    """

    id: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """
    The comparison of all tiers of a policy.

    Args:
        version: Version of the policy.
        currency: Currency of all amounts of money.
        columns: The tiers, highest rank first.
        sections: Limits, features, the values by their first word, add-ons.
        line: The product line of the tiers; empty for those without a name.
    """

    version: str
    currency: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    line: str = ""

    @property
    def title(self) -> str:
        """The heading of the comparison."""
        return f"Tiers{f' of {self.line}' if self.line else ''}, policy {self.version}"

    @property
    def kinds(self) -> frozenset[CellKind]:
        """The kinds of all cells, for the legend."""
        return frozenset(cell.kind for section in self.sections for row in section.rows for cell in row.cells)
