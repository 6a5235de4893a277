"""
Merge of several trees into one policy.

May be split over files: sections; the features, levels, limits and values of a tier; and the
parts of other sections that define names. A key that is written twice is an error that names
both locations.
"""

from __future__ import annotations

from collections.abc import Sequence

from entitlements.policy.report import Report
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Location, Node, Path, to_data

_TIER_PARTS = {"features", "levels", "limits", "values"}
_NAME_MAPPINGS = {
    ("assignment", "criteria"),
    ("assignment", "signals"),
    ("services", "catalogue"),
    ("services", "variants"),
}


def merge_trees(trees: Sequence[Branch], location: Location, report: Report) -> Branch:
    """Return all *trees* as one; *location* is that of the result."""
    merged = Branch({}, {}, location)
    for tree in trees:
        merged = _merge(merged, tree, (), report)
    return merged


def combine(first: Node, second: Node, path: Path, report: Report) -> Node:
    """Return two nodes of the same *path* as one, so that keys of only one of them are checked too."""
    if path[0] == "limits" and len(path) > 1:
        return first  # halves of two definitions would cause errors that neither has
    if isinstance(first, Branch) and isinstance(second, Branch):
        nodes = {**second.nodes, **first.nodes}
        both = first.nodes.keys() & second.nodes.keys()
        nodes |= {key: combine(first.nodes[key], second.nodes[key], (*path, key), report) for key in both}
        return Branch(nodes, {**second.keys, **first.keys}, first.location)
    if isinstance(first, Items) and isinstance(second, Items):
        known = {repr(to_data(node)) for node in first.nodes}
        return Items(
            (*first.nodes, *(node for node in second.nodes if repr(to_data(node)) not in known)), first.location
        )
    report.complete = report.complete and isinstance(second, Leaf)
    return first


def _merge(first: Branch, second: Branch, path: Path, report: Report) -> Branch:
    nodes, keys = dict(first.nodes), dict(first.keys)
    for key, node in second.nodes.items():
        if key in nodes:
            nodes[key] = _merge_nodes(nodes[key], node, (*path, key), report, locations=(keys[key], second.keys[key]))
        else:
            nodes[key], keys[key] = node, second.keys[key]
    return Branch(nodes, keys, first.location)


def _merge_nodes(
    first: Node, second: Node, path: Path, report: Report, *, locations: tuple[Location, Location]
) -> Node:
    if isinstance(first, Branch) and isinstance(second, Branch) and _is_mergeable(path):
        return _merge(first, second, path, report)
    if isinstance(first, Items) and isinstance(second, Items) and _is_feature_list(path):
        return Items((*first.nodes, *second.nodes), first.location)
    report.error(path, f"is already written in {locations[0]}", "keep one of the two", location=locations[1])
    return combine(first, second, path, report)


def _is_mergeable(path: Path) -> bool:
    if path[0] != "tiers" or len(path) == 1:
        return len(path) == 1 or path in _NAME_MAPPINGS
    return len(path) == 2 or (path[2] in _TIER_PARTS if len(path) == 3 else path[2] == "values")


def _is_feature_list(path: Path) -> bool:
    return len(path) == 3 and path[0] == "tiers" and path[2] == "features"
