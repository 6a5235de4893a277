"""What a policy has lost: files that were cut off at the end of a line are a policy too, and a smaller one."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.model.policy import AddOn, Policy, Tier

_NAMED: Final = {
    "tiers": "tier",
    "limits": "limit",
    "features": "feature",
    "add_ons": "add-on",
    "segmentations": "segmentation",
}
_WHOLE: Final = ("assignment", "services")


def lost(before: Policy, after: Policy) -> str:
    """Return something that *before* has and *after* has not, for people; an empty text where there is nothing."""
    return next(_losses(before, after), "")


def _losses(before: Policy, after: Policy) -> Iterator[str]:
    for section, kind in _NAMED.items():
        kept = getattr(after, section)
        yield from (f"the {kind} {name!r}" for name in getattr(before, section) if name not in kept)
    yield from (f"the section {each}" for each in _WHOLE if getattr(before, each) and not getattr(after, each))
    for section in ("limits", "tiers", "add_ons"):
        for name, thing in getattr(before, section).items():
            bare = _at_default(thing, getattr(after, section)[name])
            yield from (f"{each!r} of the {_NAMED[section]} {name!r}" for each in bare)
    for section in _WHOLE:
        yield from (f"some of {section}.{each}" for each in _shorter(getattr(before, section), getattr(after, section)))
    if len(after.routes) < len(before.routes):
        yield f"{len(before.routes) - len(after.routes)} of its routes"
    for section in ("tiers", "add_ons"):
        for name, bundle in getattr(before, section).items():
            gone = _names(bundle) - _names(getattr(after, section)[name])
            yield from (f"{each!r} in the {_NAMED[section]} {name!r}" for each in sorted(gone))


def _at_default(before: Any, after: Any) -> list[str]:
    """Return what is set in *before*, and left at its default in *after*."""
    if type(before) is not type(after):
        return []
    defaults = {each.name: each.default for each in fields(before) if each.default is not MISSING}
    return [
        name
        for name, default in defaults.items()
        if getattr(before, name) != default and getattr(after, name) == default
    ]


def _shorter(before: Any, after: Any) -> list[str]:
    """Return which of the collections in *before* hold fewer things in *after*."""
    if not is_dataclass(before) or type(before) is not type(after):
        return []
    found = {each.name: getattr(before, each.name) for each in fields(before)}
    return [
        name
        for name, held in found.items()
        if isinstance(held, Sized) and not isinstance(held, str) and len(held) > len(getattr(after, name))
    ]


def _names(bundle: Tier | AddOn) -> set[str]:
    return {*bundle.features, *bundle.levels, *bundle.limits, *bundle.values}
