"""
The section `services`: the catalogue, and who gets which how often.

Every service is a feature as well, `service.<id>`: tiers get it from the variant in
force, add-ons and overrides name it like any other. A tier that extends another gets
its services too; 0 times takes one away.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from entitlements.model.policy import Feature
from entitlements.model.services import Service, Services
from entitlements.policy.errors import Absent, Misread
from entitlements.policy.sections.segmentations import check_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from entitlements.model.criteria import AssignmentRules
    from entitlements.model.policy import Tier
    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document
    from entitlements.policy.schema_tiering import ServiceShape, ServicesShape
    from entitlements.policy.vocabulary import Vocabulary
    from entitlements.policy.yaml.tree import Path

SECTION = "services"


def read_services(
    document: Document, vocabulary: Vocabulary, assignment: AssignmentRules | None, *, report: Report
) -> Services | None:
    """Return the services of the policy, as far as they are sound; None where it has none."""
    shape = document.services
    if shape is None:
        return None
    _check_figures(shape, report)
    catalogue = {id: _service(id, each, shape, document, report) for id, each in shape.catalogue.items()}
    _check_features(document, vocabulary, report)
    variants = {
        name: MappingProxyType(_variant(name, shape, document, catalogue, vocabulary, report))
        for name in shape.variants
    }
    return Services(
        MappingProxyType(catalogue),
        MappingProxyType(variants),
        _chosen(shape, report),
        _against(shape, assignment, report),
        shape.over,
        shape.under,
    )


def service_features(services: Services | None) -> dict[str, Feature]:
    """Return the switches that the services are."""
    catalogue = services.catalogue.values() if services else ()
    return {service.feature: Feature(service.feature, about=service.about) for service in catalogue}


def with_services(tiers: Mapping[str, Tier], services: Services | None) -> dict[str, Tier]:
    """Return the tiers with the services that the variant in force gives them switched on."""
    return {id: tier if services is None else _served(tier, services) for id, tier in tiers.items()}


def _served(tier: Tier, services: Services) -> Tier:
    own = [services.catalogue[id].feature for id in services.frequencies(tier.id) if id in services.catalogue]
    origins = MappingProxyType({**tier.origins, **dict.fromkeys(own, tier.id)})
    return replace(tier, features=tier.features | frozenset(own), origins=origins)


def _service(id: str, shape: ServiceShape, of: ServicesShape, document: Document, report: Report) -> Service:
    path = (SECTION, "catalogue", id)
    if shape.about is None and (*path, "about") not in report.faulty:
        report.error((*path, "about"), Absent(f"nobody can tell what {id!r} is", "write about: <what it is>"))
    margin = of.margin if shape.margin is None else shape.margin
    service = Service(id, shape.name or id, shape.about or "", shape.cost, margin, shape.times, shape.self_service)
    if service.feature in {*document.features, *document.levels, *document.limits}:
        what = Misread(f"{service.feature!r} is defined in another section too", "remove it there")
        report.error(path, what)
    return service


def _check_figures(shape: ServicesShape, report: Report) -> None:
    figures: dict[Path, Decimal | None] = {
        (SECTION, name): getattr(shape, name) for name in ("margin", "over", "under")
    }
    for id, service in shape.catalogue.items():
        figures |= {(SECTION, "catalogue", id, name): getattr(service, name) for name in ("cost", "margin")}
    for path, figure in figures.items():
        if figure is not None and figure < 0:
            report.error(path, Misread(f"{figure} is negative", "write 0 or more"))
    if shape.over is not None and shape.under is not None and shape.under > shape.over:
        report.error((SECTION, "under"), Misread("under is above over", "exchange the two"))


def _check_features(document: Document, vocabulary: Vocabulary, report: Report) -> None:
    """Let tiers get services from variants alone: two places could say two things."""
    for tier, shape in document.tiers.items():
        for name in shape.features:
            if name in vocabulary.services:
                at = report.item(("tiers", tier, "features"), name)
                what = Misread(f"{name!r} is a service", f"give it to {tier!r} under services.variants")
                report.error(at, what)


def _variant(
    name: str,
    shape: ServicesShape,
    document: Document,
    catalogue: Mapping[str, Service],
    vocabulary: Vocabulary,
    report: Report,
) -> dict[str, Mapping[str, Decimal]]:
    """Return what every tier gets in a variant, what it inherits included."""
    path, own = (SECTION, "variants", name), shape.variants[name]
    for tier, services in own.items():
        if what := vocabulary.unknown_tier(tier):
            report.error((*path, tier), what)
        for id in services:
            if id not in catalogue:
                close = vocabulary.speller.suggest(id, tuple(catalogue))
                what = Absent(f"there is no service {id!r}", close or "define it under services.catalogue")
                report.error((*path, tier, id), what)
    given: dict[str, Mapping[str, Decimal]] = {}
    for tier in document.tiers:
        found: dict[str, Decimal] = {}
        for each in reversed(_lineage(tier, document)):
            found |= own.get(each, {})
        given[tier] = MappingProxyType({id: times for id, times in found.items() if times})
    return given


def _lineage(tier: str, document: Document) -> list[str]:
    """Return the tier and all that it extends; a circle, which is reported elsewhere, once."""
    line: dict[str, None] = {}
    above: str | None = tier
    while above is not None and above in document.tiers and above not in line:
        line[above] = None
        above = document.tiers[above].extends
    return list(line)


def _chosen(shape: ServicesShape, report: Report) -> str:
    path = (SECTION, "variant")
    if shape.variant is None:
        if len(shape.variants) > 1:
            what = Absent(
                "there are several variants, and none is chosen", f"write variant: {next(iter(shape.variants))}"
            )
            report.error(path, what)
        return next(iter(shape.variants), "")
    if shape.variant not in shape.variants:
        known = ", ".join(shape.variants) or "none"
        report.error(path, Absent(f"there is no variant {shape.variant!r}", f"there are: {known}"))
    return shape.variant


def _against(shape: ServicesShape, assignment: AssignmentRules | None, report: Report) -> str:
    if shape.against is not None:
        criteria = {} if assignment is None else assignment.criteria
        check_number(shape.against, criteria, (SECTION, "against"), report)
        return shape.against
    return "" if assignment is None else assignment.binding
