"""Reads a Python mapping in the form of a policy file into a tree without lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from entitlements.model.limits import NotIncluded, Unlimited
from entitlements.model.names import shown
from entitlements.policy.errors import InvalidValue
from entitlements.policy.report import Report
from entitlements.policy.yaml.scalars import checked_text
from entitlements.policy.yaml.tree import MAX_DEPTH, MAX_NODES, Branch, Items, Leaf, Location, Node, Path

LOCATION: Final = Location("<mapping>")
_MAX_INT = 10**40


def read_mapping(mapping: object, report: Report) -> Branch:
    """Return *mapping* as a tree; report values that cannot be part of a policy."""
    report.add_file(LOCATION.file)
    node = _TreeBuilder(report).node(mapping, ())
    if isinstance(node, Branch):
        return node
    report.exclude((), InvalidValue(f"{shown(mapping)} is not a mapping of sections", "pass a dict"), location=LOCATION)
    return Branch({}, {}, LOCATION)


class _TreeBuilder:
    """Builds the tree; `MAX_DEPTH` also ends a mapping that contains itself."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._nodes = 0
        self._full = False

    def node(self, value: object, path: Path) -> Node | None:
        """Return *value* as a node; None if that is not possible, which is reported."""
        if self._full:
            return None
        try:
            self._count(len(path))
            if not isinstance(value, Mapping | list | tuple):
                return Leaf(_scalar(value), LOCATION)
        except InvalidValue as error:
            self._report.exclude(path, error, location=LOCATION)
            return None
        return self._branch(value, path) if isinstance(value, Mapping) else self._items(value, path)

    def _count(self, depth: int) -> None:
        """Count a node; raise `InvalidValue` at the first that is too many or too deep."""
        self._nodes += 1
        self._full = self._nodes > MAX_NODES or depth > MAX_DEPTH
        if self._nodes > MAX_NODES:
            raise InvalidValue(f"there are more than {MAX_NODES} keys and values", "look for what repeats")
        if depth > MAX_DEPTH:
            raise InvalidValue(f"nested deeper than {MAX_DEPTH}", "write it flatter")

    def _branch(self, mapping: Mapping[object, object], path: Path) -> Branch:
        nodes: dict[str, Node] = {}
        for key, value in mapping.items():
            name = str(key) if type(key) is int and abs(key) < _MAX_INT else key
            if not isinstance(name, str):
                error = InvalidValue(f"the key {shown(key)} is not a text", "write a str")
                self._report.exclude(path, error, location=LOCATION)
            elif (node := self.node(value, (*path, name))) is not None:
                nodes[name] = node
        return Branch(nodes, dict.fromkeys(nodes, LOCATION), LOCATION)

    def _items(self, values: list[object] | tuple[object, ...], path: Path) -> Items:
        found = (self.node(value, (*path, at)) for at, value in enumerate(values))
        return Items(tuple(node for node in found if node is not None), LOCATION)


def _scalar(value: object) -> object:
    """Return *value* as the scalar of a file."""
    if isinstance(value, Unlimited | NotIncluded):
        return str(value)
    if isinstance(value, str):
        return checked_text(str.__str__(value))
    if value is None or isinstance(value, bool | timedelta):
        return value
    if isinstance(value, int) and abs(value) < _MAX_INT:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(float(value)))  # the shortest text of this float: the number as written
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, float | Decimal) and str(value) in {"inf", "Infinity"}:
        raise InvalidValue(f"{shown(value)} is not a number to count with", "write UNLIMITED")
    cure = "write a str, bool, int, Decimal, timedelta, list, dict, UNLIMITED or NOT_INCLUDED"
    raise InvalidValue(f"{shown(value)} cannot be part of a policy", cure)
