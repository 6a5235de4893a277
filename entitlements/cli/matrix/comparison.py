"""
The comparison matrix: a policy as rows of cells, one column for each tier.

Pure. `to_text`, `to_markdown` and `to_html` format it. A node of the values that holds a
range is one row. The label of a missing commitment stands in the row of its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from entitlements.cli.formatting import NOT_INCLUDED_TEXT, RANGE_WORDS, format_duration, format_limit, format_range
from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED, Mode, Rate
from entitlements.model.policy import NO_LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from entitlements.model.limits import Limit
    from entitlements.model.policy import AddOn, Feature, Policy, Tier

_RANGE = {*RANGE_WORDS, "open-ended", "default"}
_LABEL = "label"


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
        note: The terms of a trial plan; empty for other tiers.
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
    """

    version: str
    currency: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]

    @property
    def kinds(self) -> frozenset[CellKind]:
        """The kinds of all cells, for the legend."""
        return frozenset(cell.kind for section in self.sections for row in section.rows for cell in row.cells)


def matrix_of(policy: Policy) -> Matrix:
    """Return the comparison of all tiers of *policy*."""
    tiers = ranked_tiers(policy)
    sections = [
        _section(SectionKind.LIMITS, [_of_limit(limit, tiers) for limit in policy.limits.values()]),
        _section(SectionKind.FEATURES, [_of_feature(feature, tiers) for feature in policy.features.values()]),
        *_of_values(tiers),
        _section(SectionKind.ADD_ONS, [_of_add_on(add_on, tiers) for add_on in policy.add_ons.values()]),
    ]
    columns = tuple(Column(tier.id, tier.name, _terms(tier)) for tier in tiers)
    return Matrix(policy.version, policy.currency, columns, tuple(each for each in sections if each.rows))


def ranked_tiers(policy: Policy) -> list[Tier]:
    """Return the tiers from the highest rank to the lowest; a trial plan follows the tiers of its rank."""
    return sorted(policy.tiers.values(), key=lambda tier: (-tier.rank, tier.trial is not None))


def _section(kind: SectionKind, rows: Sequence[MatrixRow]) -> Section:
    return Section(kind.value, tuple(rows), kind)


def _terms(tier: Tier) -> str:
    terms = tier.trial
    return f"trial, {format_duration(terms.default)}, then {terms.then}" if terms else ""


def _of_limit(limit: Limit, tiers: Sequence[Tier]) -> MatrixRow:
    cells = []
    for tier in tiers:
        size = tier.limits.get(limit.name, NOT_INCLUDED)
        kind = CellKind.NO if size == 0 else CellKind.HAS
        cells.append(ABSENT if size is NOT_INCLUDED else Cell((format_limit(limit, size),), kind))
    notes = [f"per {limit.per}"] if isinstance(limit, Rate) and limit.per else []
    notes += ["shadow"] if limit.mode is Mode.SHADOW else []
    label = f"{limit.name} ({', '.join(notes)})" if notes else limit.name
    return MatrixRow(limit.name, label, 0, tuple(cells), limit.about)


def _of_feature(feature: Feature, tiers: Sequence[Tier]) -> MatrixRow:
    if feature.levels:
        cells = [_of_level(tier.levels.get(feature.name)) for tier in tiers]
        return MatrixRow(feature.name, feature.name, 0, tuple(cells), feature.about or " < ".join(feature.levels))
    cells = [Cell(("yes",), CellKind.YES) if feature.name in tier.features else ABSENT for tier in tiers]
    return MatrixRow(feature.name, feature.name, 0, tuple(cells), feature.about)


def _of_level(level: str | None) -> Cell:
    if level is None:
        return ABSENT
    return Cell((level,), CellKind.NO if level == NO_LEVEL else CellKind.HAS)


def _of_add_on(add_on: AddOn, tiers: Sequence[Tier]) -> MatrixRow:
    cells = [Cell((add_on.price or "yes",)) if add_on.offered_to(tier.id) else ABSENT for tier in tiers]
    return MatrixRow(add_on.name, add_on.name, 0, tuple(cells), add_on.about)


