"""What the models refuse, said for people: each of pydantic's errors as problem and cure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.model.names import nearest
from entitlements.policy import schema_models, schema_tiering
from entitlements.policy.errors import Absent, Misread, any_of, shown
from entitlements.policy.schema_fields import Shape
from entitlements.policy.yaml.tree import Path

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_KINDS: dict[str, type[Shape]] = {
    "rate": schema_models.RateShape,
    "quota": schema_models.QuotaShape,
    "allocation": schema_models.AllocationShape,
}
_ONLY_RATES = {
    "per": "only a rate can be kept per something",
    "burst": "only a rate, a token bucket, has a burst",
    "algorithm": "only a rate has an algorithm",
}
_TEXTS = {"price": "write it in words, such as 500 per year", "version": "quote it", "unit": "write one unit's name"}


def path_of(error: ErrorDetails) -> Path:
    """Return the path in the file: without the kind of limit that pydantic puts in, and its mark of a key."""
    loc = tuple(step for step in error["loc"] if step != "[key]")
    in_definition = loc[0] == "limits" and len(loc) > 2 and loc[2] in _KINDS
    return loc[:2] + loc[3:] if in_definition else loc


def complaint(error: ErrorDetails, path: Path) -> Misread:
    """Return what is wrong at *path*, and what to write instead."""
    kind = str(error["loc"][2]) if len(error["loc"]) > 2 else ""
    fault = _Fault(error["input"], path, kind, error.get("ctx", {}))
    known = _COMPLAINTS.get(error["type"])
    if known is None:
        return Misread(f"{shown(fault.value)} does not fit: {error['msg'].lower()}", "see the JSON Schema of policies")
    return known if isinstance(known, Misread) else known(fault)


class _Fault(NamedTuple):
    """One of pydantic's errors: the value, where it stands, the kind of limit it is in, and what was expected."""

    value: Any
    path: Path
    kind: str
    expected: dict[str, Any]


def _unknown_key(fault: _Fault) -> Misread:
    key = str(fault.path[-1])
    if fault.path[0] == "limits" and key in _ONLY_RATES:
        return Misread(f"{key} on a limit that is no rate: {_ONLY_RATES[key]}", "leave it out")
    known = _keys_beside(fault.path, fault.kind)
    return Misread(f"unknown key {shown(key)}", _one_of(key, known))


def _keys_beside(path: Path, kind: str) -> list[str]:
    """Return the keys that may stand where *path* ends."""
    models: dict[tuple[int, str], type[Shape]] = {
        (3, "routes"): schema_models.RouteShape,
        (1, str(path[0])): schema_models.Document,
        (2, "policy"): schema_models.Head,
        (3, "limits"): _KINDS.get(kind, Shape),
        (3, "tiers"): schema_models.TierShape,
        (4, "tiers"): schema_models.TrialShape,
        (3, "add_ons"): schema_models.AddOnShape,
    }
    inside = _NESTED.get(str(path[0]))
    model = models.get((len(path), str(path[0])), Shape) if inside is None else inside(path)
    return [field.alias or name for name, field in model.model_fields.items()]


def _in_assignment(path: Path) -> type[Shape]:
    """Return what may stand where *path* ends in the section of that name; one key is the section's own."""
    section = path[1] if len(path) > 2 else ""
    inner: dict[str, type[Shape]] = {
        "criteria": schema_tiering.CriterionShape,
        "rules": schema_tiering.RuleShape,
        "": schema_tiering.AssignmentShape,
    }
    return schema_models.Document if len(path) == 1 else inner.get(str(section), Shape)


def _in_services(path: Path) -> type[Shape]:
    if len(path) == 4:
        return schema_tiering.ServiceShape
    return schema_models.Document if len(path) == 1 else schema_tiering.ServicesShape


def _in_segmentations(path: Path) -> type[Shape]:
    if len(path) > 3:
        return schema_tiering.CutShape if path[2] == "cuts" else schema_tiering.RuleShape
    return schema_models.Document if len(path) == 1 else schema_tiering.SegmentationShape


_NESTED: dict[str, Callable[[Path], type[Shape]]] = {
    "assignment": _in_assignment,
    "services": _in_services,
    "segmentations": _in_segmentations,
}


