"""Route matching: the first rule that matches a request, or the default."""

from __future__ import annotations

import re
from collections.abc import Iterable

from entitlements.model.policy import PolicyData
from entitlements.model.routes import Route
from entitlements.rules.path_forms import is_unusual, normal_forms, without_end_slash
from entitlements.rules.templates import compile_lenient, compile_template, covering_pattern, outline

DEFAULT_ROUTE = Route()
"""The default rule: requires an account and nothing else."""


_UNUSUAL_TEMPLATE = re.compile(r"[^/]/$|[A-Z]|[^\x00-\x7f]|:(?:int|float|uuid)}")
"""Templates that a lenient router matches with paths of ordinary spelling."""


class RouteTable:
    """
    Ordered route rules, compiled once.

    Args:
        routes: Rules in order; the first that matches is used.
        default: The rule for all other requests, without a path; a last rule without a path also sets it.
        normalise: Compare a path with its other spellings in `find_one`.
        empty: The router behind takes an empty segment for a `{name}`.

    Raises:
        ValueError: For a rule without a path, with an invalid template, or that an earlier
            rule hides completely. The message names the rule.
        TypeError: For a rule that is not a `Route`.
    """

    def __init__(
        self, routes: Iterable[Route] = (), default: Route | None = None, *, normalise: bool = True, empty: bool = False
    ) -> None:
        if isinstance(routes, Route | str) or not isinstance(routes, Iterable):
            raise TypeError(f"routes {routes!r} must be a list of Route; write routes=[Route('/v1/leads')]")
        rules = list(routes)
        for route in rules if default is None else [*rules, default]:
            if not isinstance(route, Route):
                raise TypeError(f"{route!r} is not a Route; write Route('/v1/leads', consumes={{'api': 1}})")
        if default is None and rules and rules[-1].path is None:
            default = rules.pop()
        self.routes = tuple(rules)
        self.default = default or DEFAULT_ROUTE
        if self.default.path is not None or self.default.methods is not None:
            raise ValueError(
                f"the default {self.default} has a path or methods; it is for whatever no other rule matches"
            )
        self._compiled = tuple((_pattern(route), route.methods, route) for route in self.routes)
        self._check_reachable()
        self._normalise = normalise
        self._lenient = tuple(_lenient_patterns(each, empty=empty) for each in self.routes)
        self._checks_every_path = any(_UNUSUAL_TEMPLATE.search(each.path or "") for each in self.routes)

    def find(self, path: str, method: str | None) -> Route:
        """
        Return the rule for a request.

        Args:
            path: Below the mount point, percent-decoded as ASGI gives it.
            method: The request's method in any case, because some servers do not normalise it
                and some applications accept it. None for a websocket: its handshake is a GET.
        """
        method = (method or "GET").upper()
        for pattern, methods, route in self._compiled:
            if (methods is None or method in methods) and pattern.match(path):
                return route
        return self.default

    def find_one(
        self, path: str, method: str | None, respelled: Iterable[str] = (), cut: Iterable[str] = ()
    ) -> Route | None:
        """
        Return the rule for a request; None if another spelling of its path falls under a rule that says something else.

        Args:
            path: As for `find`.
            method: As for `find`.
            respelled: Other spellings that no ordinary path has, in addition to the normal forms of *path*:
                any other rule for one of them is a conflict, the default too.
            cut: The path without a prefix that is not at its beginning, which some routers cut out anywhere.
        """
        route = self.find(path, method)
        if not self._normalise or not (respelled or cut or self._checks_every_path or is_unusual(path)):
            return route
        forms = [*normal_forms(path), *(form for other in respelled for form in (other, *normal_forms(other)))]
        if any(_differ(self.find(form, method), route) for form in forms):
            return None
        ends_so = route.path is not None and not route.path.endswith("}")  # the rule itself says how the path ends
        candidates = [self._find_lenient(path, method, strip=not ends_so)]
        candidates += [self._find_lenient(form, method) for form in forms]
        candidates += [self._find_lenient(each, method) or (self.default if route.exempt else None) for each in cut]
        return None if any(each is not None and _differ(each, route) for each in candidates) else route

    def _find_lenient(self, path: str, method: str | None, *, strip: bool = True) -> Route | None:
        """Return the rule that a router finds which ignores letter case and a slash at the end; None for the default."""
        method, stripped = (method or "GET").upper(), without_end_slash(path)
        for route, pattern, stripped_pattern in self._lenient:
            if (route.methods is None or method in route.methods) and (
                pattern.match(path) or (strip and stripped_pattern.match(stripped))
            ):
                return route
        return None

    def check(self, policy: PolicyData) -> None:
        """
        Check every name in the rules against a policy.

        Raises:
            ValueError: For names that the policy does not know; the message lists all of them with their rules.
        """
        wrong = [text for route in (*self.routes, self.default) for text in unknown_names(route, policy)]
        if wrong:
            raise ValueError("; ".join(wrong))

    def _check_reachable(self) -> None:
        earlier: list[tuple[re.Pattern[str], Route]] = []
        for later in self.routes:
            assert later.path is not None
            paths = outline(later.path)
            taken = _covering_routes(later, [route for pattern, route in earlier if pattern.fullmatch(paths)])
            earlier.append((covering_pattern(later.path), later))
            if taken:
                them = "stands before it and matches" if len(taken) == 1 else "stand before it and match"
                raise ValueError(
                    f"{later} can never match: {', '.join(map(str, taken))} {them} all of it; remove it, or move it up"
                )


