"""Parts of tiers and add-ons: the contents that each writes, checked against the names of the whole policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from entitlements.model.limits import NOT_INCLUDED, Limit, LimitValue, NotIncluded
from entitlements.model.names import did_you_mean, shown
from entitlements.model.tier import Value
from entitlements.policy.errors import InvalidValue
from entitlements.policy.misplaced_keys import misplaced_size
from entitlements.policy.overage import KEYS, has_overage, read_overage
from entitlements.policy.quantities import read_size, window_in_words
from entitlements.policy.schema_models import AddOnShape, TierShape
from entitlements.policy.values import read_values
from entitlements.policy.vocabulary import BuildContext
from entitlements.policy.yaml.tree import Path, node_at

CHANGES = ("adds", "sets")
"""The words by which an add-on says what it does to a limit."""


def _names_change(shape: TierShape | AddOnShape, size: object) -> TypeGuard[Mapping[str, object]]:
    """Return True if an add-on writes a size below a word of `CHANGES`."""
    return isinstance(shape, AddOnShape) and isinstance(size, Mapping) and any(word in size for word in CHANGES)


@dataclass(frozen=True, slots=True)
class TierPart:
    """
    The contents of one tier or add-on, before inheritance.

    Args:
        features: Switches that are on.
        levels: The level of each feature, `NOT_INCLUDED` where an inherited one is dropped.
        limits: The size of each limit, `NOT_INCLUDED` likewise.
        values: The values by dotted key, `NOT_INCLUDED` likewise.
        paths: The path of each value key.
        sets: The size of each limit that an add-on sets in place of the tier's.
    """

    features: frozenset[str]
    levels: Mapping[str, str | NotIncluded]
    limits: Mapping[str, LimitValue]
    values: Mapping[str, Value | NotIncluded]
    paths: Mapping[str, Path]
    sets: Mapping[str, LimitValue]

    @property
    def written(self) -> list[str]:
        """The value keys, without those that are dropped."""
        return [key for key, value in self.values.items() if not isinstance(value, NotIncluded)]


class PartReader:
    """
    Reads the parts of one policy.

    Args:
        context: The policy while it is built.
        definitions: The limits whose definition is sound; rates have no window yet.

    Attributes:
        windows: The window of each rate in microseconds, and the path of the size that named it first.
    """

    def __init__(self, context: BuildContext, definitions: Mapping[str, Limit]) -> None:
        self.windows: dict[str, tuple[int, Path]] = {}
        self._root = context.root
        self._vocabulary = context.vocabulary
        self._report = context.report
        self._definitions = definitions

    def part(self, path: Path, shape: TierShape | AddOnShape) -> TierPart:
        """Return the contents of the tier or add-on at *path*."""
        values = read_values(node_at(self._root, (*path, "values")), (*path, "values"), self._report)
        limits = {name: size for name, size in shape.limits.items() if not _names_change(shape, size)}
        changes = {word: self._changes(path, shape, word) for word in CHANGES}
        return TierPart(
            self._features((*path, "features"), shape.features),
            self._levels(path, shape.levels),
            {**self._limits(path, limits), **changes["adds"]},
            {key: value for key, (value, _) in values.items()},
            {key: at for key, (_, at) in values.items()},
            changes["sets"],
        )

    def _changes(self, path: Path, shape: TierShape | AddOnShape, word: str) -> dict[str, LimitValue]:
        """Return the sizes of an add-on that are written below *word*; report a limit with more than one word."""
        found: dict[str, object] = {}
        for name, size in shape.limits.items():
            if _names_change(shape, size) and word in size:
                if len(size) == 1:
                    found[name] = size[word]
                elif word == next(iter(size)):
                    cure = "write one of the two, such as {adds: 5} or {sets: 500}"
                    self._report.error((*path, "limits", name), f"{name!r} says {', '.join(size)}", cure)
        return self._limits(path, found, word)

    def _features(self, path: Path, names: list[str]) -> frozenset[str]:
        return frozenset(name for name in names if self._is_known(self._report.item(path, name), name, "features"))

    def _levels(self, path: Path, levels: Mapping[str, str]) -> dict[str, str | NotIncluded]:
        found: dict[str, str | NotIncluded] = {}
        for name, level in levels.items():
            at = (*path, "levels", name)
            if not self._is_known(at, name, "levels"):
                continue
            if level == NOT_INCLUDED.value:
                found[name] = NOT_INCLUDED
            elif error := self._vocabulary.unknown_level(name, level):
                self._report.add(at, error)
            elif name in self._vocabulary.levels:
                found[name] = level
        return found

    def _limits(self, path: Path, sizes: Mapping[str, object], *below: str) -> dict[str, LimitValue]:
        found: dict[str, LimitValue] = {}
        for name, raw in sizes.items():
            at = (*path, "limits", name, *below)
            if (misplaced := self._misplaced(at, name, raw)) is not None:
                self._report.add(at, misplaced)
                continue
            if not self._is_known(at, name, "limits") or name not in self._definitions:
                continue
            if ("limits", name, "unit") in self._report.faulty:  # bytes or not: it decides how the size is read
                continue
            try:
                if has_overage(raw):
                    found[name] = read_overage(self._definitions[name], raw)
                    continue
                found[name], window = read_size(self._definitions[name], raw)
                if window is not None:
                    self._check_window(at, raw, window)
            except ValueError as error:
                self._report.add(at, error)
        return found

    def _misplaced(self, at: Path, name: str, raw: object) -> InvalidValue | None:
        """Return the error of a part of a size in place of a limit, and of a word that no size has."""
        if ("limits", name) not in self._vocabulary.defined and (error := misplaced_size(name)):
            return error
        if not isinstance(raw, Mapping) or not raw or any(word in KEYS for word in raw):
            return None
        if at[0] != "add_ons":
            return (
                InvalidValue("only an add-on adds or sets", "write the size")
                if any(map(CHANGES.__contains__, raw))
                else None
            )
        word = next(iter(raw))
        cure = did_you_mean(word, (*CHANGES, *KEYS)) or "write adds or sets, such as {adds: 5} or {sets: 500}"
        return InvalidValue(f"{shown(word)} is no word for what an add-on does to a limit", cure)

    def _check_window(self, at: Path, raw: object, window: int) -> None:
        """Raise `InvalidValue` if the window differs from the first that was written for this rate."""
        first, where = self.windows.setdefault(str(at[-1]), (window, at))
        if window != first:
            every = window_in_words(first)
            problem = f"{shown(raw)} has another window than {self._report.location(where)}, which counts per {every}"
            cure = f"write it per {every}: a rate has one window in every tier and add-on"
            raise InvalidValue(problem, cure)

    def _is_known(self, at: Path, name: str, section: str) -> bool:
        """Return True if *section* defines *name*; report it if not."""
        error = self._vocabulary.unknown(name, section)
        if error is not None:
            self._report.add(at, error)
        return error is None
