"""Checks across sections: duplicate names, undefined tiers, trial terms, unused names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from entitlements.model.limits import NOT_INCLUDED, Algorithm
from entitlements.model.names import MAX_NAME, check_id, shown
from entitlements.model.policy import NO_LEVEL, nodes_above
from entitlements.policy.errors import InvalidValue
from entitlements.policy.parts import TierPart
from entitlements.policy.schema_models import RateShape, TierShape
from entitlements.policy.vocabulary import SECTIONS, BuildContext
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Path, keys_of, node_at

UNKNOWN_ACCOUNT_WORDS = ("deny", "raise")
"""Words that `unknown_account` may hold instead of a tier."""

_RESERVED = (*UNKNOWN_ACCOUNT_WORDS, "unknown_account")
"""Words that stand where a tier may: in `unknown_account`, and in `when_down` of a cache of accounts."""


def check_document(context: BuildContext) -> None:
    """Report contradictions within and between the sections."""
    _check_head(context)
    _check_definitions(context)
    _check_levels_and_bursts(context)
    _check_tiers(context)
    _check_aliases(context)
    _check_trials(context)
    for name, shape in context.document.add_ons.items():
        for tier in dict.fromkeys(shape.tiers):
            context.check_tier(context.report.item(("add_ons", name, "tiers"), tier), tier)
    for path in _name_lists(context.root):
        _check_duplicates(context, path)


def check_usage(context: BuildContext, parts: Iterable[TierPart]) -> None:
    """Report value keys with the name of a feature or limit, and names that no tier uses."""
    _check_value_keys(context, parts)
    vocabulary, report = context.vocabulary, context.report
    used = {*_used_names(context.root), *vocabulary.services}
    for name, section in vocabulary.kinds.items():
        if name in used or name in vocabulary.speller.suggested or (section, name) in report.faulty:
            continue
        cure = "give it to a tier, or remove it"
        if section == "limits":
            report.warn((section, name), f"no tier names the limit {name!r}", cure)
        else:
            report.missing((section, name), f"no tier and no add-on has the feature {name!r}", cure)


def _used_names(root: Branch) -> Iterator[str]:
    """Find the names that tiers and add-ons use, also in entries that are not valid."""
    bundles = [(section, id) for section in ("tiers", "add_ons") for id in keys_of(root, section)]
    for path in ((*bundle, each) for bundle in bundles for each in SECTIONS):
        node = node_at(root, path)
        if isinstance(node, Branch):
            yield from node.nodes
        else:
            listed = node.nodes if isinstance(node, Items) else (node,)
            texts = (each.value for each in listed if isinstance(each, Leaf) and isinstance(each.value, str))
            yield from (name for text in texts for name in (text, text.partition(":")[0]))


def _check_head(context: BuildContext) -> None:
    head, report = context.document.policy, context.report
    if node_at(context.root, ("policy", "version")) is None:
        report.missing(("policy", "version"), "the policy has no version", "write policy: {version: 1}")
    elif head.version is not None:
        try:
            check_id(head.version, "version")
        except ValueError as error:
            problem, _, cure = str(error).partition("; ")
            report.error(("policy", "version"), problem, cure or "write a short text")
    tiers = node_at(context.root, ("tiers",))
    if tiers is None or (isinstance(tiers, Branch) and not tiers.nodes):
        report.missing(("tiers",), "the policy has no tier", "write at least one: tiers: {free: {rank: 1}}")
    if head.unknown_account not in UNKNOWN_ACCOUNT_WORDS:
        invalid = context.vocabulary.unknown_tier(head.unknown_account)
        if head.unknown_account in context.vocabulary.trials:
            invalid = InvalidValue(f"{head.unknown_account!r} is a trial plan, which ends", "name another tier")
        if invalid is not None:
            invalid.cure += ", or write deny or raise"
            report.add(("policy", "unknown_account"), invalid)
        elif (shape := context.document.tiers.get(head.unknown_account)) is not None and shape.retired:
            problem = f"{head.unknown_account!r} is retired, and unknown accounts would have it"
            report.warn(("policy", "unknown_account"), problem, "name a tier that is sold, or write deny or raise")


def _check_definitions(context: BuildContext) -> None:
    """Report names that two sections define, and names that are too long."""
    report = context.report
    first: dict[str, Path] = {}
    for section in SECTIONS:
        for name in keys_of(context.root, section):
            if name in first:
                problem = f"{name!r} is already defined under {first[name][0]} ({report.location(first[name])})"
                report.error((section, name), problem, "give one of the two another name")
            first.setdefault(name, (section, name))
            if len(name) > MAX_NAME:
                problem = f"{shown(name)} is too long; names are at most {MAX_NAME} characters"
                report.error((section, name), problem, "shorten it")


def _check_levels_and_bursts(context: BuildContext) -> None:
    for name, levels in context.document.levels.items():
        if NO_LEVEL in levels[1:]:
            context.report.error(("levels", name), f"{NO_LEVEL!r} is not the lowest level", "write it first")
        for level in levels:
            if level != NO_LEVEL and level.lower() in {NO_LEVEL, NOT_INCLUDED.value}:
                context.report.error(("levels", name), f"{level!r} is no level", f"call it {NO_LEVEL!r}")
    for name, limit in context.document.limits.items():
        if isinstance(limit, RateShape) and limit.burst is not None and limit.algorithm is not Algorithm.TOKEN_BUCKET:
            cure = "write algorithm: token-bucket, or leave burst out"
            context.report.error(("limits", name, "burst"), "only a token bucket has a burst", cure)


def _check_tiers(context: BuildContext) -> None:
    for id in context.document.tiers:
        if node_at(context.root, ("tiers", id, "rank")) is None:
            cure = "write rank: 1, and a higher rank for a higher tier"
            context.report.missing(("tiers", id, "rank"), f"tier {id!r} has no rank", cure)
        if id in _RESERVED:
            context.report.error(("tiers", id), f"{id!r} is a word of unknown_account", "give the tier another name")


def _check_aliases(context: BuildContext) -> None:
    owners: dict[str, str] = {}
    for id, shape in context.document.tiers.items():
        for alias in dict.fromkeys(shape.aliases):
            at = context.report.item(("tiers", id, "aliases"), alias)
            if alias in context.vocabulary.tiers:
                context.report.error(at, f"the alias {shown(alias)} is the id of a tier", "remove it")
            elif alias in owners:
                problem = f"the alias {shown(alias)} belongs to tier {owners[alias]!r} already"
                context.report.error(at, problem, "keep one of the two")
            owners.setdefault(alias, id)


def _check_trials(context: BuildContext) -> None:
    for id, shape in context.document.tiers.items():
        if shape.trial is None:
            continue
        at, terms = ("tiers", id, "trial"), shape.trial
        if error := _fallback_error(context, id, shape, terms.then):
            context.report.add((*at, "then"), error)
        shortest, longest = terms.shortest or terms.of, terms.longest or terms.of
        if terms.shortest and terms.longest and shortest > longest:
            context.report.error((*at, "from"), "from is longer than to", "exchange the two")
        elif not shortest <= terms.of <= longest:
            context.report.error((*at, "of"), "of is not within from and to", "write a length between the two")


def _fallback_error(context: BuildContext, id: str, shape: TierShape, then: str) -> InvalidValue | None:
    """Return the reason why *then* cannot be the tier after the trial plan *id*, or None."""
    if then == id:
        return InvalidValue(f"the trial of {id!r} ends in itself", "name the tier that remains")
    if error := context.vocabulary.unknown_tier(then):
        return error
    if then in context.vocabulary.trials:
        return InvalidValue(f"{then!r} is a trial plan too", "name a tier that remains")
    after = context.document.tiers.get(then)
    if after and after.line != shape.line:
        return InvalidValue(f"{then!r} is in another product line", f"name a tier of line {shape.line or 'none'!r}")
    if after and after.rank is not None and shape.rank is not None and after.rank > shape.rank:
        return InvalidValue(f"{then!r} has a higher rank than the trial", "let the trial have at least that rank")
    return None


def _name_lists(root: Branch) -> Iterator[Path]:
    """Find the lists in which a name may stand only once."""
    yield from (("levels", name) for name in keys_of(root, "levels"))
    yield from (("assignment", "criteria", name, "attributes") for name in keys_of(root, "assignment", "criteria"))
    for section, lists in (
        ("tiers", ("features", "without", "aliases")),
        ("add_ons", ("features", "tiers", "requires", "excludes")),
    ):
        yield from ((section, id, each) for id in keys_of(root, section) for each in lists)
    routes = node_at(root, ("routes",))
    count = len(routes.nodes) if isinstance(routes, Items) else 0
    yield from (("routes", at, each) for at in range(count) for each in ("methods", "requires"))


def _check_duplicates(context: BuildContext, path: Path) -> None:
    items = node_at(context.root, path)
    if not isinstance(items, Items):
        return
    seen: set[str] = set()
    for at, node in enumerate(items.nodes):
        text = node.value if isinstance(node, Leaf) else None
        if isinstance(text, str):
            if text in seen:
                context.report.error((*path, at), f"{shown(text)} stands twice in the list", "keep one of the two")
            seen.add(text)


def _check_value_keys(context: BuildContext, parts: Iterable[TierPart]) -> None:
    """Report keys and inner nodes of values that have the name of a feature or limit, once each."""
    reported: set[str] = set()
    for part in parts:
        for key, path in part.paths.items():
            for name in (key, *nodes_above(key)):
                section = context.vocabulary.kinds.get(name)
                if section is not None and name not in reported:
                    reported.add(name)
                    owner = f"{SECTIONS[section]} ({context.report.location((section, name))})"
                    problem = f"the value {name!r} is called like a {owner}"
                    context.report.error(path, problem, "give one of the two another name")
