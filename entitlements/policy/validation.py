"""
Validation of the tree against the schema models, and messages for pydantic's errors.

Parts that are not valid are reported, each with a problem and a cure, and removed, so that
the rest of the policy is still checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from entitlements.model.limits import PeriodLength
from entitlements.model.names import NAME_CURE, did_you_mean, shown
from entitlements.policy.errors import InvalidValue, MissingValue, any_of
from entitlements.policy.misplaced_keys import PRICE_LIST, PRICE_LIST_KEY, misplaced_in_limit
from entitlements.policy.report import Report
from entitlements.policy.schema_fields import Shape
from entitlements.policy.schema_models import AllocationShape, Document, QuotaShape, RateShape
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Node, Path, to_data

_MAX_ROUNDS = 20  # a removal may make the mapping around it invalid, which the next round removes


def validate(root: Branch, report: Report) -> Document:
    """Return the valid parts of the tree; report the others."""
    data: Any = to_data(root)
    if PRICE_LIST_KEY in root.nodes:
        report.exclude((), PRICE_LIST, location=root.keys[PRICE_LIST_KEY])
        return Document.model_validate({})
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


_KINDS: dict[str, type[Shape]] = {"rate": RateShape, "quota": QuotaShape, "allocation": AllocationShape}
_WINDOWS = ("second", "minute", "hour")
"""Windows that only rates have."""

_TEXT_CURES = {
    "price": "write it in words, such as 500 per year",
    "version": "quote it",
    "unit": "write one unit's name",
}
_TYPES = {
    "string_type": "a text",
    "list_type": "a list",
    "int_type": "a whole number",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping"),
}
_TYPE_CURES = {
    "a text": "write a text, in quotes if it looks like something else",
    "a list": "write a list, such as [one, another]",
    "a whole number": "write one, such as 10",
    "a mapping": "write `key: value` pairs below it",
}
_ENTRY_CURES = {
    ("a text", "features"): "write one sentence about it",
    ("a list", "levels"): "write a list, such as [none, basic, full], lowest first",
    ("a mapping", "limits"): "write how it is counted: {kind: rate}, {kind: quota} or {kind: allocation}",
}
"""Cures of entries of a section."""


def path_of(error: ErrorDetails) -> Path:
    """Return the path in the file, without the limit's kind and the key marks that pydantic adds."""
    loc = tuple(step for step in error["loc"] if step != "[key]")
    in_definition = loc[0] == "limits" and len(loc) > 2 and loc[2] in _KINDS
    return loc[:2] + loc[3:] if in_definition else loc


def message(error: ErrorDetails) -> InvalidValue:
    """Return the problem of a validation error and its cure."""
    known = _MESSAGES.get(error["type"])
    if known is None:
        problem = f"{shown(error['input'])} does not fit: {error['msg'].lower()}"
        return InvalidValue(problem, "see the JSON Schema of policies")
    return known if isinstance(known, InvalidValue) else known(error)


def _unknown_key(error: ErrorDetails) -> InvalidValue:
    path = path_of(error)
    key = str(path[-1])
    kind = str(error["loc"][2]) if len(error["loc"]) > 2 else ""
    if path[0] == "limits" and (misplaced := misplaced_in_limit(key, kind)):
        return misplaced
    fields = _model_at(path[:-1], kind).model_fields
    keys = [field.alias or name for name, field in fields.items()]
    return InvalidValue(f"unknown key {shown(key)}", _choose_from(key, keys))


def _model_at(path: Path, kind: str) -> type[Shape]:
    """Return the model of the mapping at *path*; *kind* is that of the limit that contains it."""
    if path[:1] == ("limits",):
        return _KINDS.get(kind, Shape)
    model: type[Shape] = Document
    annotation: Any = Document
    for step in path:  # from a model to its field, from a list or mapping to its entries
        annotation = model.model_fields[str(step)].annotation if annotation is model else get_args(annotation)[-1]
        if isinstance(annotation, UnionType):
            annotation, _none = get_args(annotation)
        if isinstance(annotation, type):
            model = annotation
    return model


def _choose_from(word: object, known: list[str]) -> str:
    return did_you_mean(word, known) or f"write {any_of(known)}"


