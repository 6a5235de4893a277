"""The files as a tree: what is written, and where every key and value stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from entitlements.model.names import NAME

Path = tuple[str | int, ...]
"""The way from the top to a node: keys of mappings, indices of lists."""

MAX_DEPTH = 16
"""Deepest nesting of mappings and lists."""

MAX_NODES = 100_000
"""Most mappings, lists, keys and values of one policy."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; line 0 belongs to no line."""

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
        place: Where it stands.
        quoted: It was written in quotes, or as a block of text: it is a text, whatever it says.
    """

    value: object
    place: Place
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Branch:
    """
    A mapping.

    Args:
        nodes: What stands under each key.
        keys: Where each key stands.
        place: Where it begins.
    """

    nodes: Mapping[str, Node]
    keys: Mapping[str, Place]
    place: Place


Node = Leaf | Items | Branch


def plain(node: Node) -> object:
    """Return the tree as dicts, lists and scalars."""
    if isinstance(node, Branch):
        return {key: plain(child) for key, child in node.nodes.items()}
    if isinstance(node, Items):
        return [plain(child) for child in node.nodes]
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


def place_of(root: Node, path: Path) -> Place:
    """Return where *path* stands, as far as it exists: a scalar's own line, else its key's."""
    place = root.place
    for depth in range(1, len(path) + 1):
        above, node, step = node_at(root, path[: depth - 1]), node_at(root, path[:depth]), path[depth - 1]
        if node is None:
            return place
        place = above.keys[step] if isinstance(above, Branch) and isinstance(step, str) else node.place
        place = node.place if isinstance(node, Leaf) else place
    return place


def dotted(path: Path) -> str:
    """Return the path for people: `tiers.free.features[0]`, odd keys in quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f"{'.' if text else ''}{_key(step)}"
    return text


def keys_of(root: Node, *path: str) -> tuple[str, ...]:
    """Return the keys of the mapping at *path*; none if there is none."""
    node = node_at(root, path)
    return tuple(node.nodes) if isinstance(node, Branch) else ()


def _key(step: str) -> str:
    if len(step) > 60:
        return f"{step[:40]!r}…"
    return step if NAME.fullmatch(step.replace("_", "-").lower()) else repr(step[:40])
