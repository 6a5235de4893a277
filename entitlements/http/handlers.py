"""What a FastAPI application answers to what its dependencies raise, those that are mounted in it too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount

from entitlements.errors import AccountError, Denied, StoreError
from entitlements.http.charging import BadRequest
from entitlements.http.headers import HeaderStyle, rate_limit_headers
from entitlements.http.problems import Problems, Refusal
from entitlements.http.types import Headers
from entitlements.model.decision import Decision

Handlers = Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]


class AccountRequired(Exception):
    """A dependency ran for a request for which no middleware has found an account."""


class UnknownDenied(Denied):
    """A refusal of an unknown account, with the one that it shall read like."""

    def __init__(self, decision: Decision, like: Decision | None) -> None:
        super().__init__(decision)
        self.like = like


def handlers(say: Problems, style: HeaderStyle) -> Handlers:
    """Return what answers each exception: *say* how a refusal reads, in *style* what is left."""

    async def denied(_: Request, error: Exception) -> Response:
        assert isinstance(error, Denied)
        like = error.like if isinstance(error, UnknownDenied) else None
        return _response(say.refused(error.decision, like), rate_limit_headers(error.decision, style))

    async def bad(_: Request, __: Exception) -> Response:
        return _response(say.bad_request())

    async def nobody(_: Request, __: Exception) -> Response:
        return _response(say.account_required())

    async def unavailable(_: Request, __: Exception) -> Response:
        return _response(say.unavailable())

    return {
        Denied: denied,
        BadRequest: bad,
        AccountRequired: nobody,
        StoreError: unavailable,
        AccountError: unavailable,
    }


def answer_mounted(routes: Sequence[BaseRoute], answers: Handlers) -> None:
    """
    Let every application that is mounted answer as the one around it; a handler of its own stays.

    It must not have served anything yet: it keeps what it has at its first request.
    """
    for route in iter_route_contexts(routes):
        mount = route.original_route
        if isinstance(mount, Mount):
            for app in _applications(mount):
                for error, handler in answers.items():
                    app.exception_handlers.setdefault(error, handler)
            answer_mounted(mount.routes, answers)


def _applications(mount: Mount) -> Iterator[Starlette]:
    """Yield the application of a mount, which middlewares may stand around."""
    app: Any = mount.app
    while app is not None and not isinstance(app, Starlette):
        app = getattr(app, "app", None)
    if app is not None:
        yield app


def _response(refusal: Refusal, headers: Headers | None = None) -> Response:
    response = Response(refusal.content, refusal.status)
    response.raw_headers = [*refusal.headers, *(headers or ()), (b"content-length", b"%d" % len(refusal.content))]
    return response