def _one_of(word: object, known: list[str]) -> str:
    close = nearest(word, known) if isinstance(word, str) else ""
    return close.removeprefix("; ") or f"write {any_of(known)}"


def _no_text(fault: _Fault) -> Misread:
    value = fault.value
    cure = _TEXTS.get(str(fault.path[-1]), "write a text, in quotes if it looks like something else")
    if fault.path[0] == "features" and len(fault.path) == 2:
        cure = "write one sentence about it"
    return Misread(f"{shown(value)} is not a text", cure)


def _no_list(fault: _Fault) -> Misread:
    example = "[none, basic, full], lowest first" if fault.path[0] == "levels" else "[one, another]"
    return Misread(f"{shown(fault.value)} is not a list", f"write a list, such as {example}")


def _no_mapping(fault: _Fault) -> Misread:
    cure = "write `key: value` pairs below it"
    if fault.path[0] == "limits" and len(fault.path) == 2:
        cure = "write how it is counted: {kind: rate}, {kind: quota} or {kind: allocation}"
    return Misread(f"{shown(fault.value)} is not a mapping", cure)


def _no_int(fault: _Fault) -> Misread:
    return Misread(f"{shown(fault.value)} is not a whole number", "write one, such as 10")


def _too_small(fault: _Fault) -> Misread:
    least = fault.expected["ge"]
    return Misread(f"{shown(fault.value)} is below {least}", f"write {least} or more")


def _too_large(fault: _Fault) -> Misread:
    most = fault.expected["le"]
    return Misread(f"{shown(fault.value)} is above {most}", f"write {most} or less")


def _bad_word(fault: _Fault) -> Misread:
    value = str(fault.value)
    if fault.path[-1] == "currency":
        return Misread(f"{shown(value)} is not a currency", "write three capital letters, such as USD")
    feature, colon, level = value.partition(":")
    if colon and "features" in fault.path[2:3]:
        return Misread(
            f"{shown(value)} asks for a level", f"write it under levels, as {feature.strip()}: {level.strip()}"
        )
    better = re.sub("[^a-z0-9.]+", "-", value[:40].lower()).strip("-.")
    return Misread(
        f"{shown(value)} is not a name",
        f"write words of a-z and 0-9 with - and . between them{f', such as {better!r}' if better else ''}",
    )


def _no_choice(fault: _Fault) -> Misread:
    value, choices = fault.value, re.findall("'([^']*)'", fault.expected["expected"])
    if fault.path[-1] == "on_outage" and value == "local":
        return Misread("only a rate can go on locally while the store is gone", "write allow or deny")
    if fault.path[-1] == "period":
        return Misread(f"{shown(value)} is not a period that quotas have", "write month, or use a rate")
    return Misread(f"{shown(value)} is not one of its words", _one_of(value, choices))


def _bad_kind(fault: _Fault) -> Misread:
    kind = fault.expected["tag"]
    return Misread(f"{shown(kind)} is not a kind of limit", _one_of(kind, list(_KINDS)))


def _missing(fault: _Fault) -> Misread:
    examples = {"of": "of: 14 days", "then": "then: <the tier that remains>"}
    return Absent(f"{fault.path[-1]} is missing", f"write {examples.get(str(fault.path[-1]), str(fault.path[-1]))}")


def _own(fault: _Fault) -> Misread:
    what: Any = fault.expected["error"]
    return what if isinstance(what, Misread) else Misread(str(what), "correct it")


_COMPLAINTS: dict[str, Misread | Callable[[_Fault], Misread]] = {
    "extra_forbidden": _unknown_key,
    "string_type": _no_text,
    "list_type": _no_list,
    "dict_type": _no_mapping,
    "model_type": _no_mapping,
    "model_attributes_type": _no_mapping,
    "int_type": _no_int,
    "greater_than_equal": _too_small,
    "less_than_equal": _too_large,
    "string_pattern_mismatch": _bad_word,
    "too_short": Absent("has fewer than two levels", "write two or more, lowest first, or a switch under features"),
    "string_too_short": Misread("an empty text says nothing", "write something, or leave the key out"),
    "literal_error": _no_choice,
    "enum": _no_choice,
    "union_tag_not_found": Absent("the limit has no kind", "write kind: rate, kind: quota or kind: allocation"),
    "union_tag_invalid": _bad_kind,
    "missing": _missing,
    "value_error": _own,
}
