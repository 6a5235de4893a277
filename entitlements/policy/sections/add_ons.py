"""Checks of add-ons: what they require and exclude, their quantities, and the limits that they set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.tier import Tier
from entitlements.policy.errors import InvalidValue, MissingValue
from entitlements.policy.parts import TierPart
from entitlements.policy.schema_models import AddOnShape
from entitlements.policy.vocabulary import BuildContext
from entitlements.policy.yaml.tree import Path


def check_add_ons(context: BuildContext, parts: Mapping[str, TierPart], tiers: Mapping[str, Tier]) -> None:
    """Report add-ons that no account can buy, and those whose rules contradict each other."""
    shapes, report = context.document.add_ons, context.report
    for name, shape in shapes.items():
        path: Path = ("add_ons", name)
        for word, others in (("requires", shape.requires), ("excludes", shape.excludes)):
            for other in dict.fromkeys(others):
                if error := _unknown(context, name, other, word):
                    report.add(report.item((*path, word), other), error)
        _check_quantities(context, path, shape)
        _check_requirements(context, name, shape, tiers)
        _check_sizes(context, path, shape, parts[name], tiers)
        if not (shape.features or shape.levels or shape.limits or parts[name].values):
            report.warn(path, f"{name!r} gives nothing to those who buy it", "write features, levels, limits or values")
    for circle in _circles(shapes):
        around = " requires ".join(repr(name) for name in (*circle, circle[0]))
        at = report.item(("add_ons", circle[-1], "requires"), circle[0])
        report.error(at, f"the add-ons require each other in a circle: {around}", "remove one of them from requires")


def _unknown(context: BuildContext, name: str, other: str, word: str) -> InvalidValue | None:
    if other == name:
        return InvalidValue(f"{name!r} {word} itself", "name another add-on, or leave it out")
    if other in context.document.add_ons:
        return None
    close = context.vocabulary.speller.suggest(other, context.document.add_ons)
    return MissingValue(f"there is no add-on {other!r}", close or "define it under add_ons")


def _check_quantities(context: BuildContext, path: Path, shape: AddOnShape) -> None:
    least, most, step, report = shape.at_least or shape.step, shape.at_most, shape.step, context.report
    if least % step:
        cure = f"write {-(-least // step) * step}, or another step"
        report.error((*path, "at_least"), f"{least} is no multiple of the step, {step}", cure)
    elif most is not None and most < least:
        at = (*path, "at_most")
        report.error(at, f"at_most is {most}, below the least quantity {least}", f"write {least} or more")
    elif most is not None and most % step:
        problem = f"{most} is no multiple of the step, {step}, so {most - most % step} can be bought at most"
        report.warn((*path, "at_most"), problem, f"write {most - most % step}")


def _check_requirements(context: BuildContext, name: str, shape: AddOnShape, tiers: Mapping[str, Tier]) -> None:
    """Report an add-on that excludes what it requires, or that requires what its buyers cannot have."""
    shapes, report = context.document.add_ons, context.report
    path: Path = ("add_ons", name)
    needed = list(_required(shapes, name))
    for other in needed:
        one, excluded = (name, other) if other in shape.excludes else (other, name)
        if excluded in shapes[one].excludes:
            at = report.item(("add_ons", one, "excludes"), excluded)
            problem = f"{one!r} excludes {excluded!r}, and {name!r} requires {other!r}"
            report.error(at, problem, f"remove one of the two; as it is, {name!r} cannot be bought")
        missing = [id for id in shape.tiers or tiers if shapes[other].tiers and id not in shapes[other].tiers]
        if missing:
            cure = f"offer {other!r} there too, or {name!r} elsewhere"
            report.warn((*path, "requires"), f"{other!r}, which it requires, is not offered to {missing[0]!r}", cure)
        if shapes[other].retired and not shape.retired:
            cure = f"write retired: true here too, or sell {other!r}"
            report.warn((*path, "requires"), f"{other!r}, which it requires, is retired", cure)
    for count, one in enumerate(needed, start=1):
        for other in needed[count:]:
            if other in shapes[one].excludes or one in shapes[other].excludes:
                problem = f"{name!r} requires {one!r} and {other!r}, which exclude each other"
                report.error((*path, "requires"), problem, "remove one of the two")


def _check_sizes(
    context: BuildContext, path: Path, shape: AddOnShape, part: TierPart, tiers: Mapping[str, Tier]
) -> None:
    """Warn about a size that an add-on sets below that of a tier whose accounts can buy it."""
    for limit, size in part.sets.items():
        for tier in (tiers[id] for id in shape.tiers or tiers if id in tiers):
            has = tier.limits.get(limit, NOT_INCLUDED)
            if size is not NOT_INCLUDED and has is not NOT_INCLUDED and has > size:
                problem = f"it sets {in_words(size)} where tier {tier.id!r} has {in_words(has)}, so buyers lose units"
                cure = f"do not offer it to {tier.id!r}, or write adds"
                context.report.warn((*path, "limits", limit, "sets"), problem, cure)


def _required(shapes: Mapping[str, AddOnShape], name: str) -> Iterator[str]:
    """Yield the add-ons that *name* requires, each through the ones before, without itself."""
    found: dict[str, None] = {name: None}
    waiting = [name]
    while waiting:
        for other in shapes[waiting.pop()].requires:
            if other in shapes and other not in found:
                found[other] = None
                waiting.append(other)
                yield other


def _circles(shapes: Mapping[str, AddOnShape]) -> Iterator[list[str]]:
    """Yield each circle of add-ons that require each other, once."""
    done: set[str] = set()
    for start in shapes:
        trail: dict[str, Iterator[str]] = {} if start in done else {start: iter(shapes[start].requires)}
        while trail:
            name = next(reversed(trail))
            other = next(trail[name], None)
            if other is None:
                done.add(name)
                del trail[name]
            elif other in trail and other != name:
                names = list(trail)
                yield names[names.index(other) :]
            elif other in shapes and other not in done and other not in trail:
                trail[other] = iter(shapes[other].requires)
