"""Names that a policy defines, errors for names that it does not, and the context of a build that has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from entitlements.model.names import similar
from entitlements.model.services import PREFIX
from entitlements.policy.errors import InvalidValue, MissingValue
from entitlements.policy.report import Report
from entitlements.policy.schema_models import Document
from entitlements.policy.yaml.tree import Branch, Path, keys_of

SECTIONS: Final = {"features": "feature", "levels": "feature with levels", "limits": "limit"}
"""Section that defines names -> noun for one of its entries."""

_NOT = SECTIONS | {"features": "switch"}


class Speller:
    """
    Suggests the nearest spelling of an unknown name.

    Attributes:
        suggested: The names that were suggested.
    """

    def __init__(self) -> None:
        self.suggested: set[str] = set()
        self._left = 200_000  # comparisons, which are slow; more unknown names than that are no typing errors

    def suggest(self, name: str, known: Collection[str]) -> str:
        """Return `did you mean 'x'?`, or an empty text if no name is similar to *name*."""
        self._left -= len(known)
        close = similar(name, known) if self._left >= 0 else None
        if close is None:
            return ""
        self.suggested.add(close)
        return f"did you mean {close!r}?"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """
    All names that the files define, including those with a faulty definition.

    Args:
        kinds: Name of a feature or limit -> the first section that defines it.
        defined: All pairs of a section and a name that it defines.
        levels: The levels of each feature whose list of levels is valid.
        tiers: The ids of the tiers, as keys.
        aliases: Alias -> id of the tier.
        trials: The ids of trial plans.
        services: The names of the features that the services define.
        speller: Suggests spellings.
    """

    kinds: Mapping[str, str]
    defined: frozenset[tuple[str, str]]
    levels: Mapping[str, tuple[str, ...]]
    tiers: Mapping[str, None]
    aliases: Mapping[str, str]
    trials: frozenset[str]
    services: frozenset[str]
    speller: Speller

    def unknown(self, name: str, section: str) -> InvalidValue | None:
        """Return the error if *section* does not define *name*, or None."""
        if (section, name) in self.defined:
            return None
        kind = self.kinds.get(name)
        if kind is not None:
            return InvalidValue(f"{name!r} is a {SECTIONS[kind]}, not a {_NOT[section]}", f"write it under {kind}")
        close = self.speller.suggest(name, [each for each, kind in self.kinds.items() if kind == section])
        return MissingValue(f"there is no {SECTIONS[section]} {name!r}", close or f"define it under {section}")

    def unknown_tier(self, name: str) -> InvalidValue | None:
        """Return the error if *name* is not the id of a tier, or None."""
        if name in self.tiers:
            return None
        if name in self.aliases:
            return InvalidValue(f"{name!r} is an alias, for accounts", f"write {self.aliases[name]!r}")
        close = self.speller.suggest(name, self.tiers)
        return MissingValue(f"there is no tier {name!r}", close or "define it under tiers")

    def unknown_level(self, feature: str, level: str) -> InvalidValue | None:
        """Return the error if the feature lacks *level*, or None; also None if its levels are not valid."""
        levels = self.levels.get(feature)
        if levels is None or level in levels:
            return None
        close = self.speller.suggest(level, levels)
        return MissingValue(f"{feature!r} has no level {level!r}", close or f"write one of {', '.join(levels)}")


def collect_vocabulary(root: Branch, document: Document) -> Vocabulary:
    """Return the names of the whole policy; of a name defined twice, the first definition counts."""
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


@dataclass(frozen=True, slots=True)
class BuildContext:
    """
    One policy while it is built.

    Args:
        root: The tree of all files.
        document: The parts of the tree that fit the schema models.
        vocabulary: The names that the files define.
        report: Collects the problems.
    """

    root: Branch
    document: Document
    vocabulary: Vocabulary
    report: Report

    def check_tier(self, path: Path, name: str) -> None:
        """Report *name* at *path* unless it is the id of a tier."""
        if error := self.vocabulary.unknown_tier(name):
            self.report.add(path, error)

    def check_sold_tier(self, path: Path, name: str) -> None:
        """Report *name* at *path* unless it is the id of a tier; warn if that tier is retired."""
        self.check_tier(path, name)
        shape = self.document.tiers.get(name)
        if shape is not None and shape.retired:
            self.report.warn(path, f"{name!r} is retired, and nothing recommends it", "name a tier that is sold")
