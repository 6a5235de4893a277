"""
Warnings about tiers that look like mistakes.

Two cases: a lower tier has more than a higher one, and two names for one fact disagree. A tier
that drops a name with `without`, `not-included` or 0 has less on purpose; that is no warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise

from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED, Unlimited
from entitlements.model.policy import NO_LEVEL
from entitlements.model.tier import Tier
from entitlements.policy.inheritance import lineage
from entitlements.policy.parts import TierPart
from entitlements.policy.report import Report
from entitlements.policy.schema_models import Document
from entitlements.policy.vocabulary import SECTIONS, BuildContext
from entitlements.policy.yaml.tree import Path

_ACCESS = "-access"


def check_tiers(context: BuildContext, tiers: Mapping[str, Tier], parts: Mapping[str, TierPart]) -> None:
    """Warn about tiers that have no errors and look like mistakes."""
    document, report = context.document, context.report
    sound = [tier for tier in tiers.values() if _is_sound(tier.id, document, report)]
    names = {name: section for section in SECTIONS for name in getattr(document, section)}
    excluded = {tier.id: _excluded(tier, document, parts) for tier in sound}
    for lower, higher in _adjacent_ranks(sound):
        for name, section in names.items():
            expected = [tier for tier in higher if name not in excluded[tier.id]]
            most = max(lower, key=lambda tier: _amount(document, tier, name))
            least = min(expected, key=lambda tier: _amount(document, tier, name), default=most)
            if _amount(document, most, name) > _amount(document, least, name):
                report.warn(_origin(section, name, most, report), *_more_in_lower(document, name, most, least))
    for tier in sound:
        for switch, other, has_other in _synonyms(tier, document):
            if (switch in tier.features) is not has_other:
                has, lacks = (other, switch) if has_other else (switch, other)
                problem = f"tier {tier.id!r} has {has!r} and not {lacks!r}, two names for one fact"
                report.warn(("tiers", tier.id), problem, "give it both, or neither, or rename one of the two")


def _is_sound(id: str, document: Document, report: Report) -> bool:
    """Return True if the tier has a rank, and neither it nor one that it extends has an error."""
    line = lineage(id, document)
    return document.tiers[id].rank is not None and report.faulty.isdisjoint(("tiers", each) for each in line)


def _adjacent_ranks(tiers: list[Tier]) -> Iterator[tuple[list[Tier], list[Tier]]]:
    """
    Yield the tiers of each rank with those of the next higher rank in their product line.

    Comparing these pairs is enough. Retired tiers are left out: new ones are not made to fit them.
    """
    for line in dict.fromkeys(tier.line for tier in tiers):
        ranked = sorted((tier for tier in tiers if tier.line == line and not tier.retired), key=lambda tier: tier.rank)
        yield from pairwise(list(group) for _, group in groupby(ranked, key=lambda tier: tier.rank))


def _amount(document: Document, tier: Tier, name: str) -> int | Unlimited:
    """Return the amount of *name* that a tier has, for comparing; not included counts as 0."""
    if name in document.limits:
        return tier.limits.get(name) or 0
    if name in document.levels:
        level = tier.levels.get(name, NO_LEVEL)
        return 0 if level == NO_LEVEL else 1 + document.levels[name].index(level)
    return name in tier.features


def _excluded(tier: Tier, document: Document, parts: Mapping[str, TierPart]) -> set[str]:
    """Return the names that the tier, or one that it extends, excludes explicitly."""
    excluded = {name for name, size in tier.limits.items() if size == 0}
    for each in lineage(tier.id, document):
        written = (*parts[each].limits.items(), *parts[each].levels.items())
        excluded.update(document.tiers[each].without, (name for name, value in written if value is NOT_INCLUDED))
    return excluded


def _origin(section: str, name: str, tier: Tier, report: Report) -> Path:
    """Return the path at which the tier, or one that it extends, writes *name*."""
    path = ("tiers", tier.origins.get(name, tier.id), section)
    return report.item(path, name) if section == "features" else (*path, name)


def _more_in_lower(document: Document, name: str, lower: Tier, higher: Tier) -> tuple[str, str]:
    """Return problem and cure of a lower tier that has more of *name*."""
    cure = f"give {higher.id!r} as much, or say there that it goes without"
    if name in document.features:
        return f"tier {lower.id!r} has {name!r}, and the higher {higher.id!r} has not", cure
    has, than = (
        in_words((tier.limits if name in document.limits else tier.levels).get(name, NOT_INCLUDED))
        for tier in (lower, higher)
    )
    return f"tier {lower.id!r} has more of {name!r} ({has}) than the higher {higher.id!r} ({than})", cure


def _synonyms(tier: Tier, document: Document) -> Iterator[tuple[str, str, bool]]:
    """
    Return each switch that is another name for a level or a limit, that name, and whether the tier has it.

    A switch with the name of a level stands for that level, `<limit>-access` for any of the limit.
    """
    for feature, levels in document.levels.items():
        reached = _amount(document, tier, feature)
        for at, level in enumerate(levels):
            if level in document.features and level != NO_LEVEL:
                yield level, f"{feature}:{level}", reached >= 1 + at
    for switch in document.features:
        limit = switch.removesuffix(_ACCESS)
        if limit != switch and limit in document.limits:
            yield switch, limit, _amount(document, tier, limit) > 0
