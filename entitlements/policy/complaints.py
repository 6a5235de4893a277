"""What the models refuse, said for people: each of pydantic's errors as problem and cure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from entitlements.model.names import nearest
from entitlements.policy import shape
from entitlements.policy.misread import Misread, any_of, shown
from entitlements.policy.tree import Path

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_KINDS: dict[str, type[shape.Shape]] = {"rate": shape.RateShape, "quota": shape.QuotaShape, "allocation": shape.AllocationShape}
_ONLY_RATES = {
    "per": "only a rate can be kept per something",
    "burst": "only a rate, a token bucket, has a burst",
    "algorithm": "only a rate has an algorithm",
}
_TEXTS = {"price": "write it in words, such as 500 per year", "version": "quote it", "unit": "write one unit's name"}


def path_of(error: ErrorDetails) -> Path:
    """Return the path in the file: without the kind of limit that pydantic puts in, and its mark of a key."""
    loc = tuple(step for step in error["loc"] if step != "[key]")
    in_definition = loc[0] == "limits" and len(loc) > 3
    if loc[0] == "limits" and len(loc) == 3 and loc[2] in _KINDS:
        in_definition = True
    return loc[:2] + loc[3:] if in_definition else loc


def complaint(error: ErrorDetails, path: Path) -> Misread:
    """Return what is wrong at *path*, and what to write instead."""
    known = _COMPLAINTS.get(error["type"])
    if known is not None:
        return known(error, path)
    return Misread(f"{shown(error['input'])} does not fit: {error['msg'].lower()}", "see the JSON Schema of policies")


def _unknown_key(error: ErrorDetails, path: Path) -> Misread:
    key = str(path[-1])
    if path[0] == "limits" and key in _ONLY_RATES:
        return Misread(f"{key} on a limit that is no rate: {_ONLY_RATES[key]}", "leave it out")
    known = _keys_beside(path, str(error["loc"][2]) if len(error["loc"]) > 2 else "")
    return Misread(f"unknown key {shown(key)}", _one_of(key, known))


def _keys_beside(path: Path, kind: str) -> list[str]:
    """Return the keys that may stand where *path* ends."""
    models: dict[tuple[int, str], type[shape.Shape]] = {
        (1, str(path[0])): shape.Document,
        (2, "policy"): shape.Head,
        (3, "limits"): _KINDS.get(kind, shape.Shape),
        (3, "tiers"): shape.TierShape,
        (4, "tiers"): shape.TrialShape,
        (3, "add_ons"): shape.AddOnShape,
    }
    model = models.get((len(path), str(path[0])), shape.Shape)
    return [field.alias or name for name, field in model.model_fields.items()]


def _one_of(word: object, known: list[str]) -> str:
    close = nearest(word, known) if isinstance(word, str) else ""
    return close.removeprefix("; ") or f"write {any_of(known)}"


def _no_text(error: ErrorDetails, path: Path) -> Misread:
    value = error["input"]
    cure = _TEXTS.get(str(path[-1]), "write a text, in quotes if it looks like something else")
    if path[0] == "features" and len(path) == 2:
        cure = "write one sentence about it"
    return Misread(f"{shown(value)} is not a text", cure)


def _no_list(error: ErrorDetails, path: Path) -> Misread:
    example = "[none, basic, full], lowest first" if path[0] == "levels" else "[one, another]"
    return Misread(f"{shown(error['input'])} is not a list", f"write a list, such as {example}")


def _no_mapping(error: ErrorDetails, path: Path) -> Misread:
    cure = "write `key: value` pairs below it"
    if path[0] == "limits" and len(path) == 2:
        cure = "write how it is counted: {kind: rate}, {kind: quota} or {kind: allocation}"
    return Misread(f"{shown(error['input'])} is not a mapping", cure)


def _no_int(error: ErrorDetails, path: Path) -> Misread:
    return Misread(f"{shown(error['input'])} is not a whole number", "write one, such as 10")


def _too_small(error: ErrorDetails, path: Path) -> Misread:
    least = error["ctx"]["ge"]
    return Misread(f"{shown(error['input'])} is below {least}", f"write {least} or more")


def _too_large(error: ErrorDetails, path: Path) -> Misread:
    most = error["ctx"]["le"]
    return Misread(f"{shown(error['input'])} is above {most}", f"write {most} or less")


def _bad_word(error: ErrorDetails, path: Path) -> Misread:
    value = str(error["input"])
    if path[-1] == "currency":
        return Misread(f"{shown(value)} is not a currency", "write three capital letters, such as USD")
    feature, colon, level = value.partition(":")
    if colon and "features" in path[2:3]:
        return Misread(f"{shown(value)} asks for a level", f"write it under levels, as {feature.strip()}: {level.strip()}")
    better = re.sub("[^a-z0-9.]+", "-", value[:40].lower()).strip("-.")
    return Misread(
        f"{shown(value)} is not a name",
        f"write words of a-z and 0-9 with - and . between them{f', such as {better!r}' if better else ''}",
    )


def _too_few(error: ErrorDetails, path: Path) -> Misread:
    return Misread("has fewer than two levels", "write two or more, lowest first, or a switch under features")


def _empty(error: ErrorDetails, path: Path) -> Misread:
    return Misread("an empty text says nothing", "write something, or leave the key out")


def _no_choice(error: ErrorDetails, path: Path) -> Misread:
    value, choices = error["input"], re.findall("'([^']*)'", error["ctx"]["expected"])
    if path[-1] == "on_outage" and value == "local":
        return Misread("only a rate can go on locally while the store is gone", "write allow or deny")
    if path[-1] == "period":
        return Misread(f"{shown(value)} is not a period that quotas have", "write month, or use a rate")
    return Misread(f"{shown(value)} is not one of its words", _one_of(value, choices))


def _no_kind(error: ErrorDetails, path: Path) -> Misread:
    return Misread("the limit has no kind", "write kind: rate, kind: quota or kind: allocation")


def _bad_kind(error: ErrorDetails, path: Path) -> Misread:
    kind = error["ctx"]["tag"]
    return Misread(f"{shown(kind)} is not a kind of limit", _one_of(kind, list(_KINDS)))


def _missing(error: ErrorDetails, path: Path) -> Misread:
    examples = {"of": "of: 14 days", "then": "then: <the tier that remains>"}
    return Misread(f"{path[-1]} is missing", f"write {examples.get(str(path[-1]), str(path[-1]))}")


def _own(error: ErrorDetails, path: Path) -> Misread:
    what: Any = error["ctx"]["error"]
    return what if isinstance(what, Misread) else Misread(str(what), "correct it")


_COMPLAINTS: dict[str, Callable[[ErrorDetails, Path], Misread]] = {
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
    "too_short": _too_few,
    "string_too_short": _empty,
    "literal_error": _no_choice,
    "enum": _no_choice,
    "union_tag_not_found": _no_kind,
    "union_tag_invalid": _bad_kind,
    "missing": _missing,
    "value_error": _own,
}
