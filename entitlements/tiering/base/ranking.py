"""
The most and least successful accounts, the most difficult and the easiest, and what each group has in common.

Each figure ranks the accounts that have it, from 0 to 100; equal values share their mean rank. The
score of an account is the mean of its ranks. What makes a group is told by comparison with
the rest of the base: the medians of its figures, and the word that is most over-represented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from entitlements.model.display import fields_in_json
from entitlements.model.frozen_dict import FrozenDict
from entitlements.tiering.base.rows import Base, BaseRow

SUCCESS = ("health", "adoption", "nps", "csat")
"""Figures that are higher for a more successful account."""

EFFORT = ("open-cases", "requests", "follow-ups", "onboarding-days")
"""Figures that are higher for a more difficult account."""

TRAITS = ("tier", "industry", "region", "channel", "product", "integrations", "state")
"""Words by which accounts are alike: how they were sold, and to whom."""


@dataclass(frozen=True, slots=True)
class RankedAccount:
    """
    An account with its score.

    Args:
        account: The account's id.
        name: Its name.
        tier: Its own tier.
        score: The mean of its ranks, 0 to 100.
        figures: The figures behind it.
    """

    account: str
    name: str
    tier: str
    score: Decimal
    figures: Mapping[str, Decimal]

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Trait:
    """
    A difference between a group and the rest of the base.

    Args:
        name: The figure or word.
        group: The median in the group, or the word with its share in percent.
        rest: The median in the rest, or the share of that word there.
        text: One sentence for people.
    """

    name: str
    group: object
    rest: object
    text: str

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class RankedGroup:
    """
    One group of accounts.

    Args:
        title: `most successful`, `least successful`, `most difficult` or `easiest`.
        accounts: The accounts, the first one first.
        traits: What they have in common.
        unknown: Number of accounts without any of the figures.
    """

    title: str
    accounts: tuple[RankedAccount, ...]
    traits: tuple[Trait, ...]
    unknown: int

    to_dict = fields_in_json


def ranked_groups(
    base: Base, *, top: int = 10, success: Sequence[str] = SUCCESS, effort: Sequence[str] = EFFORT
) -> tuple[RankedGroup, ...]:
    """
    Return the most and least successful accounts, the most difficult and the easiest.

    Args:
        base: The accounts.
        top: Accounts in each group.
        success: Figures that are higher for a more successful account.
        effort: Figures that are higher for a more difficult account.
    """
    groups = []
    for figures, titles in (
        (success, ("most successful", "least successful")),
        (effort, ("most difficult", "easiest")),
    ):
        ranked = _ranked(base.rows, figures)
        ordered = sorted(ranked, key=lambda each: (-each.score, each.account))
        for title, chosen in zip(titles, (ordered[:top], sorted(ranked, key=_upwards)[:top]), strict=True):
            ids = {each.account for each in chosen}
            inside = [row for row in base.rows if row.account in ids]
            outside = [row for row in base.rows if row.account not in ids]
            traits = tuple(_traits(inside, outside, (*success, *effort)))
            groups.append(RankedGroup(title, tuple(chosen), traits, len(base.rows) - len(ranked)))
    return tuple(groups)


def median(values: Iterable[Decimal]) -> Decimal | None:
    """Return the lower median; None without values."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _upwards(ranked: RankedAccount) -> tuple[Decimal, str]:
    return ranked.score, ranked.account


def _ranked(rows: Sequence[BaseRow], names: Sequence[str]) -> list[RankedAccount]:
    ranks = {name: _ranks([row.figures[name] for row in rows if name in row.figures]) for name in names}
    found = []
    for row in rows:
        figures = {name: row.figures[name] for name in names if name in row.figures}
        if figures:
            own = [ranks[name][value] for name, value in figures.items()]
            score = (sum(own, Decimal(0)) / len(own)).quantize(Decimal("0.1"))
            found.append(RankedAccount(row.account, row.name, row.tier, score, FrozenDict(figures)))
    return found


def _ranks(values: list[Decimal]) -> dict[Decimal, Decimal]:
    """Return the rank of each value, 0 to 100; one value alone is in the middle."""
    counts = Counter(values)
    below, ranks = 0, {}
    for value in sorted(counts):
        middle = below + Decimal(counts[value] - 1) / 2
        ranks[value] = middle * 100 / (len(values) - 1) if len(values) > 1 else Decimal(50)
        below += counts[value]
    return ranks


def _traits(inside: Sequence[BaseRow], outside: Sequence[BaseRow], figures: Sequence[str]) -> Iterable[Trait]:
    for name in figures:
        here, there = (median(row.figures[name] for row in rows if name in row.figures) for rows in (inside, outside))
        if here is not None and there is not None and here != there:
            yield Trait(name, here, there, f"median {name} {here:,} against {there:,}")
    for name in TRAITS:
        counts, others = (Counter(_word(row, name) for row in rows if _word(row, name)) for rows in (inside, outside))
        if not counts:
            continue
        shares = {word: (_share(counts, word), _share(others, word)) for word in counts}
        word = max(shares, key=lambda word: (shares[word][0] - shares[word][1], word))
        here, there = shares[word]
        if here > there:
            yield Trait(name, f"{word} {here} %", there, f"{name} {word}: {here} % against {there} %")


def _word(row: BaseRow, name: str) -> str:
    return row.tier if name == "tier" else row.words.get(name, "")


def _share(counts: Mapping[str, int], word: str) -> Decimal:
    total = sum(counts.values())
    return (Decimal(counts.get(word, 0)) * 100 / total).quantize(Decimal(1)) if total else Decimal(0)
