"""Detection of truncated policy files: a file cut at the end of a line may be a valid, smaller policy."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final

from entitlements.model.policy import AddOn, PolicyData
from entitlements.model.tier import Tier

_NAMED: Final = {
    "tiers": "tier",
    "limits": "limit",
    "features": "feature",
    "add_ons": "add-on",
    "segmentations": "segmentation",
}
_SINGLE: Final = ("assignment", "services")


def first_loss(before: PolicyData, after: PolicyData) -> str:
    """Return a phrase for the first item of *before* that *after* lacks; empty if there is none."""
    return next(_losses(before, after), "")


def _losses(before: PolicyData, after: PolicyData) -> Iterator[str]:
    for section, kind in _NAMED.items():
        kept = getattr(after, section)
        yield from (f"the {kind} {name!r}" for name in getattr(before, section) if name not in kept)
    yield from (f"the section {each}" for each in _SINGLE if getattr(before, each) and not getattr(after, each))
    for section in ("limits", "tiers", "add_ons"):
        for name, item in getattr(before, section).items():
            reset = _reset_fields(item, getattr(after, section)[name])
            yield from (f"{each!r} of the {_NAMED[section]} {name!r}" for each in reset)
    for section in _SINGLE:
        shrunk = _shrunk_fields(getattr(before, section), getattr(after, section))
        yield from (f"some of {section}.{each}" for each in shrunk)
    if len(after.routes) < len(before.routes):
        yield f"{len(before.routes) - len(after.routes)} of its routes"
    for section in ("tiers", "add_ons"):
        for name, bundle in getattr(before, section).items():
            gone = _names(bundle) - _names(getattr(after, section)[name])
            yield from (f"{each!r} in the {_NAMED[section]} {name!r}" for each in sorted(gone))


def _reset_fields(before: Any, after: Any) -> list[str]:
    """Return the fields that are set in *before* and have their default in *after*."""
    if type(before) is not type(after):
        return []
    return [
        each.name
        for each in fields(before)
        if each.default is not MISSING
        and getattr(before, each.name) != each.default
        and getattr(after, each.name) == each.default
    ]


def _shrunk_fields(before: Any, after: Any) -> list[str]:
    """Return the fields whose collection has fewer items in *after*."""
    if not is_dataclass(before) or type(before) is not type(after):
        return []
    return [name for name in (each.name for each in fields(before)) if _size(before, name) > _size(after, name)]


def _size(item: Any, name: str) -> int:
    """Return the number of items in the collection *name*; 0 for any other field."""
    value = getattr(item, name)
    return len(value) if isinstance(value, Sized) and not isinstance(value, str) else 0


def _names(bundle: Tier | AddOn) -> set[str]:
    sets = bundle.sets if isinstance(bundle, AddOn) else ()
    return {*bundle.features, *bundle.levels, *bundle.limits, *bundle.values, *sets}
