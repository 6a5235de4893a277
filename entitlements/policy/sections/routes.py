"""The section `routes`: read, and checked for rules that can never match or ask for what there is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.limits import Limit, Rate
from entitlements.model.routes import Route
from entitlements.policy.errors import Absent, Misread
from entitlements.rules.route_matching import RouteTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document, RouteShape
    from entitlements.policy.vocabulary import Vocabulary

SECTION = "routes"


def read_routes(
    document: Document, vocabulary: Vocabulary, limits: Mapping[str, Limit], *, report: Report
) -> tuple[Route, ...]:
    """Return the rules of the policy, as far as they are sound."""
    routes: list[Route] = []
    for at, shape in enumerate(document.routes):
        _check_names(at, shape, vocabulary, limits, report)
        route = _route(at, shape, report)
        if route is not None and _fits(at, [*routes, route], report):
            routes.append(route)
    return tuple(routes)


def _route(at: int, shape: RouteShape, report: Report) -> Route | None:
    try:
        return Route(
            shape.path,
            methods=shape.methods or None,
            requires=shape.requires,
            consumes=dict(shape.consumes),
            messages=dict(shape.messages),
            exempt=shape.exempt,
        )
    except ValueError as error:
        report.error((SECTION, at), _in_two(error))
        return None


def _fits(at: int, routes: list[Route], report: Report) -> bool:
    """Say whether the last of *routes* can match at all behind the others."""
    try:
        RouteTable(routes)
    except ValueError as error:
        report.error((SECTION, at), _in_two(error))
        return False
    return True


def _check_names(
    at: int, shape: RouteShape, vocabulary: Vocabulary, limits: Mapping[str, Limit], report: Report
) -> None:
    for place, name in enumerate(shape.requires):
        what = _unknown(name, vocabulary)
        if what is not None:
            report.error((SECTION, at, "requires", place), what)
    for key, costs in (("consumes", shape.consumes), ("messages", shape.messages)):
        for name in costs:
            what = vocabulary.unknown(name, "limits")
            limit = limits.get(name)
            if what is None and isinstance(limit, Rate) and limit.per:
                what = Misread(
                    f"a limit per {limit.per} needs to be told which", "write this route in Python, with scope="
                )
            if what is not None:
                report.error((SECTION, at, key, name), what)


def _unknown(name: str, vocabulary: Vocabulary) -> Misread | None:
    base, colon, level = name.partition(":")
    if base not in vocabulary.kinds:
        close = vocabulary.speller.suggest(base, list(vocabulary.kinds))
        return Absent(f"there is no feature or limit {base!r}", close or "define it under features, levels or limits")
    if not colon:
        return None
    return vocabulary.unknown(base, "levels") or vocabulary.unknown_level(base, level)


def _in_two(error: ValueError) -> Misread:
    """Return a message of `problem; cure` in its two halves."""
    problem, _, cure = str(error).rpartition("; ")
    return Misread(problem or cure, cure if problem else "correct it")
