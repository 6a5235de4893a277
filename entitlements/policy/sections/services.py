"""
The section `services`: the catalogue, and the services of each tier.

Every service is also a feature, `service.<id>`. Tiers get it from the variant in force;
add-ons and overrides name it like any other feature. A tier that extends another inherits
its services; 0 times per year removes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from entitlements.model.criteria import AssignmentRules
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.policy import Feature
from entitlements.model.services import Service, Services
from entitlements.policy.inheritance import lineage
from entitlements.policy.report import Report
from entitlements.policy.schema_tiering import ServiceShape, ServicesShape
from entitlements.policy.sections.segmentations import check_number
from entitlements.policy.vocabulary import BuildContext
from entitlements.policy.yaml.tree import Path

SECTION = "services"


def read_services(context: BuildContext, assignment: AssignmentRules | None) -> Services | None:
    """Return the valid parts of the section; None if the policy has no such section."""
    shape, report = context.document.services, context.report
    if shape is None:
        return None
    _check_figures(shape, report)
    catalogue = {id: _service(id, each, shape, context) for id, each in shape.catalogue.items()}
    _check_features(context)
    variants = {name: FrozenDict(_variant(name, shape, context)) for name in shape.variants}
    return Services(
        FrozenDict(catalogue),
        FrozenDict(variants),
        _variant_in_force(shape, report),
        _reference_criterion(shape, assignment, report),
        shape.over,
        shape.under,
    )


def service_features(services: Services | None) -> dict[str, Feature]:
    """Return the features that the services define."""
    catalogue = services.catalogue.values() if services else ()
    return {service.feature: Feature(service.feature, about=service.about) for service in catalogue}


def _service(id: str, shape: ServiceShape, section: ServicesShape, context: BuildContext) -> Service:
    path, document = (SECTION, "catalogue", id), context.document
    if shape.about is None and (*path, "about") not in context.report.faulty:
        context.report.missing((*path, "about"), f"nobody can tell what {id!r} is", "write about: <what it is>")
    margin = section.margin if shape.margin is None else shape.margin
    service = Service(id, shape.name or id, shape.about or "", shape.cost, margin, shape.times, shape.self_service)
    if service.feature in {*document.features, *document.levels, *document.limits}:
        problem = f"{service.feature!r} is defined in another section too"
        context.report.error(path, problem, "remove it there")
    return service


def _check_figures(shape: ServicesShape, report: Report) -> None:
    figures: dict[Path, Decimal | None] = {
        (SECTION, name): getattr(shape, name) for name in ("margin", "over", "under")
    }
    for id, service in shape.catalogue.items():
        figures |= {(SECTION, "catalogue", id, name): getattr(service, name) for name in ("cost", "margin")}
    for path, figure in figures.items():
        if figure is not None and figure < 0:
            report.error(path, f"{figure} is negative", "write 0 or more")
    if shape.over is not None and shape.under is not None and shape.under > shape.over:
        report.error((SECTION, "under"), "under is above over", "exchange the two")


def _check_features(context: BuildContext) -> None:
    """Report services among the features of a tier: only variants give services to tiers."""
    for tier, shape in context.document.tiers.items():
        for name in shape.features:
            if name in context.vocabulary.services:
                at = context.report.item(("tiers", tier, "features"), name)
                context.report.error(at, f"{name!r} is a service", f"give it to {tier!r} under services.variants")


def _variant(name: str, shape: ServicesShape, context: BuildContext) -> dict[str, Mapping[str, Decimal]]:
    """Return the services of every tier in a variant, with those that it inherits."""
    path, own = (SECTION, "variants", name), shape.variants[name]
    for tier, services in own.items():
        context.check_tier((*path, tier), tier)
        for id in services:
            if id not in shape.catalogue:
                close = context.vocabulary.speller.suggest(id, tuple(shape.catalogue))
                cure = close or "define it under services.catalogue"
                context.report.missing((*path, tier, id), f"there is no service {id!r}", cure)
    given: dict[str, Mapping[str, Decimal]] = {}
    for tier in context.document.tiers:
        found: dict[str, Decimal] = {}
        for each in reversed(lineage(tier, context.document)):
            found |= own.get(each, {})
        given[tier] = FrozenDict({id: times for id, times in found.items() if times})
    return given


def _variant_in_force(shape: ServicesShape, report: Report) -> str:
    path, first = (SECTION, "variant"), next(iter(shape.variants), "")
    if shape.variant is None:
        if len(shape.variants) > 1:
            report.missing(path, "there are several variants, and none is chosen", f"write variant: {first}")
        return first
    if shape.variant not in shape.variants:
        known = ", ".join(shape.variants) or "none"
        report.missing(path, f"there is no variant {shape.variant!r}", f"there are: {known}")
    return shape.variant


def _reference_criterion(shape: ServicesShape, assignment: AssignmentRules | None, report: Report) -> str:
    """Return the criterion that costs are compared with; the binding criterion if none is named."""
    if shape.against is not None:
        criteria = {} if assignment is None else assignment.criteria
        check_number(shape.against, criteria, (SECTION, "against"), report)
        return shape.against
    return "" if assignment is None else assignment.binding
