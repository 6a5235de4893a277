"""The rules of views: of decorators, and of the permission and throttle classes of the REST framework."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import URLPattern, URLResolver

from entitlements.http.endpoint_rules import RULES
from entitlements.http.routes import Route


def rules_of_view(view: Any) -> tuple[Route, ...]:
    """Return the rules of a view, in the order in which they are decided."""
    api = getattr(view, "cls", None)
    classes = (*getattr(api, "permission_classes", ()), *getattr(api, "throttle_classes", ()))
    return tuple(rule for each in (view, *classes) for rule in getattr(each, RULES, ()))


def request_of_view(view: Any, request: Any) -> Any:
    """Return a request as the rules of a view take it."""
    rest: Any = sys.modules.get("rest_framework.request")
    return request if rest is None or not hasattr(view, "cls") else rest.Request(request)


def views(patterns: Iterable[Any]) -> Iterator[Any]:
    """Yield the views of URL patterns, also of those that they include."""
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from views(each.url_patterns)
        elif isinstance(each, URLPattern):
            yield each.callback
