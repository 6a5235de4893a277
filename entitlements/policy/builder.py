"""From the tree of all files to the policy: names, then parts, then whole tiers."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from entitlements.errors import PolicyError
from entitlements.model.instants import MICROSECOND
from entitlements.model.limits import Allocation, Limit, NotIncluded, OnOutage, Quota, Rate
from entitlements.model.policy import AddOn, Feature, Policy
from entitlements.policy.consistency import check_document, check_use
from entitlements.policy.errors import Misread
from entitlements.policy.inheritance import whole_tiers
from entitlements.policy.oversights import compare
from entitlements.policy.parts import Part, Reader
from entitlements.policy.sections.assignment import read_assignment
from entitlements.policy.sections.routes import read_routes
from entitlements.policy.sections.segmentations import read_segmentations
from entitlements.policy.sections.services import read_services, service_features, with_services
from entitlements.policy.sections.transitions import check_leaving
from entitlements.policy.sizes import check_size
from entitlements.policy.validation import shaped
from entitlements.policy.vocabulary import vocabulary_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import AddOnShape, AllocationShape, Document, QuotaShape, RateShape
    from entitlements.policy.yaml.tree import Branch, Path

P = TypeVar("P", bound=Policy)
T = TypeVar("T")

_KINDS: dict[str, type[Rate | Quota | Allocation]] = {"rate": Rate, "quota": Quota, "allocation": Allocation}


def build(kind: type[P], root: Branch, report: Report) -> P:
    """
    Return the policy that the tree says, as a *kind* of `Policy`.

    Raises:
        PolicyError: With everything that is wrong, if anything is.
    """
    report.root = root
    document = shaped(root, report)
    fields = _fields(root, document, report)
    if report.failed:
        raise PolicyError(report.problems)
    return kind(
        version=document.policy.version or "",
        unknown_account=document.policy.unknown_account,
        currency=document.policy.currency,
        warnings=report.problems,
        **fields,
    )


def _fields(root: Branch, document: Document, report: Report) -> dict[str, Any]:
    """Return the policy's names and tiers, as far as they can be told; the report takes the rest."""
    vocabulary = vocabulary_of(root, document)
    check_document(root, document, vocabulary, report=report)
    definitions = {name: _definition(name, shape) for name, shape in document.limits.items()}
    reader = Reader(root, vocabulary, definitions, report=report)
    parts = {tier: reader.part(("tiers", tier), shape) for tier, shape in document.tiers.items()}
    bundles = {name: reader.part(("add_ons", name), shape) for name, shape in document.add_ons.items()}
    check_size(document, len(vocabulary.kinds), (*parts.values(), *bundles.values()), report)
    check_use(root, vocabulary, (*parts.values(), *bundles.values()), report=report)
    tiers = whole_tiers(document, parts, vocabulary, report=report)
    compare(document, tiers, parts, report=report)
    assignment = read_assignment(document, vocabulary, report=report)
    check_leaving(parts, tiers, vocabulary, assignment, report=report)
    services = read_services(document, vocabulary, assignment, report=report)
    return {
        "assignment": assignment,
        "services": services,
        "segmentations": read_segmentations(document, vocabulary, assignment, report=report),
        "routes": read_routes(document, vocabulary, definitions, report=report),
        "tiers": MappingProxyType(with_services(tiers, services)),
        "features": MappingProxyType(_features(document) | service_features(services)),
        "limits": MappingProxyType({name: _with_window(limit, reader) for name, limit in definitions.items()}),
        "add_ons": MappingProxyType(
            {name: _add_on(name, shape, bundles[name], report) for name, shape in document.add_ons.items()}
        ),
    }


def _features(document: Document) -> dict[str, Feature]:
    switches = {name: Feature(name, about=about) for name, about in document.features.items()}
    return switches | {name: Feature(name, tuple(levels)) for name, levels in document.levels.items()}


def _definition(name: str, shape: RateShape | QuotaShape | AllocationShape) -> Limit:
    """Return a limit as the policy defines it, a rate's window still open."""
    given = dict(shape)
    kind, deadline = given.pop("kind"), given.pop("deadline")
    given["on_outage"] = OnOutage(given["on_outage"])
    if deadline is not None:
        given["deadline"] = deadline // MICROSECOND
    return _KINDS[kind](name, **given)


def _with_window(limit: Limit, reader: Reader) -> Limit:
    if isinstance(limit, Rate) and limit.name in reader.windows:
        return replace(limit, window=reader.windows[limit.name][0])
    return limit


def _add_on(name: str, shape: AddOnShape, part: Part, report: Report) -> AddOn:
    """Return an add-on, which can only add: nothing in it may be `not-included`."""
    path = ("add_ons", name)
    for key in set(part.values).difference(part.written):
        report.error(part.paths[key], _TAKES_AWAY)
    return AddOn(
        name,
        tiers=tuple(shape.tiers),
        features=part.features,
        levels=_added(part.levels, (*path, "levels"), report),
        limits=_added(part.limits, (*path, "limits"), report),
        values=MappingProxyType({key: part.values[key] for key in part.written}),
        price=shape.price or "",
        about=shape.about,
    )


def _added(found: Mapping[str, T | NotIncluded], path: Path, report: Report) -> MappingProxyType[str, T]:
    """Return what an add-on adds under *path*; `not-included` there would take away."""
    for name, value in found.items():
        if isinstance(value, NotIncluded):
            report.error((*path, name), _TAKES_AWAY)
    return MappingProxyType({name: value for name, value in found.items() if not isinstance(value, NotIncluded)})


_TAKES_AWAY = Misread("an add-on cannot take away", "remove the key; an override takes away")
