"""
Several trees as one policy: what may be split over files, and what may not.

Sections may, inside a tier its features, levels, limits and values, and the parts of other
sections that define names. The same thing written twice is an error that names both places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.policy.errors import Misread
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Node, Path, Place, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.policy.report import Report

_PARTS = {"features", "levels", "limits", "values"}
_NAMES = {("assignment", "criteria"), ("assignment", "signals"), ("services", "catalogue"), ("services", "variants")}


def merged(trees: Sequence[Branch], place: Place, report: Report) -> Branch:
    """Return all *trees* as one; *place* is that of the whole."""
    whole = Branch({}, {}, place)
    for tree in trees:
        whole = _together(whole, tree, (), report)
    return whole


def united(first: Node, second: Node, path: Path, report: Report) -> Node:
    """Return two nodes that stand at one *path*, which is reported, so that what only one has is checked too."""
    if path[0] == "limits" and len(path) > 1:
        return first  # half of one definition and half of another would be wrong in ways that neither is
    if isinstance(first, Branch) and isinstance(second, Branch):
        nodes = {**second.nodes, **first.nodes}
        both = first.nodes.keys() & second.nodes.keys()
        nodes |= {key: united(first.nodes[key], second.nodes[key], (*path, key), report) for key in both}
        return Branch(nodes, {**second.keys, **first.keys}, first.place)
    if isinstance(first, Items) and isinstance(second, Items):
        known = {repr(plain(node)) for node in first.nodes}
        return Items((*first.nodes, *(node for node in second.nodes if repr(plain(node)) not in known)), first.place)
    report.complete = report.complete and isinstance(second, Leaf)
    return first


def _together(first: Branch, second: Branch, path: Path, report: Report) -> Branch:
    nodes, keys = dict(first.nodes), dict(first.keys)
    for key, node in second.nodes.items():
        if key in nodes:
            nodes[key] = _both(nodes[key], node, (*path, key), report, at=(keys[key], second.keys[key]))
        else:
            nodes[key], keys[key] = node, second.keys[key]
    return Branch(nodes, keys, first.place)


def _both(first: Node, second: Node, path: Path, report: Report, *, at: tuple[Place, Place]) -> Node:
    if isinstance(first, Branch) and isinstance(second, Branch) and _may_be_split(path):
        return _together(first, second, path, report)
    if isinstance(first, Items) and isinstance(second, Items) and _is_list_of_features(path):
        return Items((*first.nodes, *second.nodes), first.place)
    report.error(path, Misread(f"is already written in {at[0]}", "keep one of the two"), place=at[1])
    return united(first, second, path, report)


def _may_be_split(path: Path) -> bool:
    if path[0] != "tiers" or len(path) == 1:
        return len(path) == 1 or path in _NAMES
    return len(path) == 2 or (path[2] in _PARTS if len(path) == 3 else path[2] == "values")


def _is_list_of_features(path: Path) -> bool:
    return len(path) == 3 and path[0] == "tiers" and path[2] == "features"
