"""The section `routes`: rules for requests; rules must be reachable and use defined names."""

from __future__ import annotations

from collections.abc import Mapping

from entitlements.model.limits import Limit
from entitlements.model.routes import Route
from entitlements.policy.errors import InvalidValue, MissingValue
from entitlements.policy.schema_models import RouteShape
from entitlements.policy.vocabulary import BuildContext, Vocabulary
from entitlements.policy.yaml.tree import Path
from entitlements.rules.route_matching import RouteTable

SECTION = "routes"


def read_routes(context: BuildContext, limits: Mapping[str, Limit]) -> tuple[Route, ...]:
    """Return the valid routes of the policy."""
    routes: list[Route] = []
    for at, shape in enumerate(context.document.routes):
        path = (SECTION, at)
        _check_names(context, path, shape, limits)
        try:
            route = _route(shape)
            RouteTable([*routes, route])  # raises if an earlier route matches every request of this one
            routes.append(route)
        except ValueError as error:
            problem, _, cure = str(error).rpartition("; ")
            context.report.error(path, problem or cure, cure if problem else "correct it")
    return tuple(routes)


def _route(shape: RouteShape) -> Route:
    return Route(
        shape.path,
        methods=shape.methods or None,
        requires=shape.requires,
        consumes=dict(shape.consumes),
        messages=dict(shape.messages),
        exempt=shape.exempt,
    )


def _check_names(context: BuildContext, path: Path, shape: RouteShape, limits: Mapping[str, Limit]) -> None:
    for at, name in enumerate(shape.requires):
        if error := _unknown(name, context.vocabulary):
            context.report.add((*path, "requires", at), error)
    for key, costs in (("consumes", shape.consumes), ("messages", shape.messages)):
        for name in costs:
            error = context.vocabulary.unknown(name, "limits")
            limit = limits.get(name)
            if error is None and limit is not None and limit.per:
                cure = "write this route in Python, with scope="
                error = InvalidValue(f"a limit per {limit.per} needs to be told which", cure)
            if error is not None:
                context.report.add((*path, key, name), error)


def _unknown(name: str, vocabulary: Vocabulary) -> InvalidValue | None:
    """Return the error if *name* is no feature, level or limit, or None."""
    base, colon, level = name.partition(":")
    if base not in vocabulary.kinds:
        close = vocabulary.speller.suggest(base, list(vocabulary.kinds))
        return MissingValue(
            f"there is no feature or limit {base!r}", close or "define it under features, levels or limits"
        )
    if not colon:
        return None
    return vocabulary.unknown(base, "levels") or vocabulary.unknown_level(base, level)
