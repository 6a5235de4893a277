"""
Validation of the tree against the schema models.

Parts that are not valid are reported and removed, so that the rest of the policy is still
checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from entitlements.policy.pydantic_messages import message, path_of
from entitlements.policy.report import Report
from entitlements.policy.schema_models import Document
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Node, Path, to_data

_MAX_ROUNDS = 20  # a removal may make the mapping around it invalid, which the next round removes


def validate(root: Branch, report: Report) -> Document:
    """Return the valid parts of the tree; report the others."""
    data: Any = to_data(root)
    empty = list(_empty_values(root, ()))
    for path in empty:
        report.error(path, "nothing is written here", "write a value, or leave the key out")
    _remove(data, empty)
    _note_removed_sections(empty, report)
    for attempt in range(_MAX_ROUNDS):
        try:
            return Document.model_validate(data)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            paths = [path_of(each) for each in errors]
            if not attempt:
                for each, path in zip(errors, paths, strict=True):
                    report.add(path, message(each))
                _note_removed_sections(paths, report)
            pairs = zip(errors, paths, strict=True)
            _remove(data, [path[:-1] if each["type"] == "missing" else path for each, path in pairs])
    return Document.model_validate({})


def _note_removed_sections(paths: list[Path], report: Report) -> None:
    """Mark the tree as incomplete if a whole section is removed: the names that it defines are unknown."""
    report.complete = report.complete and all(len(path) > 1 for path in paths)


def _empty_values(node: Node, path: Path) -> Iterator[Path]:
    """Find the values that are empty, except below `values` of a tier or add-on: `read_values` reports those."""
    if isinstance(node, Leaf) and node.value is None:
        yield path
    if isinstance(node, Items):
        for at, child in enumerate(node.nodes):
            yield from _empty_values(child, (*path, at))
    if isinstance(node, Branch):
        for key, child in node.nodes.items():
            if not (len(path) == 2 and key == "values" and isinstance(child, Branch)):
                yield from _empty_values(child, (*path, key))


def _remove(data: Any, paths: list[Path]) -> None:
    """Remove the nodes at *paths*; the last items of a list first, so that other indices stay valid."""
    for path in sorted(set(paths), key=lambda path: [(isinstance(step, int), step) for step in path], reverse=True):
        parent = data
        for step in path[:-1]:
            parent = parent[step] if _contains(parent, step) else None
        if path and _contains(parent, path[-1]):
            del parent[path[-1]]


def _contains(parent: Any, step: str | int) -> bool:
    if isinstance(parent, dict):
        return step in parent
    return isinstance(parent, list) and isinstance(step, int) and step < len(parent)
