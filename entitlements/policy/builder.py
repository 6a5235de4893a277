"""Build the policy from the tree of all files: names first, then tiers and add-ons, then inheritance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any, TypeVar

from entitlements.errors import PolicyError
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.instants import MICROSECOND
from entitlements.model.limits import Allocation, Limit, NotIncluded, OnOutage, Quota, Rate
from entitlements.model.policy import AddOn, Feature, PolicyData
from entitlements.model.services import with_services
from entitlements.model.tier import Tier
from entitlements.policy.consistency import check_document, check_usage
from entitlements.policy.inheritance import resolve_tiers
from entitlements.policy.leases import check_leases
from entitlements.policy.parts import PartReader, TierPart
from entitlements.policy.report import Report
from entitlements.policy.schema_models import AddOnShape, AllocationShape, Document, QuotaShape, RateShape
from entitlements.policy.sections.add_ons import check_add_ons
from entitlements.policy.sections.assignment import read_assignment
from entitlements.policy.sections.prices import check_prices, price_in_words
from entitlements.policy.sections.readable_values import check_readable_values, check_transitions
from entitlements.policy.sections.routes import read_routes
from entitlements.policy.sections.segmentations import read_segmentations
from entitlements.policy.sections.services import read_services, service_features
from entitlements.policy.size_limits import check_size
from entitlements.policy.tier_warnings import check_tiers
from entitlements.policy.time_zones import find_zone
from entitlements.policy.validation import validate
from entitlements.policy.vocabulary import BuildContext, collect_vocabulary
from entitlements.policy.yaml.tree import Branch, Path

P = TypeVar("P", bound=PolicyData)
T = TypeVar("T")

_KINDS: dict[str, type[Rate | Quota | Allocation]] = {"rate": Rate, "quota": Quota, "allocation": Allocation}


def build(kind: type[P], root: Branch, report: Report) -> P:
    """
    Return the policy in the tree *root*, as an instance of *kind*.

    Raises:
        PolicyError: With all errors and warnings, if there is an error.
    """
    report.root = root
    document = validate(root, report)
    fields = _fields(BuildContext(root, document, collect_vocabulary(root, document), report))
    if report.failed:
        raise PolicyError(report.problems)
    return kind(
        version=document.policy.version or "",
        unknown_account=document.policy.unknown_account,
        currency=document.policy.currency,
        time_zone=document.policy.time_zone or UTC,
        zones=find_zone,
        warnings=report.problems,
        **fields,
    )


def _fields(context: BuildContext) -> dict[str, Any]:
    """Return the sections of the policy as far as they are sound; report the rest."""
    document, report = context.document, context.report
    check_document(context)
    limits = {name: _limit(name, shape) for name, shape in document.limits.items()}
    reader = PartReader(context, limits)
    parts = {tier: reader.part(("tiers", tier), shape) for tier, shape in document.tiers.items()}
    add_ons = {name: reader.part(("add_ons", name), shape) for name, shape in document.add_ons.items()}
    check_size(context, (*parts.values(), *add_ons.values()))
    check_usage(context, (*parts.values(), *add_ons.values()))
    check_leases(context, parts, add_ons)
    tiers = resolve_tiers(context, parts)
    check_tiers(context, tiers, parts)
    assignment = read_assignment(context)
    check_readable_values(context, parts, add_ons, tiers)
    check_transitions(context, parts, tiers, assignment)
    check_add_ons(context, add_ons, tiers)
    check_prices(context, parts, tiers)
    services = read_services(context, assignment)
    return {
        "assignment": assignment,
        "services": services,
        "segmentations": read_segmentations(context, assignment),
        "routes": read_routes(context, limits),
        "tiers": FrozenDict(tiers) if services is None else with_services(tiers, services),
        "features": FrozenDict(_features(document) | service_features(services)),
        "limits": FrozenDict({name: _with_window(limit, reader) for name, limit in limits.items()}),
        "add_ons": FrozenDict(
            {name: _add_on(name, shape, add_ons[name], report, tiers) for name, shape in document.add_ons.items()}
        ),
    }


def _features(document: Document) -> dict[str, Feature]:
    switches = {name: Feature(name, about=about) for name, about in document.features.items()}
    return switches | {name: Feature(name, tuple(levels)) for name, levels in document.levels.items()}


def _limit(name: str, shape: RateShape | QuotaShape | AllocationShape) -> Limit:
    """Return the definition of a limit; a rate has no window yet."""
    given = dict(shape)
    kind, deadline = given.pop("kind"), given.pop("deadline")
    given["on_outage"] = OnOutage(given["on_outage"])
    if deadline is not None:
        given["deadline"] = deadline // MICROSECOND
    return _KINDS[kind](name, **given)


def _with_window(limit: Limit, reader: PartReader) -> Limit:
    if isinstance(limit, Rate) and limit.name in reader.windows:
        return replace(limit, window=reader.windows[limit.name][0])
    return limit


def _add_on(name: str, shape: AddOnShape, part: TierPart, report: Report, tiers: Mapping[str, Tier]) -> AddOn:
    """Return an add-on; it can only add, so `not-included` in it is an error."""
    path = ("add_ons", name)
    for key in set(part.values).difference(part.written):
        report.error(part.paths[key], *_TAKES_AWAY)
    return AddOn(
        name,
        tiers=tuple(shape.tiers),
        features=part.features,
        levels=_additions(part.levels, (*path, "levels"), report),
        limits=_additions(part.limits, (*path, "limits"), report),
        values=FrozenDict({key: part.values[key] for key in part.written}),
        price=shape.price or price_in_words(name, [tiers[id] for id in shape.tiers or tiers if id in tiers]),
        about=shape.about,
        sets=_additions(part.sets, (*path, "limits"), report),
        requires=tuple(shape.requires),
        excludes=tuple(shape.excludes),
        at_least=shape.at_least or shape.step,
        at_most=shape.at_most,
        step=shape.step,
        retired=shape.retired,
    )


def _additions(found: Mapping[str, T | NotIncluded], path: Path, report: Report) -> FrozenDict[str, T]:
    """Return the levels or limits that an add-on adds; report `not-included` among them."""
    for name, value in found.items():
        if isinstance(value, NotIncluded):
            report.error((*path, name), *_TAKES_AWAY)
    return FrozenDict({name: value for name, value in found.items() if not isinstance(value, NotIncluded)})


_TAKES_AWAY = ("an add-on cannot take away", "remove the key; an override takes away")
