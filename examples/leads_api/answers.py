"""Error responses of the API: `application/problem+json` (RFC 9457), documented in the OpenAPI."""

from __future__ import annotations

import json
from http import HTTPStatus

from database import Busy
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements.http.fastapi import responses

BODY = (400, 413, 422)
"""Statuses of a body that is no JSON, too large, or not valid for its route."""

TEXT = {"schema": {"type": "string"}}
LIMITS = {"headers": {"ratelimit": TEXT, "ratelimit-policy": TEXT}}
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def answers(success: int, *problems: int) -> dict[int | str, dict[str, object]]:
    """Return the documented responses of a charged route: success, the refusals of a plan, and its own *problems*."""
    return {success: LIMITS} | responses(401, 403, 429, 503) | {status: stated(status) for status in problems}


def stated(status: int) -> dict[str, object]:
    """Return the OpenAPI entry of one problem."""
    return {
        "description": HTTPStatus(status).phrase,
        "headers": LIMITS["headers"],
        "content": {"application/problem+json": {"schema": SCHEMA}},
    }


def install(app: FastAPI) -> None:
    """
    Add handlers to *app* that answer with problem documents instead of FastAPI's own format.

    The response does not repeat an invalid body: it may hold what cannot be written as JSON
    again, such as half of a surrogate pair, or NaN.
    """

    async def unfit(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [{"pointer": "/" + "/".join(map(str, each["loc"])), "detail": each["msg"]} for each in error.errors()]
        return problem(422, "The request is not valid for this route.", errors=errors)

    async def raised(request: Request, error: Exception) -> Response:
        assert isinstance(error, AnyHTTPException)
        headers = dict(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = ", ".join(sorted(allowed(request) | set(headers["Allow"].split(", "))))
        return problem(error.status_code, error.detail, headers=headers)

    async def busy(_: Request, __: Exception) -> Response:
        return problem(503, "The database is busy; try again later.", headers={"retry-after": "1"})

    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(Busy, busy)
    app.add_exception_handler(AnyHTTPException, raised)


def allowed(request: Request) -> set[str]:
    """Return every method of the routes for a request's path; the framework itself names those of one route only."""
    found = set()
    for path, methods in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.scope["path"]):
            found |= {method.upper() for method in methods}
    return found


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **members: object) -> Response:
    """Return a problem document; in ASCII, so that it can hold any text."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail} | members
    return Response(json.dumps(body), status, headers, "application/problem+json")


class LargestBody:
    """
    Middleware that limits the size of a body: a larger one is answered with 413 and not read further.

    It is the innermost middleware, so that an error that it raises while an endpoint reads
    is handled like any `HTTPException`.

    Args:
        app: The application.
        most: Greatest size, in bytes.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self.app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        is_too_long, read = said.isdigit() and int(said) > self._most, 0

        async def counted() -> Message:
            nonlocal read
            if not is_too_long:
                message = await receive()
                read += len(message.get("body", b""))
                if read <= self._most:
                    return message
            raise HTTPException(413, f"a body has at most {self._most:,} bytes", {"connection": "close"})

        await self.app(scope, counted, send)
