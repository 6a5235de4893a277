"""The comparison of a policy's tiers: rows of limits, features, values and add-ons. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from entitlements.model.display import in_words
from entitlements.model.instants import to_timedelta
from entitlements.model.limits import NOT_INCLUDED, Limit, Mode
from entitlements.model.policy import NO_LEVEL, AddOn, Feature, PolicyData
from entitlements.model.tier import Tier
from entitlements.presentation.formatting import format_limit
from entitlements.presentation.matrix.model import (
    ABSENT,
    Cell,
    CellKind,
    Column,
    Matrix,
    MatrixRow,
    Section,
    SectionKind,
)
from entitlements.presentation.matrix.value_sections import value_sections


def matrix_of(policy: PolicyData, tiers: Sequence[Tier] | None = None) -> Matrix:
    """Return the comparison of *tiers*, which are of one product line; of all that are sold by default."""
    tiers = ranked_tiers(policy) if tiers is None else tiers
    sections = [
        _section(SectionKind.LIMITS, [_of_limit(limit, tiers) for limit in policy.limits.values()]),
        _section(SectionKind.FEATURES, [_of_feature(feature, tiers) for feature in policy.features.values()]),
        *value_sections(tiers),
        _section(SectionKind.ADD_ONS, [_of_add_on(add_on, tiers) for add_on in shown_add_ons(policy, tiers)]),
    ]
    columns = tuple(Column(tier.id, tier.name, _note(tier)) for tier in tiers)
    line = tiers[0].line if tiers else ""
    return Matrix(policy.version, policy.currency, columns, tuple(each for each in sections if each.rows), line)


def ranked_tiers(policy: PolicyData, *, line: str | None = None, retired: bool = False) -> list[Tier]:
    """
    Return the tiers by product line, each from the highest rank to the lowest; a trial plan follows those of its rank.

    Args:
        policy: The policy.
        line: The only line to return; None for all.
        retired: Also return the tiers that are not sold any more.
    """
    lines = list(dict.fromkeys(tier.line for tier in policy.tiers.values()))
    found = [tier for tier in policy.tiers.values() if line in (None, tier.line) and (retired or not tier.retired)]
    return sorted(found, key=lambda tier: (lines.index(tier.line), -tier.rank, tier.trial is not None))


def shown_add_ons(policy: PolicyData, tiers: Sequence[Tier]) -> list[AddOn]:
    """Return the add-ons that are offered to one of *tiers*; retired ones only if retired tiers are shown."""
    retired = any(tier.retired for tier in tiers)
    every = len(tiers) == len(policy.tiers)
    return [
        add_on
        for add_on in policy.add_ons.values()
        if (retired or not add_on.retired) and (every or any(add_on.offered_to(tier.id) for tier in tiers))
    ]


def _section(kind: SectionKind, rows: Sequence[MatrixRow]) -> Section:
    return Section(kind.value, tuple(rows), kind)


def _note(tier: Tier) -> str:
    terms = tier.trial
    trial = f"trial, {in_words(to_timedelta(terms.default))}, then {terms.then}" if terms else ""
    return ", ".join(filter(None, (trial, "retired" if tier.retired else "")))


def _of_limit(limit: Limit, tiers: Sequence[Tier]) -> MatrixRow:
    cells = []
    for tier in tiers:
        size = tier.limits.get(limit.name, NOT_INCLUDED)
        kind = CellKind.NO if size == 0 else CellKind.HAS
        cells.append(ABSENT if size is NOT_INCLUDED else Cell((format_limit(limit, size),), kind))
    notes = [f"per {limit.per}"] if limit.per else []
    notes += ["shadow"] if limit.mode is Mode.SHADOW else []
    label = f"{limit.name} ({', '.join(notes)})" if notes else limit.name
    return MatrixRow(limit.name, label, 0, tuple(cells), limit.about)


def _of_feature(feature: Feature, tiers: Sequence[Tier]) -> MatrixRow:
    if feature.levels:
        cells = [_of_level(tier.levels.get(feature.name)) for tier in tiers]
        return MatrixRow(feature.name, feature.name, 0, tuple(cells), feature.about or " < ".join(feature.levels))
    cells = [Cell(("yes",), CellKind.YES) if feature.name in tier.features else ABSENT for tier in tiers]
    return MatrixRow(feature.name, feature.name, 0, tuple(cells), feature.about)


def _of_level(level: str | None) -> Cell:
    if level is None:
        return ABSENT
    return Cell((level,), CellKind.NO if level == NO_LEVEL else CellKind.HAS)


def _of_add_on(add_on: AddOn, tiers: Sequence[Tier]) -> MatrixRow:
    cells = [Cell((add_on.price or "yes",)) if add_on.offered_to(tier.id) else ABSENT for tier in tiers]
    about = "; ".join(filter(None, (add_on.about, *_rules(add_on))))
    return MatrixRow(add_on.name, add_on.name, 0, tuple(cells), about)


def _rules(add_on: AddOn) -> Iterator[str]:
    """Yield the rules by which an add-on is sold."""
    if add_on.requires:
        yield f"requires {', '.join(add_on.requires)}"
    if add_on.excludes:
        yield f"not with {', '.join(add_on.excludes)}"
    if add_on.at_least > 1 or add_on.at_most is not None or add_on.step > 1:
        most = " or more" if add_on.at_most is None else f" to {add_on.at_most}"
        yield f"{add_on.at_least}{most}{f' in steps of {add_on.step}' if add_on.step > 1 else ''}"
