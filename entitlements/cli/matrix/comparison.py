"""The comparison of a policy's tiers: rows of limits, features, values and add-ons. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from entitlements.cli.formatting import format_limit
from entitlements.cli.matrix.model import ABSENT, Cell, CellKind, Column, Matrix, MatrixRow, Section, SectionKind
from entitlements.cli.matrix.value_sections import value_sections
from entitlements.model.display import in_words
from entitlements.model.instants import to_timedelta
from entitlements.model.limits import NOT_INCLUDED, Limit, Mode, Rate
from entitlements.model.policy import NO_LEVEL, AddOn, Feature, PolicyData
from entitlements.model.tier import Tier


def matrix_of(policy: PolicyData) -> Matrix:
    """Return the comparison of all tiers of *policy*."""
    tiers = ranked_tiers(policy)
    sections = [
        _section(SectionKind.LIMITS, [_of_limit(limit, tiers) for limit in policy.limits.values()]),
        _section(SectionKind.FEATURES, [_of_feature(feature, tiers) for feature in policy.features.values()]),
        *value_sections(tiers),
        _section(SectionKind.ADD_ONS, [_of_add_on(add_on, tiers) for add_on in policy.add_ons.values()]),
    ]
    columns = tuple(Column(tier.id, tier.name, _terms(tier)) for tier in tiers)
    return Matrix(policy.version, policy.currency, columns, tuple(each for each in sections if each.rows))


def ranked_tiers(policy: PolicyData) -> list[Tier]:
    """Return the tiers from the highest rank to the lowest; a trial plan follows the tiers of its rank."""
    return sorted(policy.tiers.values(), key=lambda tier: (-tier.rank, tier.trial is not None))


def _section(kind: SectionKind, rows: Sequence[MatrixRow]) -> Section:
    return Section(kind.value, tuple(rows), kind)


def _terms(tier: Tier) -> str:
    terms = tier.trial
    return f"trial, {in_words(to_timedelta(terms.default))}, then {terms.then}" if terms else ""


def _of_limit(limit: Limit, tiers: Sequence[Tier]) -> MatrixRow:
    cells = []
    for tier in tiers:
        size = tier.limits.get(limit.name, NOT_INCLUDED)
        kind = CellKind.NO if size == 0 else CellKind.HAS
        cells.append(ABSENT if size is NOT_INCLUDED else Cell((format_limit(limit, size),), kind))
    notes = [f"per {limit.per}"] if isinstance(limit, Rate) and limit.per else []
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
    return MatrixRow(add_on.name, add_on.name, 0, tuple(cells), add_on.about)
