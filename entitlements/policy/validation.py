"""
From the tree to the models: every problem of shape, and whatever is sound beside it.

What does not fit is reported and then left out, so that one wrong line does not keep the
rest of the policy from being checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from entitlements.policy.errors import Misread
from entitlements.policy.pydantic_messages import complaint, path_of
from entitlements.policy.schema_models import Document
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Node, Path, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.policy.report import Report

_ROUNDS = 20  # what is left out may leave a gap that is left out next; each round goes one up


def shaped(root: Branch, report: Report) -> Document:
    """Return what of the tree has the shape of a policy; the report takes the rest."""
    data: Any = plain(root)
    nothing = list(_empty(root, ()))
    for path in nothing:
        report.error(path, Misread("nothing is written here", "write a value, or leave the key out"))
    _leave_out(data, nothing)
    _note_lost_sections(nothing, report)
    for attempt in range(_ROUNDS):
        try:
            return Document.model_validate(data)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            paths = [path_of(each) for each in errors]
            if not attempt:
                for each, path in zip(errors, paths, strict=True):
                    report.error(path, complaint(each, path))
                _note_lost_sections(paths, report)
            _leave_out(
                data,
                [path[:-1] if each["type"] == "missing" else path for each, path in zip(errors, paths, strict=True)],
            )
    return Document.model_validate({})


def _note_lost_sections(paths: list[Path], report: Report) -> None:
    """Note that a whole section is left out: nobody can tell which names it was to define."""
    report.complete = report.complete and all(len(path) > 1 for path in paths)


def _empty(node: Node, path: Path) -> Iterator[Path]:
    """Find the values that are empty; those among `values` are found where these are read."""
    if isinstance(node, Leaf) and node.value is None:
        yield path
    if isinstance(node, Items):
        for at, child in enumerate(node.nodes):
            yield from _empty(child, (*path, at))
    if isinstance(node, Branch):
        for key, child in node.nodes.items():
            if not (len(path) == 2 and key == "values" and isinstance(child, Branch)):
                yield from _empty(child, (*path, key))


def _leave_out(data: Any, paths: list[Path]) -> None:
    """Remove what stands at *paths*; of a list the last item first, so that the indices stay right."""
    for path in sorted(set(paths), key=lambda path: [(isinstance(step, int), step) for step in path], reverse=True):
        above = data
        for step in path[:-1]:
            above = above[step] if _has(above, step) else None
        if path and _has(above, path[-1]):
            del above[path[-1]]


def _has(above: Any, step: str | int) -> bool:
    if isinstance(above, dict):
        return step in above
    return isinstance(above, list) and isinstance(step, int) and step < len(above)
