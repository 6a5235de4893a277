"""What only the whole policy can tell: names used twice, tiers that do not exist, trials that cannot be."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from entitlements.model.limits import NOT_INCLUDED, Algorithm
from entitlements.model.names import MAX_NAME, check_id
from entitlements.model.policy import NO_LEVEL
from entitlements.policy.errors import Absent, Misread, shown
from entitlements.policy.schema_models import RateShape
from entitlements.policy.values import nodes_above
from entitlements.policy.vocabulary import SECTIONS
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Node, Path, keys_of, node_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from entitlements.policy.parts import Part
    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document
    from entitlements.policy.vocabulary import Vocabulary

STRANGERS = ("deny", "raise")
"""What `unknown_account` may say beside a tier."""


def check_document(root: Branch, document: Document, vocabulary: Vocabulary, *, report: Report) -> None:
    """Report what is wrong between the sections."""
    _check_head(root, document, vocabulary, report)
    _check_definitions(root, document, report)
    _check_tiers(root, document, report)
    _check_aliases(document, vocabulary, report)
    _check_trials(document, vocabulary, report)
    _check_offers(document, vocabulary, report)
    for path in _lists(root):
        _check_repeats(root, path, report)


def check_use(root: Branch, vocabulary: Vocabulary, parts: Iterable[Part], *, report: Report) -> None:
    """Report names that values share with features and limits, and names that nothing uses."""
    _check_value_keys(vocabulary, parts, report)
    used = {*_named(root), *vocabulary.services}
    for name, section in vocabulary.kinds.items():
        if name in used or name in vocabulary.speller.meant or (section, name) in report.faulty:
            continue
        if section == "limits":
            report.warn(
                (section, name), Misread(f"no tier names the limit {name!r}", "give it to a tier, or remove it")
            )
        else:
            what = Absent(f"no tier and no add-on has the feature {name!r}", "give it to a tier, or remove it")
            report.error((section, name), what)


def _named(root: Branch) -> Iterator[str]:
    """Find what tiers and add-ons name, be it well or badly written."""
    bundles = [(section, id) for section in ("tiers", "add_ons") for id in keys_of(root, section)]
    for path in ((*bundle, each) for bundle in bundles for each in SECTIONS):
        node = node_at(root, path)
        if isinstance(node, Branch):
            yield from node.nodes
        else:
            listed = node.nodes if isinstance(node, Items) else (node,)
            texts = (each.value for each in listed if isinstance(each, Leaf) and isinstance(each.value, str))
            yield from (name for text in texts for name in (text, text.partition(":")[0]))


def _check_head(root: Branch, document: Document, vocabulary: Vocabulary, report: Report) -> None:
    head = document.policy
    if node_at(root, ("policy", "version")) is None:
        report.error(("policy", "version"), Absent("the policy has no version", "write policy: {version: 1}"))
    elif head.version is not None:
        try:
            check_id(head.version, "version")
        except ValueError as error:
            problem, _, cure = str(error).partition("; ")
            report.error(("policy", "version"), Misread(problem, cure or "write a short text"))
    tiers = node_at(root, ("tiers",))
    if tiers is None or (isinstance(tiers, Branch) and not tiers.nodes):
        report.error(("tiers",), Absent("the policy has no tier", "write at least one: tiers: {free: {rank: 1}}"))
    if head.unknown_account not in STRANGERS:
        what = vocabulary.unknown_tier(head.unknown_account)
        if head.unknown_account in vocabulary.trials:
            what = Misread(f"{head.unknown_account!r} is a trial plan, which ends", "name another tier")
        if what is not None:
            what.cure += ", or write deny or raise"
            report.error(("policy", "unknown_account"), what)


def _check_definitions(root: Branch, document: Document, report: Report) -> None:
    """Report names that two sections define, impossible levels, and bursts that no bucket has."""
    first: dict[str, Path] = {}
    for section in SECTIONS:
        for name in keys_of(root, section):
            if name in first:
                where = f"{first[name][0]} ({report.where(first[name])})"
                what = Misread(f"{name!r} is already defined under {where}", "give one of the two another name")
                report.error((section, name), what)
            first.setdefault(name, (section, name))
            if len(name) > MAX_NAME:
                what = Misread(f"{shown(name)} is too long; names are at most {MAX_NAME} characters", "shorten it")
                report.error((section, name), what)
    for name, levels in document.levels.items():
        if NO_LEVEL in levels[1:]:
            report.error(("levels", name), Misread(f"{NO_LEVEL!r} is not the lowest level", "write it first"))
        if NOT_INCLUDED.value in levels:
            report.error(("levels", name), Misread(f"{NOT_INCLUDED.value!r} is no level", f"call it {NO_LEVEL!r}"))
    for name, limit in document.limits.items():
        if isinstance(limit, RateShape) and limit.burst is not None and limit.algorithm is not Algorithm.TOKEN_BUCKET:
            what = Misread("only a token bucket has a burst", "write algorithm: token-bucket, or leave burst out")
            report.error(("limits", name, "burst"), what)


def _check_tiers(root: Branch, document: Document, report: Report) -> None:
    for id in document.tiers:
        if node_at(root, ("tiers", id, "rank")) is None:
            unranked = Absent(f"tier {id!r} has no rank", "write rank: 1, and a higher rank for a higher tier")
            report.error(("tiers", id, "rank"), unranked)
        if id in STRANGERS:
            what = Misread(f"{id!r} is a word of unknown_account", "give the tier another name")
            report.error(("tiers", id), what)


def _check_aliases(document: Document, vocabulary: Vocabulary, report: Report) -> None:
    owners: dict[str, str] = {}
    for id, shape in document.tiers.items():
        for alias in dict.fromkeys(shape.aliases):
            at = report.item(("tiers", id, "aliases"), alias)
            if alias in vocabulary.tiers:
                report.error(at, Misread(f"the alias {shown(alias)} is the id of a tier", "remove it"))
            elif alias in owners:
                what = Misread(
                    f"the alias {shown(alias)} belongs to tier {owners[alias]!r} already", "keep one of the two"
                )
                report.error(at, what)
            owners.setdefault(alias, id)


def _check_trials(document: Document, vocabulary: Vocabulary, report: Report) -> None:
    for id, shape in document.tiers.items():
        if shape.trial is None:
            continue
        at, terms = ("tiers", id, "trial"), shape.trial
        if what := _bad_fallback(id, document, vocabulary):
            report.error((*at, "then"), what)
        shortest, longest = terms.shortest or terms.of, terms.longest or terms.of
        if terms.shortest and terms.longest and shortest > longest:
            report.error((*at, "from"), Misread("from is longer than to", "exchange the two"))
        elif not shortest <= terms.of <= longest:
            report.error((*at, "of"), Misread("of is not within from and to", "write a length between the two"))


def _bad_fallback(id: str, document: Document, vocabulary: Vocabulary) -> Misread | None:
    """Return why the tier that remains after a trial cannot be it."""
    shape = document.tiers[id]
    then = shape.trial.then if shape.trial else ""
    if then == id:
        return Misread(f"the trial of {id!r} ends in itself", "name the tier that remains")
    if what := vocabulary.unknown_tier(then):
        return what
    if then in vocabulary.trials:
        return Misread(f"{then!r} is a trial plan too", "name a tier that remains")
    rank = document.tiers[then].rank if then in document.tiers else None
    if rank is not None and shape.rank is not None and rank > shape.rank:
        return Misread(f"{then!r} has a higher rank than the trial", "let the trial have at least that rank")
    return None


def _check_offers(document: Document, vocabulary: Vocabulary, report: Report) -> None:
    for name, shape in document.add_ons.items():
        for tier in dict.fromkeys(shape.tiers):
            if what := vocabulary.unknown_tier(tier):
                report.error(report.item(("add_ons", name, "tiers"), tier), what)


def _lists(root: Branch) -> Iterator[Path]:
    """Find the lists of names: nothing is gained by a name that stands twice in one."""
    yield from (("levels", name) for name in keys_of(root, "levels"))
    for section, lists in (("tiers", ("features", "without", "aliases")), ("add_ons", ("features", "tiers"))):
        yield from ((section, id, each) for id in keys_of(root, section) for each in lists)


def _check_repeats(root: Branch, path: Path, report: Report) -> None:
    items: Node | None = node_at(root, path)
    if not isinstance(items, Items):
        return
    texts = [node.value if isinstance(node, Leaf) and isinstance(node.value, str) else None for node in items.nodes]
    repeated = {text for text, times in Counter(texts).items() if text is not None and times > 1}
    seen: set[str] = set()
    for at, text in enumerate(texts):
        if text in seen:
            report.error((*path, at), Misread(f"{shown(text)} stands twice in the list", "keep one of the two"))
        elif text is not None and text in repeated:
            seen.add(text)


def _check_value_keys(vocabulary: Vocabulary, parts: Iterable[Part], report: Report) -> None:
    """Report keys and nodes of values that are called like a feature or a limit, once each."""
    told: set[str] = set()
    for part in parts:
        for key, path in part.paths.items():
            for name in (key, *nodes_above(key)):
                section = vocabulary.kinds.get(name)
                if section is not None and name not in told:
                    told.add(name)
                    where = report.where((section, name))
                    kind = SECTIONS[section]
                    what = Misread(
                        f"the value {name!r} is called like a {kind} ({where})", "give one of the two another name"
                    )
                    report.error(path, what)
