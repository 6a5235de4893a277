"""
Configuration values: a tree of keys, flattened to dotted keys; each value has the type that is written.

`{no-commitment: text}` becomes two values: None under its key, and the text under
`<key>.label`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.limits import NOT_INCLUDED, NotIncluded
from entitlements.model.names import NAME, NAME_CURE, shown
from entitlements.model.policy import nodes_above
from entitlements.model.tier import Value
from entitlements.policy.errors import InvalidValue
from entitlements.policy.quantities import is_duration, parse_duration
from entitlements.policy.report import Report
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Node, Path

NO_COMMITMENT: Final = "no-commitment"
"""The only key of a mapping that makes no promise."""

LABEL: Final = "label"
"""The last word of the key under which the text of `no-commitment` is found."""

LocatedValues = dict[str, tuple["Value | NotIncluded", Path]]
"""Values of one tier by dotted key, each with its path in the file."""


def read_values(node: Node | None, path: Path, report: Report) -> LocatedValues:
    """Return the values below *node*, `NOT_INCLUDED` where an inherited value is dropped."""
    written: LocatedValues = {}
    inner: set[str] = set()
    if isinstance(node, Branch):
        for key, value, at in _leaves(node, path, "", report):
            if error := _conflict(key, written, inner):
                report.add(at, error)
            else:
                written[key] = (value, at)
                inner.update(nodes_above(key))
    return written


def overlay(base: Mapping[str, Value], own: Mapping[str, Value | NotIncluded]) -> dict[str, Value]:
    """
    Return *base* updated with *own*.

    A key replaces itself, all keys below it, and a value above it. Exception: a label alone
    changes the text of a `no-commitment`, which stays.
    """
    nodes = {node for key in own for node in nodes_above(key)}

    def survives(key: str, value: Value) -> bool:
        if key in own or any(node in own for node in nodes_above(key)):
            return False
        above = key.removesuffix(f".{LABEL}")
        if above != key and base.get(above, key) is None:
            return survives(above, None)
        return key not in nodes or (value is None and f"{key}.{LABEL}" in own)

    kept = {key: value for key, value in base.items() if survives(key, value)}
    return kept | {key: value for key, value in own.items() if not isinstance(value, NotIncluded)}


def _leaves(branch: Branch, path: Path, above: str, report: Report) -> Iterator[tuple[str, Value | NotIncluded, Path]]:
    for word, node in branch.nodes.items():
        key, at = f"{above}{word}", (*path, word)
        try:
            _check_key(word, node)
            if isinstance(node, Branch) and NO_COMMITMENT not in node.nodes:
                yield from _leaves(node, at, f"{key}.", report)
            elif isinstance(node, Branch):
                label = _label(node)
                yield key, None, at
                yield f"{key}.{LABEL}", label, (*at, NO_COMMITMENT)
            else:
                yield key, _typed(node), at
        except InvalidValue as error:
            report.add(at, error)


def _check_key(word: str, node: Node) -> None:
    if not NAME.fullmatch(word):
        raise InvalidValue(f"{shown(word)} is not a name", NAME_CURE)
    if isinstance(node, Branch) and not node.nodes:
        raise InvalidValue("nothing is written below it", "write keys, or not-included")


def _label(branch: Branch) -> str:
    text = branch.nodes[NO_COMMITMENT]
    if len(branch.nodes) > 1:
        raise InvalidValue("no-commitment stands beside other keys", "write {no-commitment: text} alone")
    if not isinstance(text, Leaf) or not isinstance(text.value, str) or not text.value:
        raise InvalidValue("no-commitment says nothing", "write a text, in quotes if it looks like something else")
    return text.value


def _typed(node: Node, *, listed: bool = False) -> Value | NotIncluded:
    """Return the value of one node; items of a list may be mappings."""
    if isinstance(node, Items):
        return tuple(_item(child) for child in node.nodes)
    if isinstance(node, Branch):
        return FrozenDict({_item_key(key): _item(child) for key, child in node.nodes.items()})
    value = node.value
    if value is None:
        raise InvalidValue("nothing is written", "write not-included, or {no-commitment: text}")
    if isinstance(value, str):
        return value if node.quoted else _plain_text(value, listed=listed)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    assert isinstance(value, bool | Decimal | timedelta)
    return value


def _item(node: Node) -> Value:
    value = _typed(node, listed=True)
    assert not isinstance(value, NotIncluded)
    return value


def _item_key(key: str) -> str:
    if not NAME.fullmatch(key) or "." in key:
        raise InvalidValue(f"{shown(key)} is not a name", "write letters of A-Z, digits, and _ - between them")
    return key


def _plain_text(text: str, *, listed: bool) -> Value | NotIncluded:
    if text == NOT_INCLUDED.value:
        if listed:
            raise InvalidValue("not-included in a list drops nothing", "leave the item out, or quote it")
        return NOT_INCLUDED
    return parse_duration(text) if is_duration(text) else text


def _conflict(key: str, written: LocatedValues, inner: set[str]) -> InvalidValue | None:
    """Return the error if *key* contradicts other keys of the same tier, or None."""
    if key in written:
        return InvalidValue(f"{key!r} is written twice in this tier", "keep one of the two")
    above = next((node for node in nodes_above(key) if node in written and written[node][0] is not None), None)
    if above is not None:
        return InvalidValue(f"{key!r} stands below {above!r}, which has a value of its own", "keep one of the two")
    if key in inner:
        return InvalidValue(f"{key!r} has a value, and keys below it", "keep one of the two")
    return None
