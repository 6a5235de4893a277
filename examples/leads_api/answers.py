"""How the API answers what goes wrong: everything is `application/problem+json` (RFC 9457), and stands in the OpenAPI."""

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
"""What a route answers to a body that is no JSON, too large, or not what it takes."""

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
    """Return what a charged route documents: how it succeeds, the refusals of a plan, and *problems* of its own."""
    return {success: LIMITS} | responses(401, 403, 429, 503) | {status: stated(status) for status in problems}


def stated(status: int) -> dict[str, object]:
    """Return what stands in the OpenAPI for one problem of ours."""
    return {
        "description": HTTPStatus(status).phrase,
        "headers": LIMITS["headers"],
        "content": {"application/problem+json": {"schema": SCHEMA}},
    }


def install(app: FastAPI) -> None:
    """
    Let *app* answer with problems where FastAPI has a form of its own.

    A body that does not fit is not repeated in the answer: JSON can hold what JSON cannot
    say again, such as half a surrogate pair or a number that is none.
    """

    async def unfit(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [{"pointer": "/" + "/".join(map(str, each["loc"])), "detail": each["msg"]} for each in error.errors()]
        return problem(422, "The request is not what this route takes.", errors=errors)

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
    """Return every method that some route has for the path of a request; the framework itself names those of one route."""
    found = set()
    for path, methods in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.scope["path"]):
            found |= {method.upper() for method in methods}
    return found


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **members: object) -> Response:
    """Return one problem; ASCII, so that any text can be in it."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail} | members
    return Response(json.dumps(body), status, headers, "application/problem+json")


class LargestBody:
    """
    Reads no more of a body than an application takes: a body above that is answered with 413.

    It stands inside every other middleware, so that what it raises while an endpoint reads
    is answered as any `HTTPException` is.

    Args:
        app: The application.
        most: Bytes.
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
