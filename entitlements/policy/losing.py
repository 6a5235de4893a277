"""What a policy has lost: files that were cut off at the end of a line are a policy too, and a smaller one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
    if len(after.routes) < len(before.routes):
        yield f"{len(before.routes) - len(after.routes)} of its routes"
    for section in ("tiers", "add_ons"):
        for name, bundle in getattr(before, section).items():
            gone = _names(bundle) - _names(getattr(after, section)[name])
            yield from (f"{each!r} in the {_NAMED[section]} {name!r}" for each in sorted(gone))


def _names(bundle: Tier | AddOn) -> set[str]:
    return {*bundle.features, *bundle.levels, *bundle.limits, *bundle.values}
