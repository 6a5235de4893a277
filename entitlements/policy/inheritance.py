"""Whole tiers: what each inherits through `extends`, drops, and writes itself."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from entitlements.model.instants import MICROSECOND
from entitlements.model.limits import LimitValue, NotIncluded
from entitlements.model.policy import Tier, TrialTerms
from entitlements.policy.errors import Absent, Misread
from entitlements.policy.sizes import MAX_EXTENDS
from entitlements.policy.values import nodes_above, overlaid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from entitlements.policy.parts import Part
    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document, TierShape, TrialShape
    from entitlements.policy.vocabulary import Speller, Vocabulary


V = TypeVar("V")


def whole_tiers(
    document: Document, parts: Mapping[str, Part], vocabulary: Vocabulary, *, report: Report
) -> dict[str, Tier]:
    """Return every tier with what it inherits, in the order of the files."""
    parents = _parents(document, vocabulary, report)
    known = {*vocabulary.kinds, *_keys_and_nodes(key for part in parts.values() for key in part.written)}
    tiers: dict[str, Tier] = {}
    depths: dict[str | None, int] = {None: -1}
    for id in _parents_first(parents, report):
        parent = parents[id]
        depths[id] = depths[parent] + 1
        if depths[id] > MAX_EXTENDS:
            report.error(("tiers", id, "extends"), _TOO_DEEP)
            parent, depths[id] = None, 0
        shape, part = document.tiers[id], parts[id]
        base = tiers[parent] if parent is not None else _NOTHING
        _check_dropped(id, shape, base, known=known, speller=vocabulary.speller, report=report)
        _check_unwritten(part, known, vocabulary.speller, report)
        tiers[id] = _tier(id, shape, part, _without(base, shape.without))
    return {id: tiers[id] for id in document.tiers}


def _keys_and_nodes(keys: Iterable[str]) -> set[str]:
    return {name for key in keys for name in (key, *nodes_above(key))}


_NOTHING = Tier("", 0, "")

_TOO_DEEP = Misread(
    f"extends more than {MAX_EXTENDS} tiers, each through the one before", "let it extend one further up, or none"
)


def _parents(document: Document, vocabulary: Vocabulary, report: Report) -> dict[str, str | None]:
    """Return the parent of each tier; one that nobody knows is reported and counts as none."""
    parents: dict[str, str | None] = {}
    for id, shape in document.tiers.items():
        what = vocabulary.unknown_tier(shape.extends) if shape.extends is not None else None
        if what is not None:
            report.error(("tiers", id, "extends"), what)
        parents[id] = shape.extends if shape.extends in document.tiers else None
    return parents


def _parents_first(parents: dict[str, str | None], report: Report) -> list[str]:
    """Return the tiers so that each comes after its parent; a circle is reported and cut."""
    order: dict[str, None] = {}
    for start in parents:
        trail: dict[str, None] = {}
        id: str | None = start
        while id is not None and id not in order and id not in trail:
            trail[id] = None
            id = parents[id]
        if id is not None and id in trail:
            *_, last = trail
            circle = list(trail)[list(trail).index(id) :]
            report.error(("tiers", last, "extends"), _circle(circle))
            parents[last] = None
        order.update(dict.fromkeys(reversed(trail)))
    return list(order)


def _circle(circle: list[str]) -> Misread:
    if len(circle) == 1:
        return Misread(f"{circle[0]!r} extends itself", "remove extends, or name another tier")
    around = " extends ".join(repr(id) for id in (*circle, circle[0]))
    return Misread(f"the tiers extend each other in a circle: {around}", "remove one extends")


def _without(base: Tier, names: list[str]) -> Tier:
    """Return the parent *base* as far as the child wants it."""
    if not names:
        return base
    dropped = set(names)

    def kept(name: str) -> bool:
        return name not in dropped and dropped.isdisjoint(nodes_above(name))

    return Tier(
        base.id,
        base.rank,
        base.name,
        features=base.features - dropped,
        levels={name: level for name, level in base.levels.items() if name not in dropped},
        limits={name: size for name, size in base.limits.items() if name not in dropped},
        values={key: value for key, value in base.values.items() if kept(key)},
        origins=base.origins,
    )


def _tier(id: str, shape: TierShape, part: Part, base: Tier) -> Tier:
    features = base.features | part.features
    levels: dict[str, str] = _replaced(base.levels, part.levels)
    limits: dict[str, LimitValue] = _replaced(base.limits, part.limits)
    values = overlaid(base.values, part.values)
    own = dict.fromkeys((*part.features, *part.levels, *part.limits, *part.values), id)
    names = {*features, *levels, *limits, *values}
    return Tier(
        id,
        rank=shape.rank or 0,
        name=shape.name or id,
        aliases=tuple(shape.aliases),
        features=features,
        levels=MappingProxyType(levels),
        limits=MappingProxyType(limits),
        values=MappingProxyType(values),
        trial=_terms(shape.trial) if shape.trial else None,
        origins=MappingProxyType({name: by for name, by in {**base.origins, **own}.items() if name in names}),
    )


def _replaced(base: Mapping[str, V], own: Mapping[str, V | NotIncluded]) -> dict[str, V]:
    """Return *base* as *own* replaces it, without what *own* drops."""
    kept = {name: value for name, value in base.items() if name not in own}
    return kept | {name: value for name, value in own.items() if not isinstance(value, NotIncluded)}


def _terms(shape: TrialShape) -> TrialTerms:
    """Return the terms of a trial plan; without bounds it lasts exactly as long as it says."""
    shortest, longest = shape.shortest or shape.of, shape.longest or shape.of
    return TrialTerms(shape.of // MICROSECOND, shortest // MICROSECOND, longest // MICROSECOND, shape.then)


def _check_dropped(id: str, shape: TierShape, base: Tier, *, known: set[str], speller: Speller, report: Report) -> None:
    """Report names under `without` that nobody knows, and those that are not inherited."""
    inherited = {*base.features, *base.levels, *base.limits, *_keys_and_nodes(base.values)}
    own = {*shape.features, *shape.levels, *shape.limits}
    for name in shape.without:
        at = report.item(("tiers", id, "without"), name)
        if name not in known:
            close = speller.suggest(name, known)
            report.error(at, Absent(f"nothing is called {name!r}", close or "remove it from without"))
        elif name in own:
            report.error(at, Misread(f"{name!r} is dropped and given in the same tier", "keep one of the two"))
        elif name not in inherited and (base is not _NOTHING or shape.extends is None):
            report.warn(at, Misread(f"{name!r} is not inherited, so nothing is dropped", "remove it from without"))


def _check_unwritten(part: Part, known: set[str], speller: Speller, report: Report) -> None:
    """Report values that are dropped by a key that no tier writes."""
    for key, value in part.values.items():
        if isinstance(value, NotIncluded) and key not in known:
            close = speller.suggest(key, known)
            report.error(part.paths[key], Absent(f"no tier has a value {key!r} to drop", close or "remove the key"))
