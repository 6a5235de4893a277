"""
Django REST framework: permission and throttle classes.

    REST_FRAMEWORK = {"EXCEPTION_HANDLER": "entitlements.integrations.django.rest_framework.exception_handler"}

    class LeadsView(APIView):
        permission_classes = [requires("lead-management")]
        throttle_classes = [consumes("leads")]

With the exception handler refusals are answered with their problem documents, else as the framework answers errors.
They need the middleware.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from entitlements.extras import extra

with extra("django", "Django REST framework", __name__):
    from rest_framework import exceptions, permissions, throttling, views

from entitlements.http.endpoint_rules import RULES, consumption, requirement
from entitlements.http.error_refusals import REFUSED_ERRORS
from entitlements.integrations.django.decorators import metered_request

if TYPE_CHECKING:
    from django.http import HttpResponseBase

    from entitlements.http.routes import Route

__all__ = ["consumes", "exception_handler", "requires"]


class Refused(exceptions.APIException):  # type: ignore[misc]
    """
    A refusal, as the REST framework answers it without `exception_handler`.

    Args:
        error: The error that has an answer.
        request: The request.
    """

    def __init__(self, error: Exception, request: Any) -> None:
        middleware, _ = metered_request(request)
        response = middleware.process_exception(request, error)
        assert response is not None
        self.status_code = response.status_code
        super().__init__(str(error), "entitlements")
        self.__cause__ = error
        self.wait = response.headers.get("retry-after")
        self.response = response


def requires(*features: str) -> type[permissions.BasePermission]:
    """
    Return a permission class that refuses accounts without every one of *features*.

    Args:
        features: Names of features, `feature:level`, or limits.

    Raises:
        ValueError: If there are none, or one is not a str.
    """
    rule = requirement(features)

    class EntitledPermission(permissions.BasePermission):  # type: ignore[misc]
        def has_permission(self, request: Any, view: Any) -> bool:
            _charge(rule, request)
            return True

    setattr(EntitledPermission, RULES, (rule,))
    return EntitledPermission


def consumes(
    limit: str | Mapping[str, int | Callable[[Any], int]],
    n: int | Callable[[Any], int] = 1,
    *,
    scope: Callable[[Any], str | None] | None = None,
) -> type[throttling.BaseThrottle]:
    """
    Return a throttle class that charges units before the view runs, and refunds them if the request fails.

    Args:
        limit: The name of a limit, or a mapping from limits to units: one charge, all or nothing.
        n: Units of a single limit, or a callable over the request.
        scope: Returns the scope of limits with a `per` from the request; None or an invalid id is a 400.

    Raises:
        ValueError: If *limit* is neither a name nor a mapping, or empty, or a number of units is invalid.
    """
    rule = consumption(limit, n, scope)

    class LimitThrottle(throttling.BaseThrottle):  # type: ignore[misc]
        def allow_request(self, request: Any, view: Any) -> bool:
            _charge(rule, request)
            return True

    setattr(LimitThrottle, RULES, (rule,))
    return LimitThrottle


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """Answer a refusal with its problem document, and any other error as the REST framework does."""
    if isinstance(error, Refused):
        return error.response
    if isinstance(error, REFUSED_ERRORS):
        request = context["request"]
        return metered_request(request)[0].process_exception(request, error)
    return views.exception_handler(error, context)


def _charge(rule: Route, request: Any) -> None:
    middleware, metered = metered_request(request)
    try:
        middleware.charge(metered, rule, request)
    except REFUSED_ERRORS as error:
        raise Refused(error, request) from error
