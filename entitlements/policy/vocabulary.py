"""The names that a policy defines, and what to say of one that it does not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from entitlements.model.services import PREFIX
from entitlements.policy.errors import Absent, Misread
from entitlements.policy.schema_models import Document
from entitlements.policy.yaml.tree import Branch, keys_of

SECTIONS: Final = {"features": "feature", "levels": "feature with levels", "limits": "limit"}
"""The sections that define names, and what they define."""

_NOT = SECTIONS | {"features": "switch"}


class Speller:
    """
    Finds the nearest spelling of an unknown name.

    Attributes:
        meant: The names that unknown ones were probably meant to be.
    """

    def __init__(self) -> None:
        self.meant: set[str] = set()
        self._left = 200_000  # comparing two names is slow, and so many unknown ones are no slips of spelling

    def suggest(self, name: str, known: Collection[str]) -> str:
        """Return `did you mean 'x'?`, or an empty text if nothing is like *name*."""
        self._left -= len(known)
        close = difflib.get_close_matches(name, known, n=1) if self._left >= 0 else []
        self.meant.update(close)
        return f"did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """
    Every name that the files define, those included whose definition is faulty.

    Args:
        kinds: Features, features with levels and limits: name to the section that defines it first.
        defined: Every section and name that it defines.
        levels: The levels of each feature whose list of them is sound.
        tiers: The tiers' ids.
        aliases: Other names of tiers, to the id.
        trials: The ids of trial plans.
        services: The features that services are; their section defines them.
        speller: Finds what an unknown name was probably meant to be.
    """

    kinds: Mapping[str, str]
    defined: frozenset[tuple[str, str]]
    levels: Mapping[str, tuple[str, ...]]
    tiers: Mapping[str, None]
    aliases: Mapping[str, str]
    trials: frozenset[str]
    services: frozenset[str]
    speller: Speller

    def known(self, section: str) -> list[str]:
        """Return the names that *section* defines."""
        return [name for name, kind in self.kinds.items() if kind == section]

    def unknown(self, name: str, section: str) -> Misread | None:
        """Return what is wrong with *name* as a name of *section*; None if nothing is."""
        if (section, name) in self.defined:
            return None
        kind = self.kinds.get(name)
        if kind is not None:
            return Misread(f"{name!r} is a {SECTIONS[kind]}, not a {_NOT[section]}", f"write it under {kind}")
        close = self.speller.suggest(name, self.known(section))
        return Absent(f"there is no {SECTIONS[section]} {name!r}", close or f"define it under {section}")

    def unknown_tier(self, name: str) -> Misread | None:
        """Return what is wrong with *name* as a tier's id; None if nothing is."""
        if name in self.tiers:
            return None
        if name in self.aliases:
            return Misread(f"{name!r} is an alias, for accounts", f"write {self.aliases[name]!r}")
        close = self.speller.suggest(name, self.tiers)
        return Absent(f"there is no tier {name!r}", close or "define it under tiers")

    def unknown_level(self, feature: str, level: str) -> Misread | None:
        """Return what is wrong with *level* of a feature; None if nothing is, or nobody can tell."""
        levels = self.levels.get(feature)
        if levels is None or level in levels:
            return None
        close = self.speller.suggest(level, levels)
        return Absent(f"{feature!r} has no level {level!r}", close or f"write one of {', '.join(levels)}")


def vocabulary_of(root: Branch, document: Document) -> Vocabulary:
    """Return the names of the whole policy; a name defined twice is what it was first."""
    services = [PREFIX + name for name in keys_of(root, "services", "catalogue")]
    defined = [(section, name) for section in SECTIONS for name in keys_of(root, section)]
    defined += [("features", name) for name in services]
    return Vocabulary(
        {name: section for section, name in reversed(defined)},
        frozenset(defined),
        {name: tuple(levels) for name, levels in document.levels.items()},
        dict.fromkeys(keys_of(root, "tiers")),
        {alias: tier for tier, shape in document.tiers.items() for alias in shape.aliases},
        frozenset(tier for tier, shape in document.tiers.items() if shape.trial is not None),
        frozenset(services),
        Speller(),
    )
