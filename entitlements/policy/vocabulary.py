"""The names that a policy defines, and what to say of one that it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from entitlements.model.names import nearest
from entitlements.policy.misread import Misread
from entitlements.policy.shape import Document
from entitlements.policy.tree import Branch, keys_of

SECTIONS: Final = {"features": "feature", "levels": "feature with levels", "limits": "limit"}
"""The sections that define names, and what they define."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """
    Every name that the files define, those included whose definition is faulty.

    Args:
        kinds: Features, features with levels and limits: name to the section that defines it.
        levels: The levels of each feature whose list of them is sound.
        tiers: The tiers' ids.
        aliases: Other names of tiers, to the id.
        trials: The ids of trial plans.
        suggested: Takes each name that an unknown one was probably meant to be.
    """

    kinds: Mapping[str, str]
    levels: Mapping[str, tuple[str, ...]]
    tiers: tuple[str, ...]
    aliases: Mapping[str, str]
    trials: frozenset[str]
    suggested: set[str]

    def known(self, section: str) -> list[str]:
        """Return the names that *section* defines."""
        return [name for name, kind in self.kinds.items() if kind == section]

    def unknown(self, name: str, section: str) -> Misread | None:
        """Return what is wrong with *name* as a name of *section*; None if nothing is."""
        kind = self.kinds.get(name)
        if kind == section:
            return None
        if kind is not None:
            return Misread(f"{name!r} is a {SECTIONS[kind]}, not a {SECTIONS[section]}", f"write it under {kind}")
        close = nearest(name, self.known(section)).removeprefix("; ")
        self._suggest(name, section)
        return Misread(f"there is no {SECTIONS[section]} {name!r}", close or f"define it under {section}")

    def unknown_tier(self, name: str) -> Misread | None:
        """Return what is wrong with *name* as a tier's id; None if nothing is."""
        if name in self.tiers:
            return None
        if name in self.aliases:
            return Misread(f"{name!r} is an alias, for accounts", f"write {self.aliases[name]!r}")
        close = nearest(name, self.tiers).removeprefix("; ")
        return Misread(f"there is no tier {name!r}", close or "define it under tiers")

    def unknown_level(self, feature: str, level: str) -> Misread | None:
        """Return what is wrong with *level* of a feature; None if nothing is, or nobody can tell."""
        levels = self.levels.get(feature)
        if levels is None or level in levels:
            return None
        close = nearest(level, levels).removeprefix("; ")
        return Misread(f"{feature!r} has no level {level!r}", close or f"write one of {', '.join(levels)}")

    def _suggest(self, name: str, section: str) -> None:
        self.suggested.update(known for known in self.known(section) if nearest(name, [known]))


def vocabulary_of(root: Branch, document: Document) -> Vocabulary:
    """Return the names of the whole policy; a name defined twice is what it was first."""
    kinds: dict[str, str] = {}
    for section in SECTIONS:
        for name in keys_of(root, section):
            kinds.setdefault(name, section)
    return Vocabulary(
        kinds,
        {name: tuple(levels) for name, levels in document.levels.items()},
        keys_of(root, "tiers"),
        {alias: tier for tier, shape in document.tiers.items() for alias in shape.aliases},
        frozenset(tier for tier, shape in document.tiers.items() if shape.trial is not None),
        set(),
    )