@dataclass(slots=True)
class _KeyNode:
    """A word of dotted keys: its own values by tier, and the nodes of the words below it."""

    values: dict[str, object] = field(default_factory=dict)
    below: dict[str, _KeyNode] = field(default_factory=dict)


def _of_values(tiers: Sequence[Tier]) -> Iterator[Section]:
    """Yield a section for each first word of the keys, and one for the keys of one word."""
    root = _KeyNode()
    for tier in tiers:
        for key, value in tier.values.items():
            node = root
            for word in key.split("."):
                node = node.below.setdefault(word, _KeyNode())
            node.values[tier.id] = value
    single: dict[str, _KeyNode] = {}
    for word, node in root.below.items():
        rows = tuple(_below(node, (), 0, tiers))
        if rows:
            own = [MatrixRow(word, word, 0, _cells(node, tiers))] if node.values else []
            yield Section(word, (*own, *rows), SectionKind.VALUES, (word,))
        else:
            single[word] = node
    if single:
        rows = tuple(row for word, node in single.items() for row in _rows(node, (), word, tiers))
        yield Section("values", rows, SectionKind.VALUES, tuple(single))


def _below(node: _KeyNode, path: tuple[str, ...], depth: int, tiers: Sequence[Tier]) -> Iterator[MatrixRow]:
    for word, child in _children(node).items():
        yield from _rows(child, path, word, tiers, depth)


def _rows(
    node: _KeyNode, path: tuple[str, ...], word: str, tiers: Sequence[Tier], depth: int = 0
) -> Iterator[MatrixRow]:
    """Yield the row of a node, and the rows of the nodes below it."""
    label = word
    below = _children(node)
    while not _has_cells(node) and len(below) == 1:  # a.b, if a holds nothing but b
        path = (*path, word)
        word, node = next(iter(below.items()))
        label, below = f"{label}.{word}", _children(node)
    cells = _cells(node, tiers) if _has_cells(node) else ()
    yield MatrixRow(".".join((*path, word)), label, depth, cells)
    yield from _below(node, (*path, word), depth + 1, tiers)


def _children(node: _KeyNode) -> Mapping[str, _KeyNode]:
    """Return the child nodes that have rows of their own."""
    if _is_range(node):
        return {}
    return {word: child for word, child in node.below.items() if word != _LABEL or not _is_label(child, node)}


def _is_range(node: _KeyNode) -> bool:
    words = node.below.keys() - {_LABEL}
    return bool(words & {"from", "to"}) and words <= _RANGE and not any(child.below for child in node.below.values())


def _is_label(label: _KeyNode, node: _KeyNode) -> bool:
    """Return True if *label* only labels missing commitments of *node*."""
    return not label.below and all(tier in node.values and node.values[tier] is None for tier in label.values)


def _has_cells(node: _KeyNode) -> bool:
    return bool(node.values) or _is_range(node)


def _cells(node: _KeyNode, tiers: Sequence[Tier]) -> tuple[Cell, ...]:
    return tuple(_cell(node, tier.id) for tier in tiers)


def _cell(node: _KeyNode, tier: str) -> Cell:
    if tier in node.values:
        label = node.below[_LABEL].values.get(tier) if _LABEL in node.below else None
        return _of_value(node.values[tier], label)
    parts = {word: child.values[tier] for word, child in node.below.items() if tier in child.values}
    if _is_range(node):
        return Cell((format_range(parts),)) if parts else ABSENT
    return BLANK if _has_value_below(node, tier) else ABSENT


def _has_value_below(node: _KeyNode, tier: str) -> bool:
    return any(tier in child.values or _has_value_below(child, tier) for child in node.below.values())


def _of_value(value: object, label: object) -> Cell:
    if value is None:
        return Cell((str(label) if label else in_words(None),), CellKind.OPEN)
    if isinstance(value, bool):
        return Cell((in_words(value),), CellKind.YES if value else CellKind.NO)
    if isinstance(value, tuple):
        return _of_list(value)
    return Cell((in_words(value),))


def _of_list(value: tuple[object, ...]) -> Cell:
    return Cell(tuple(in_words(item) for item in value)) if value else Cell(("none",), CellKind.NO)
