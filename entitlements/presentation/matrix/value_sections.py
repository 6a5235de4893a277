"""
The sections of the values: the tree of their dotted keys as rows.

Pure. A node that holds a range is one row. The label of a missing commitment stands in the
row of its key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from entitlements.model.display import in_words
from entitlements.model.tier import Tier
from entitlements.presentation.formatting import RANGE_WORDS, format_range
from entitlements.presentation.matrix.model import ABSENT, BLANK, Cell, CellKind, MatrixRow, Section, SectionKind

_RANGE = {*RANGE_WORDS, "open-ended", "default"}
_LABEL = "label"


@dataclass(slots=True)
class _KeyNode:
    """A word of dotted keys: its own values by tier, and the nodes of the words below it."""

    values: dict[str, object] = field(default_factory=dict)
    below: dict[str, _KeyNode] = field(default_factory=dict)


def value_sections(tiers: Sequence[Tier]) -> Iterator[Section]:
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
