"""A `Route`: the features that requests to an API route require and the units that they consume."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from entitlements.model.callables import is_async, is_generator, takes
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.immutable import COPY, immutable
from entitlements.model.instants import check_duration
from entitlements.model.names import check_count, nearest
from entitlements.model.prepared import units_key

_METHODS = """
ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR
MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH
TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL
M-SEARCH NOTIFY PURGE SOURCE SUBSCRIBE UNSUBSCRIBE
"""
METHODS = frozenset(_METHODS.split())
"""The methods of IANA's HTTP Method Registry, and in the last line those that servers parse without registration."""

Settles = Callable[[int, Mapping[str, str]], Mapping[str, int] | None]
"""Computes the units used, by limit, from the status and the headers of a response; None for the estimate."""

Cost = int | Callable[[Any], int]
"""Units, or a callable that computes them from the ASGI scope; 0 charges nothing."""


@immutable(COPY)
@dataclass(frozen=True, slots=True)
class Route:
    """
    A route rule: matches requests and says what they require and consume.

    Args:
        path: A path template such as `/v1/leads/{id}`, as Starlette's; None matches every path.
        methods: HTTP methods, `GET` standing for `HEAD` and for websockets too; None means all.
        requires: Features, `feature:level` or limits that the account must have.
        consumes: Units of each limit that one request takes, in one charge, all or nothing.
        messages: Units of each limit that one message received on a websocket takes.
        scope: Computes the scope of a limit with a `per` from the ASGI scope; None if the request has none.
        exempt: True to pass requests without identifying the account, such as health checks.
        settles: Makes the units that it consumes an estimate: they are reserved, and settled after the response. A
            callable over its status and its headers (names in lower case) returns the units used by limit, or None
            for the estimate; True leaves it to the endpoint, which commits `request.state.reservation`.
        ttl: Seconds, or a timedelta, after which what was reserved lapses.

    Raises:
        ValueError: For an argument that is invalid or contradicts another.
    """

    path: str | None = None
    methods: Collection[str] | None = None
    requires: Collection[str] = ()
    consumes: Mapping[str, Cost] = field(default_factory=dict)
    messages: Mapping[str, Cost] = field(default_factory=dict)
    scope: Callable[[Any], str | None] | None = None
    exempt: bool = False
    settles: Settles | bool = False
    ttl: float | timedelta = 60
    _fixed_units: object = field(init=False, default=None, compare=False, repr=False)
    """Key of the units that the route consumes, where they are all that it asks and the same for every request; else None."""

    def __post_init__(self) -> None:
        if self.methods is not None:
            object.__setattr__(self, "methods", _methods(self.methods))
        object.__setattr__(self, "requires", tuple(_words(self.requires, f"{self}: requires")))
        for name in ("consumes", "messages"):
            object.__setattr__(self, name, _costs(getattr(self, name), f"{self}: {name}"))
        if self.scope is not None:
            _check_callable(self.scope, f"{self}: scope=")
        if self.exempt and (self.requires or self.consumes or self.messages):
            raise ValueError(f"{self} is exempt, so it can require and consume nothing; leave one of them out")
        if self.messages and self.methods is not None and "GET" not in self.methods:
            raise ValueError(
                f"{self} can never match a websocket, whose messages it charges: its handshake is a GET;"
                " leave methods out"
            )
        if self.settles is not False:
            _check_settles(self)
        asks_more = self.requires or self.messages or self.scope is not None or self.settles
        units = {name: cost for name, cost in self.consumes.items() if not callable(cost) and cost}
        if not asks_more and units and len(units) == len(self.consumes):
            fixed = next(iter(units)) if list(units.values()) == [1] else units
            object.__setattr__(self, "_fixed_units", units_key(fixed, 1))

    def __str__(self) -> str:
        """Return `route GET /v1/leads`."""
        methods = ",".join(sorted(self.methods)) + " " if self.methods else ""
        return f"route {methods}{'*' if self.path is None else self.path}"


def _check_settles(route: Route) -> None:
    """Check that a route has an estimate to settle, and a callable that can."""
    if not route.consumes:
        raise ValueError(f"{route} settles, and consumes nothing; write consumes={{limit: estimate}}")
    check_duration(route.ttl, f"{route}: ttl")
    if route.settles is True:
        return
    if not callable(route.settles) or not takes(route.settles, 200, {}):
        raise ValueError(f"{route}: settles= {route.settles!r} must be True, or a callable over a status and headers")
    if is_async(route.settles) or is_generator(route.settles):
        raise ValueError(f"{route}: settles= {route.settles!r} is never awaited; write a plain function")


def _methods(methods: Collection[str]) -> frozenset[str]:
    found = frozenset(_words(methods, "methods"))
    if not found:
        raise ValueError("methods are empty, so the route can never match; name some, or leave methods out for all")
    for each in sorted(found - METHODS):
        if each.upper() in METHODS:
            raise ValueError(f"method {each!r} must be in capital letters; write {each.upper()!r}")
        cure = nearest(each, METHODS) or "; name others, or leave methods out for all"
        raise ValueError(f"method {each!r} is no method of HTTP, so the route would never match{cure}")
    return found | ({"HEAD"} if "GET" in found else set())


def _words(values: Iterable[str], what: str) -> list[str]:
    """Return a list of str; refuse a lone str, which would be read as its letters."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{what} {values!r} must be a set or a list of str")
    found = list(values)
    for each in found:
        if not isinstance(each, str):
            raise ValueError(f"{what}: {each!r} is not a str")
    return found


def _costs(costs: object, what: str) -> Mapping[str, Cost]:
    if not isinstance(costs, Mapping):
        raise ValueError(f"{what} {costs!r} must be a mapping from limits to units")
    for name, cost in costs.items():
        if callable(cost):
            _check_callable(cost, f"{what}: cost of {name!r}")
        else:
            check_count(cost, f"{what}: cost of {name!r}")
    return FrozenDict(dict(costs))


def _check_callable(function: object, what: str) -> None:
    """Check a callable over a request: it is called, never awaited."""
    if not callable(function):
        raise ValueError(f"{what} {function!r} must be a callable over the request, or None")
    if is_async(function):
        raise ValueError(f"{what} {function!r} is async, and what it returns is never awaited; write a plain function")
    if is_generator(function):
        raise ValueError(f"{what} {function!r} is a generator; write a plain function that returns the value")
    if not takes(function, None):
        raise ValueError(f"{what} {function!r} cannot be called with the request alone; give it one parameter")
