"""
What looks like an oversight, and is a warning.

A lower tier with more than a higher one, and two names for one fact that disagree. A tier that
is said to go `without`, or is given `not-included` or 0, is meant to have less.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.policy import NO_LEVEL
from entitlements.policy.errors import Misread
from entitlements.policy.sizes import MAX_EXTENDS
from entitlements.policy.vocabulary import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from entitlements.model.limits import LimitValue
    from entitlements.model.policy import Tier
    from entitlements.policy.parts import Part
    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document
    from entitlements.policy.yaml.tree import Path

_ACCESS = "-access"


def compare(document: Document, tiers: Mapping[str, Tier], parts: Mapping[str, Part], *, report: Report) -> None:
    """Report what is odd about the tiers that are sound themselves."""
    sound = [tier for tier in tiers.values() if _is_sound(tier.id, document, report)]
    names = {name: section for section in SECTIONS for name in getattr(document, section)}
    meant = {tier.id: _meant(tier, document, parts) for tier in sound}
    for lower, higher in _neighbours(sound):
        for name, section in names.items():
            expected = [tier for tier in higher if name not in meant[tier.id]]
            most = max(lower, key=lambda tier: _amount(document, tier, name))
            least = min(expected, key=lambda tier: _amount(document, tier, name), default=most)
            if _amount(document, most, name) > _amount(document, least, name):
                report.warn(_written_at(section, name, most, report), _oddity(document, name, most, least))
    for tier in sound:
        _check_levels(tier, document, report)
        _check_access(tier, document, report)


def _is_sound(id: str, document: Document, report: Report) -> bool:
    """Say whether neither the tier nor one that it extends has an error or lacks a rank."""
    line = _lineage(id, document)
    return document.tiers[id].rank is not None and report.faulty.isdisjoint(("tiers", each) for each in line)


def _lineage(id: str, document: Document) -> list[str]:
    """Return the tier and all that it extends, a circle once; more than may be is an error elsewhere."""
    line: dict[str, None] = {}
    above: str | None = id
    while above is not None and above in document.tiers and above not in line and len(line) <= MAX_EXTENDS:
        line[above] = None
        above = document.tiers[above].extends
    return list(line)


def _neighbours(tiers: list[Tier]) -> Iterator[tuple[list[Tier], list[Tier]]]:
    """Return the tiers of each rank with those of the next higher one; more cannot hide between others."""
    ranked = sorted(tiers, key=lambda tier: tier.rank)
    return pairwise(list(group) for _, group in groupby(ranked, key=lambda tier: tier.rank))


def _amount(document: Document, tier: Tier, name: str) -> float:
    """Return how much of *name* a tier has, for comparing; not included is as much as 0."""
    if name in document.limits:
        return _size(tier.limits.get(name, NOT_INCLUDED))
    if name in document.levels:
        level = tier.levels.get(name, NO_LEVEL)
        return 0 if level == NO_LEVEL else 1 + document.levels[name].index(level)
    return name in tier.features


def _size(value: LimitValue) -> float:
    if isinstance(value, int):
        return value
    return float("inf") if value else 0


def _meant(tier: Tier, document: Document, parts: Mapping[str, Part]) -> set[str]:
    """Return the names that the tier, or one that it extends, says that it goes without."""
    meant = {name for name, size in tier.limits.items() if size == 0}
    for each in _lineage(tier.id, document):
        written = (*parts[each].limits.items(), *parts[each].levels.items())
        meant.update(document.tiers[each].without, (name for name, value in written if value is NOT_INCLUDED))
    return meant


def _written_at(section: str, name: str, tier: Tier, report: Report) -> Path:
    """Return where a tier's share of *name* is written, in the tier or in one that it extends."""
    path = ("tiers", tier.origins.get(name, tier.id), section)
    return report.item(path, name) if section == "features" else (*path, name)


def _oddity(document: Document, name: str, lower: Tier, higher: Tier) -> Misread:
    cure = f"give {higher.id!r} as much, or say there that it goes without"
    if name in document.features:
        return Misread(f"tier {lower.id!r} has {name!r}, and the higher {higher.id!r} has not", cure)
    has, than = _shown(document, lower, name), _shown(document, higher, name)
    return Misread(f"tier {lower.id!r} has more of {name!r} ({has}) than the higher {higher.id!r} ({than})", cure)


def _shown(document: Document, tier: Tier, name: str) -> str:
    value = tier.limits.get(name, NOT_INCLUDED) if name in document.limits else tier.levels.get(name, NOT_INCLUDED)
    return in_words(value)


def _check_levels(tier: Tier, document: Document, report: Report) -> None:
    """A switch that is called like a level is the same fact."""
    for feature, levels in document.levels.items():
        reached = _amount(document, tier, feature)
        for at, level in enumerate(levels):
            if level in document.features and level != NO_LEVEL:
                _agree(tier, level, f"{feature}:{level}", has_other=reached >= 1 + at, report=report)


def _check_access(tier: Tier, document: Document, report: Report) -> None:
    """A switch `<limit>-access` is the same fact as having any of the limit."""
    for switch in document.features:
        limit = switch.removesuffix(_ACCESS)
        if limit != switch and limit in document.limits:
            has_any = _amount(document, tier, limit) > 0
            _agree(tier, switch, limit, has_other=has_any, report=report)


def _agree(tier: Tier, switch: str, other: str, *, has_other: bool, report: Report) -> None:
    if (switch in tier.features) is has_other:
        return
    has, lacks = (other, switch) if has_other else (switch, other)
    what = Misread(
        f"tier {tier.id!r} has {has!r} and not {lacks!r}, two names for one fact",
        "give it both, or neither, or rename one of the two",
    )
    report.warn(("tiers", tier.id), what)
