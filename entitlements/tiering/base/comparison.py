"""Medians of figures by tier, industry, region, channel or any other word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from entitlements.model.display import fields_in_json
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.policy import PolicyData
from entitlements.tiering.base.ranking import median
from entitlements.tiering.base.rows import Base, BaseRow


@dataclass(frozen=True, slots=True)
class ComparedGroup:
    """
    The accounts that share a word.

    Args:
        value: The word; empty for accounts without it.
        accounts: Number of accounts.
        pays: What they pay in a year, where that is known.
        medians: The lower median of each figure, over the accounts that have it.
        known: The number of accounts that have each figure.
    """

    value: str
    accounts: int
    pays: Decimal
    medians: Mapping[str, Decimal]
    known: Mapping[str, int]

    to_dict = fields_in_json


def compare_by(policy: PolicyData, base: Base, word: str, figures: Sequence[str]) -> tuple[ComparedGroup, ...]:
    """
    Return the groups of accounts by *word*; tiers by rank, others by what they pay.

    Args:
        policy: The policy in force.
        base: The accounts.
        word: `tier`, or an attribute such as `industry`.
        figures: Names of figures, such as `nps`.
    """
    groups: dict[str, list[BaseRow]] = {}
    for row in base.rows:
        groups.setdefault(row.tier if word == "tier" else row.words.get(word, ""), []).append(row)
    found = [_group(value, rows, figures) for value, rows in groups.items()]
    if word == "tier":
        return tuple(sorted(found, key=lambda each: -policy.tiers[each.value].rank))
    return tuple(sorted(found, key=lambda each: (not each.value, -each.pays, each.value)))


def _group(value: str, rows: Sequence[BaseRow], figures: Sequence[str]) -> ComparedGroup:
    numbers = {name: [row.figures[name] for row in rows if name in row.figures] for name in figures}
    medians = {name: middle for name, values in numbers.items() if (middle := median(values)) is not None}
    pays = sum((row.pays for row in rows if row.pays is not None), Decimal(0))
    return ComparedGroup(
        value,
        len(rows),
        pays,
        FrozenDict(medians),
        FrozenDict({name: len(values) for name, values in numbers.items()}),
    )
