"""Nodes of the tree of all files; every key and value has its location."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from entitlements.model.names import NAME

Path = tuple[str | int, ...]
"""Steps from the root to a node: keys of mappings, indices of lists."""

MAX_DEPTH = 16
"""Deepest nesting of mappings and lists."""

MAX_NODES = 100_000
"""Most mappings, lists, keys and values of one policy."""


@dataclass(frozen=True, slots=True)
class Location:
    """A line of a file; line 0 stands for the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        """Return `file:line`."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Leaf:
    """
    A scalar.

    Args:
        value: A str, int, Decimal, bool, timedelta or None.
        location: Of the scalar.
        quoted: True for quotes and block style: the scalar is a text, even if it looks like a number.
    """

    value: object
    location: Location
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple[Node, ...]
    location: Location


@dataclass(frozen=True, slots=True)
class Branch:
    """
    A mapping.

    Args:
        nodes: The node of each key.
        keys: The location of each key.
        location: Of its begin.
    """

    nodes: Mapping[str, Node]
    keys: Mapping[str, Location]
    location: Location


Node = Leaf | Items | Branch


def to_data(node: Node) -> object:
    """Return the tree as dicts, lists and scalars."""
    if isinstance(node, Branch):
        return {key: to_data(child) for key, child in node.nodes.items()}
    if isinstance(node, Items):
        return [to_data(child) for child in node.nodes]
    return node.value


def node_at(root: Node, path: Path) -> Node | None:
    """Return the node at *path*, or None."""
    node: Node | None = root
    for step in path:
        if isinstance(node, Branch) and isinstance(step, str):
            node = node.nodes.get(step)
        elif isinstance(node, Items) and isinstance(step, int):
            node = node.nodes[step] if step < len(node.nodes) else None
        else:
            return None
    return node


def location_of(root: Node, path: Path) -> Location:
    """Return the location of *path*, or of the longest part of it that exists: of a scalar itself, else of its key."""
    location, node = root.location, root
    for step in path:
        parent, child = node, node_at(node, (step,))
        if child is None:
            return location
        if isinstance(parent, Branch) and isinstance(step, str) and not isinstance(child, Leaf):
            location = parent.keys[step]
        else:
            location = child.location
        node = child
    return location


def format_path(path: Path) -> str:
    """Return the path for messages: `tiers.free.features[0]`; keys that are no names are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f"{'.' if text else ''}{_key(step)}"
    return text


def keys_of(root: Node, *path: str) -> tuple[str, ...]:
    """Return the keys of the mapping at *path*; empty if there is no mapping."""
    node = node_at(root, path)
    return tuple(node.nodes) if isinstance(node, Branch) else ()


def _key(step: str) -> str:
    if len(step) > 60:
        return f"{step[:40]!r}…"
    return step if NAME.fullmatch(step) else repr(step[:40])
