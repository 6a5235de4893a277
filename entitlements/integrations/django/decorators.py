"""Decorators that gate and charge single views, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

from entitlements.http.endpoint_rules import RULES, consumption, requirement
from entitlements.http.error_refusals import AccountRequired
from entitlements.http.types import awaited
from entitlements.integrations.django.middleware import REQUEST_KEY

if TYPE_CHECKING:
    from entitlements.http.metered_request import MeteredRequest
    from entitlements.http.routes import Route
    from entitlements.integrations.django.middleware import EntitlementsMiddleware

View = TypeVar("View", bound=Callable[..., Any])
Units = int | Callable[[HttpRequest], int]


def require(*features: str) -> Callable[[View], View]:
    """
    Return a decorator of a view that refuses accounts without every one of *features*.

    For a class write `@method_decorator(require("sso"), name="dispatch")`.

    Args:
        features: Names of features, `feature:level`, or limits.

    Raises:
        ValueError: If there are none, or one is not a str.
    """
    return _decorator(requirement(features))


def consume(
    limit: str | Mapping[str, Units], n: Units = 1, *, scope: Callable[[HttpRequest], str | None] | None = None
) -> Callable[[View], View]:
    """
    Return a decorator of a view that charges units before it runs.

    The charge belongs to the request: the response has its headers, and it is refunded if the request fails.

    Args:
        limit: The name of a limit, or a mapping from limits to units: one charge, all or nothing.
        n: Units of a single limit, or a callable over the request. One that raises `ValueError` or `LookupError`,
            or returns a number that cannot be charged, makes the request a 400.
        scope: Returns the scope of limits with a `per` from the request; None or an invalid id is a 400.

    Raises:
        ValueError: If *limit* is neither a name nor a mapping, or empty, or a number of units is invalid.
    """
    return _decorator(consumption(limit, n, scope))


def metered_request(request: HttpRequest) -> tuple[EntitlementsMiddleware, MeteredRequest]:
    """
    Return the middleware and the request as it was decided.

    Raises:
        AccountRequired: If no middleware has seen it.
    """
    found = getattr(request, REQUEST_KEY, None)
    if found is None:
        what = "no account was found: put entitlements.integrations.django.EntitlementsMiddleware into MIDDLEWARE"
        raise AccountRequired(what)
    return found  # type: ignore[no-any-return]


def _decorator(rule: Route) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        async def gated_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            middleware, metered = metered_request(request)
            await middleware.charge_async(metered, rule, request)
            return await awaited(view(request, *args, **kwargs))

        def gated(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if _is_on_loop():  # `dispatch` of a class with async methods returns their coroutine
                return gated_async(request, *args, **kwargs)
            middleware, metered = metered_request(request)
            middleware.charge(metered, rule, request)
            return view(request, *args, **kwargs)

        made = wraps(view)(gated_async if iscoroutinefunction(view) else gated)
        setattr(made, RULES, (rule, *getattr(view, RULES, ())))
        return made  # type: ignore[return-value]

    return decorate


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
