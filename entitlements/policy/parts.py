"""What one tier or add-on writes itself, read against the names of the whole policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.model.limits import NOT_INCLUDED, Limit, LimitValue, NotIncluded
from entitlements.policy.errors import Misread, shown
from entitlements.policy.quantities import read_size, window_in_words
from entitlements.policy.values import read_values
from entitlements.policy.yaml.tree import Branch, Path, node_at

if TYPE_CHECKING:
    from entitlements.model.policy import Value
    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import AddOnShape, TierShape
    from entitlements.policy.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Part:
    """
    What stands under one tier or add-on, before anything is inherited.

    Args:
        features: Switches that are on.
        levels: The level of each feature, `NOT_INCLUDED` where an inherited one is dropped.
        limits: The size of each limit, `NOT_INCLUDED` likewise.
        values: The values by dotted key, `NOT_INCLUDED` likewise.
        paths: Where each key of the values stands.
    """

    features: frozenset[str]
    levels: Mapping[str, str | NotIncluded]
    limits: Mapping[str, LimitValue]
    values: Mapping[str, Value | NotIncluded]
    paths: Mapping[str, Path]

    @property
    def written(self) -> list[str]:
        """The keys of the values that it has, not of those that it drops."""
        return [key for key, value in self.values.items() if not isinstance(value, NotIncluded)]


class Reader:
    """
    Reads the parts of one policy.

    Args:
        root: The tree.
        vocabulary: The names that may be used.
        definitions: The limits whose definition is sound, their windows still open.
        report: Takes the problems.
    """

    def __init__(
        self, root: Branch, vocabulary: Vocabulary, definitions: Mapping[str, Limit], *, report: Report
    ) -> None:
        self.windows: dict[str, tuple[int, Path]] = {}
        self._root = root
        self._vocabulary = vocabulary
        self._definitions = definitions
        self._report = report

    def part(self, path: Path, shape: TierShape | AddOnShape) -> Part:
        """Return what the tier or add-on at *path* writes itself."""
        values = read_values(node_at(self._root, (*path, "values")), (*path, "values"), self._report)
        return Part(
            self._features(path, shape.features),
            self._levels(path, shape.levels),
            self._limits(path, shape.limits),
            {key: value for key, (value, _) in values.items()},
            {key: at for key, (_, at) in values.items()},
        )

    def _features(self, path: Path, names: list[str]) -> frozenset[str]:
        found: set[str] = set()
        for name in names:
            if what := self._vocabulary.unknown(name, "features"):
                self._report.error(self._report.item((*path, "features"), name), what)
            else:
                found.add(name)
        return frozenset(found)

    def _levels(self, path: Path, levels: Mapping[str, str]) -> dict[str, str | NotIncluded]:
        found: dict[str, str | NotIncluded] = {}
        for name, level in levels.items():
            at = (*path, "levels", name)
            if self._is_unknown(at, name, "levels"):
                continue
            if level == NOT_INCLUDED.value:
                found[name] = NOT_INCLUDED
            elif what := self._vocabulary.unknown_level(name, level):
                self._report.error(at, what)
            elif name in self._vocabulary.levels:
                found[name] = level
        return found

    def _limits(self, path: Path, sizes: Mapping[str, object]) -> dict[str, LimitValue]:
        found: dict[str, LimitValue] = {}
        for name, raw in sizes.items():
            at = (*path, "limits", name)
            if self._is_unknown(at, name, "limits") or name not in self._definitions:
                continue
            if ("limits", name, "unit") in self._report.faulty:  # nobody can tell whether it counts bytes
                continue
            try:
                found[name], window = read_size(self._definitions[name], raw)
                if window is not None:
                    self._check_window(at, raw, window)
            except ValueError as what:
                self._report.error(at, what)
        return found

    def _check_window(self, at: Path, raw: object, window: int) -> None:
        """Let the first window that is written for a rate be the one of all."""
        first, where = self.windows.setdefault(str(at[-1]), (window, at))
        if window != first:
            every = window_in_words(first)
            raise Misread(
                f"{shown(raw)} has another window than {self._report.where(where)}, which counts per {every}",
                f"write it per {every}: a rate has one window in every tier and add-on",
            )

    def _is_unknown(self, at: Path, name: str, section: str) -> bool:
        what = self._vocabulary.unknown(name, section)
        if what is not None:
            self._report.error(at, what)
        return what is not None