def _wrong_type(error: ErrorDetails) -> InvalidValue:
    path, kind = path_of(error), _TYPES[error["type"]]
    of_entry = _ENTRY_CURES.get((kind, str(path[0]))) if len(path) == 2 else None
    cure = of_entry or (_TEXT_CURES.get(str(path[-1])) if kind == "a text" else None) or _TYPE_CURES[kind]
    return InvalidValue(f"{shown(error['input'])} is not {kind}", cure)


def _not_a_switch(error: ErrorDetails) -> InvalidValue:
    value = error["input"]
    meant = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
    word = meant.get(value.casefold()) if isinstance(value, str) else None
    return InvalidValue(f"{shown(value)} is neither true nor false", f"write {word or 'true or false'}, without quotes")


def _out_of_range(error: ErrorDetails) -> InvalidValue:
    ((bound, figure),) = error["ctx"].items()
    side, direction = ("below", "more") if bound == "ge" else ("above", "less")
    return InvalidValue(f"{shown(error['input'])} is {side} {figure}", f"write {figure} or {direction}")


def _not_a_name(error: ErrorDetails) -> InvalidValue:
    path = path_of(error)
    value = str(error["input"])
    if path[-1] == "currency":
        return InvalidValue(f"{shown(value)} is not a currency", "write three capital letters, such as USD")
    feature, colon, level = value.partition(":")
    if colon and "features" in path[2:3]:
        cure = f"write it under levels, as {feature.strip()}: {level.strip()}"
        return InvalidValue(f"{shown(value)} asks for a level", cure)
    better = re.sub("[^A-Za-z0-9._-]+", "-", value[:40]).strip("-.")
    cure = f"{NAME_CURE}{f', such as {better!r}' if better else ''}"
    return InvalidValue(f"{shown(value)} is not a name", cure)


def _not_a_choice(error: ErrorDetails) -> InvalidValue:
    path = path_of(error)
    value = error["input"]
    if path[-1] == "on_outage" and value == "local":
        return InvalidValue("only a rate can go on locally while the store is gone", "write allow or deny")
    if path[-1] == "period":
        rate = (
            f"; a rate counts by the {value}: kind: rate, and sizes such as '100 per {value}'"
            if value in _WINDOWS
            else ""
        )
        periods = [each.value for each in PeriodLength]
        cure = did_you_mean(value, periods) or f"write {any_of(periods)}{rate}"
        return InvalidValue(f"{shown(value)} is not a period that quotas have", cure)
    choices = re.findall("'([^']*)'", error["ctx"]["expected"])
    return InvalidValue(f"{shown(value)} is not one of its words", _choose_from(value, choices))


def _not_a_kind(error: ErrorDetails) -> InvalidValue:
    kind = error["ctx"]["tag"]
    return InvalidValue(f"{shown(kind)} is not a kind of limit", _choose_from(kind, list(_KINDS)))


def _missing_key(error: ErrorDetails) -> InvalidValue:
    key = str(path_of(error)[-1])
    examples = {"of": "of: 14 days", "then": "then: <the tier that remains>"}
    return MissingValue(f"{key} is missing", f"write {examples.get(key, key)}")


def _raised(error: ErrorDetails) -> InvalidValue:
    """Return the error that one of our own validators raised."""
    raised = error["ctx"]["error"]
    return raised if isinstance(raised, InvalidValue) else InvalidValue(str(raised), "correct it")


_MESSAGES: dict[str, InvalidValue | Callable[[ErrorDetails], InvalidValue]] = {
    "extra_forbidden": _unknown_key,
    **dict.fromkeys(_TYPES, _wrong_type),
    "bool_type": _not_a_switch,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
    "string_pattern_mismatch": _not_a_name,
    "too_short": MissingValue(
        "has fewer than two levels", "write two or more, lowest first, or a switch under features"
    ),
    "string_too_short": InvalidValue("an empty text says nothing", "write something, or leave the key out"),
    "literal_error": _not_a_choice,
    "enum": _not_a_choice,
    "union_tag_not_found": MissingValue("the limit has no kind", "write kind: rate, kind: quota or kind: allocation"),
    "union_tag_invalid": _not_a_kind,
    "missing": _missing_key,
    "value_error": _raised,
}