def unknown_names(route: Route, policy: PolicyData) -> list[str]:
    """Return the problems of a rule under a policy; each names the rule."""
    wrong = [f"{route}: {policy.unknown(name)}" for name in route.requires if not _is_known(policy, name)]
    for table in (route.consumes, route.messages):
        limits = [policy.limits.get(name) for name in table]
        wrong += [f"{route}: {policy.unknown(name, asked='limit')}" for name in table if name not in policy.limits]
        scopes = {limit.per for limit in limits if limit is not None and limit.per}
        if len(scopes) > 1:
            wrong.append(f"{route}: limits per {' and per '.join(sorted(scopes))} cannot stand in one charge")
        if scopes and route.scope is None:
            wrong.append(f"{route}: a limit per {min(scopes)} needs scope=, a callable from the ASGI scope to it")
        if table and not scopes and route.scope is not None:
            wrong.append(f"{route}: scope= has no use where none of {', '.join(table)} is declared `per` anything")
    return wrong


def _lenient_patterns(route: Route, *, empty: bool) -> tuple[Route, re.Pattern[str], re.Pattern[str]]:
    """Return a rule, its lenient pattern, and that without a slash at its end."""
    assert route.path is not None
    stripped = without_end_slash(route.path)
    return route, compile_lenient(route.path, empty=empty), compile_lenient(stripped, empty=empty)


def _differ(one: Route, other: Route) -> bool:
    """Return True if two rules say different things, wherever they match."""
    return one is not other and _content(one) != _content(other)


def _content(route: Route) -> tuple[object, ...]:
    return (
        frozenset(route.requires),
        dict(route.consumes),
        dict(route.messages),
        route.scope,
        route.exempt,
        route.settles,
    )


def _covering_routes(later: Route, before: list[Route]) -> list[Route]:
    """Return the rules of *before* that together take every method of *later*; empty if a method is left."""
    whole = next((route for route in before if route.methods is None), None)
    if whole is not None:
        return [whole]
    left = None if later.methods is None else set(later.methods)
    taken = []
    for route in before:
        if left and left & set(route.methods or ()):
            left -= set(route.methods or ())
            taken.append(route)
    return taken if left is not None and not left else []


def _is_known(policy: PolicyData, name: str) -> bool:
    return any(name in answers for answers in policy.answers.values())


def _pattern(route: Route) -> re.Pattern[str]:
    if route.path is None:
        raise ValueError(f"{route} has no path, so every rule behind it is lost; pass it as default=")
    return compile_template(route.path)
