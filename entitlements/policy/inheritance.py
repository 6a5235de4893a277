"""Inheritance: complete tiers from the parts that each writes, inherits through `extends`, and drops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.instants import MICROSECOND
from entitlements.model.limits import LimitValue, NotIncluded
from entitlements.model.policy import nodes_above
from entitlements.model.tier import Tier, TrialTerms
from entitlements.policy.parts import TierPart
from entitlements.policy.schema_models import Document, TierShape, TrialShape
from entitlements.policy.size_limits import MAX_EXTENDS
from entitlements.policy.values import overlay
from entitlements.policy.vocabulary import BuildContext

V = TypeVar("V")


def resolve_tiers(context: BuildContext, parts: Mapping[str, TierPart]) -> dict[str, Tier]:
    """Return every tier with its inherited contents, in the order of the files."""
    document, report = context.document, context.report
    parents = _parents(context)
    known = {*context.vocabulary.kinds, *_keys_and_nodes(key for part in parts.values() for key in part.written)}
    tiers: dict[str, Tier] = {}
    depths: dict[str | None, int] = {None: -1}
    for id in _parents_first(parents, context):
        parent = parents[id]
        depths[id] = depths[parent] + 1
        if depths[id] > MAX_EXTENDS:
            problem = f"extends more than {MAX_EXTENDS} tiers, each through the one before"
            report.error(("tiers", id, "extends"), problem, "let it extend one further up, or none")
            parent, depths[id] = None, 0
        shape, part = document.tiers[id], parts[id]
        base = tiers[parent] if parent is not None else _NO_TIER
        _check_dropped_names(context, id, base, known)
        _check_dropped_values(context, part, known)
        tiers[id] = _tier(id, shape, part, _without(base, shape.without))
    return {id: tiers[id] for id in document.tiers}


def lineage(id: str, document: Document) -> list[str]:
    """Return the tier and those that it extends; ends at a cycle or after `MAX_EXTENDS`."""
    line: dict[str, None] = {}
    above: str | None = id
    while above is not None and above in document.tiers and above not in line and len(line) <= MAX_EXTENDS:
        line[above] = None
        above = document.tiers[above].extends
    return list(line)


def _keys_and_nodes(keys: Iterable[str]) -> set[str]:
    return {name for key in keys for name in (key, *nodes_above(key))}


_NO_TIER = Tier("", 0, "")


def _parents(context: BuildContext) -> dict[str, str | None]:
    """Return the parent of each tier; an undefined parent is reported and replaced by None."""
    parents: dict[str, str | None] = {}
    for id, shape in context.document.tiers.items():
        if shape.extends is not None:
            context.check_tier(("tiers", id, "extends"), shape.extends)
        parents[id] = shape.extends if shape.extends in context.document.tiers else None
    return parents


def _parents_first(parents: dict[str, str | None], context: BuildContext) -> list[str]:
    """Return the tiers in topological order; a cycle is reported and cut."""
    order: dict[str, None] = {}
    for start in parents:
        trail: dict[str, None] = {}
        id: str | None = start
        while id is not None and id not in order and id not in trail:
            trail[id] = None
            id = parents[id]
        if id is not None and id in trail:
            *_, last = trail
            context.report.error(("tiers", last, "extends"), *_cycle(list(trail)[list(trail).index(id) :]))
            parents[last] = None
        order.update(dict.fromkeys(reversed(trail)))
    return list(order)


def _cycle(tiers: list[str]) -> tuple[str, str]:
    """Return problem and cure of tiers that extend each other."""
    if len(tiers) == 1:
        return f"{tiers[0]!r} extends itself", "remove extends, or name another tier"
    around = " extends ".join(repr(id) for id in (*tiers, tiers[0]))
    return f"the tiers extend each other in a circle: {around}", "remove one extends"


def _without(base: Tier, names: list[str]) -> Tier:
    """Return the parent *base* without the *names* that the child drops."""
    if not names:
        return base
    dropped = set(names)

    def kept(name: str) -> bool:
        return name not in dropped and dropped.isdisjoint(nodes_above(name))

    return replace(
        base,
        features=base.features - dropped,
        levels={name: level for name, level in base.levels.items() if name not in dropped},
        limits={name: size for name, size in base.limits.items() if name not in dropped},
        values={key: value for key, value in base.values.items() if kept(key)},
    )


def _tier(id: str, shape: TierShape, part: TierPart, base: Tier) -> Tier:
    features = base.features | part.features
    levels: dict[str, str] = _overridden(base.levels, part.levels)
    limits: dict[str, LimitValue] = _overridden(base.limits, part.limits)
    values = overlay(base.values, part.values)
    own = dict.fromkeys((*part.features, *part.levels, *part.limits, *part.values), id)
    names = {*features, *levels, *limits, *values}
    return Tier(
        id,
        rank=shape.rank or 0,
        name=shape.name or id,
        aliases=tuple(shape.aliases),
        features=features,
        levels=FrozenDict(levels),
        limits=FrozenDict(limits),
        values=FrozenDict(values),
        trial=_trial_terms(shape.trial) if shape.trial else None,
        origins=FrozenDict({name: by for name, by in {**base.origins, **own}.items() if name in names}),
        line=shape.line or "",
        retired=shape.retired,
    )


def _overridden(base: Mapping[str, V], own: Mapping[str, V | NotIncluded]) -> dict[str, V]:
    """Return *base* updated with *own*, without the names that *own* sets to `not-included`."""
    kept = {name: value for name, value in base.items() if name not in own}
    return kept | {name: value for name, value in own.items() if not isinstance(value, NotIncluded)}


def _trial_terms(shape: TrialShape) -> TrialTerms:
    """Return the terms of a trial plan; a bound that is left out equals the default length."""
    shortest, longest = shape.shortest or shape.of, shape.longest or shape.of
    return TrialTerms(shape.of // MICROSECOND, shortest // MICROSECOND, longest // MICROSECOND, shape.then)


def _check_dropped_names(context: BuildContext, id: str, base: Tier, known: set[str]) -> None:
    """Report names under `without` that are undefined, not inherited, or also given by the tier."""
    shape, report = context.document.tiers[id], context.report
    inherited = {*base.features, *base.levels, *base.limits, *_keys_and_nodes(base.values)}
    own = {*shape.features, *shape.levels, *shape.limits}
    for name in shape.without:
        at = report.item(("tiers", id, "without"), name)
        if name not in known:
            close = context.vocabulary.speller.suggest(name, known)
            report.missing(at, f"nothing is called {name!r}", close or "remove it from without")
        elif name in own:
            report.error(at, f"{name!r} is dropped and given in the same tier", "keep one of the two")
        elif name not in inherited and (base is not _NO_TIER or shape.extends is None):
            report.warn(at, f"{name!r} is not inherited, so nothing is dropped", "remove it from without")


def _check_dropped_values(context: BuildContext, part: TierPart, known: set[str]) -> None:
    """Report value keys that are set to `not-included` and that no tier writes."""
    for key, value in part.values.items():
        if isinstance(value, NotIncluded) and key not in known:
            close = context.vocabulary.speller.suggest(key, known)
            context.report.missing(part.paths[key], f"no tier has a value {key!r} to drop", close or "remove the key")
