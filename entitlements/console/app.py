"""`Console`: the ASGI application, its routes, and the response to what goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from entitlements.console import filters
from entitlements.console.access import Access, Authorise, access_of, read_only
from entitlements.console.calls import AwaitedEnforcer
from entitlements.console.directory import AccountDirectory
from entitlements.console.headers import SecureHeaders
from entitlements.console.pages import accounts as account_pages
from entitlements.console.pages import changes, meters, plans, preview, refusals
from entitlements.console.tokens import Tokens
from entitlements.console.visit import ConsoleParts, Page, PageError, Visit
from entitlements.errors import AccountError, AccountsUnavailable, StoreError, UnknownAccount
from entitlements.http.types import awaited
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from starlette.requests import Request

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.console.refusals import RecentRefusals
    from entitlements.enforcer import Enforcer
    from entitlements.http.types import Receive, Scope, Send

_log = logging.getLogger("entitlements.console")

_FILES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
_STATUS = {403: "Refused", 404: "Not found", 405: "Not allowed", 413: "Too long", 500: "Failed", 503: "Unavailable"}


class Console:
    """
    ASGI application of the console, mounted below a path of an application, or served by itself.

    Args:
        enforcer: An `Enforcer`, which is called in threads, or an `AsyncEnforcer`.
        accounts: `SqlAccounts` or `AsyncSqlAccounts`, whose accounts can be changed; or what an enforcer takes, which
            is only read.
        authorise: Takes a request and returns None (refused with 403), `"read"`, `"write"`, an `Access`, or an object
            with a str `author`, who then may write; or an awaitable of that. Without it every request may read.
        refusals: The hook of the enforcer that keeps refusals; without it the page of refusals says how to add it.
        secret: Signs forms; at least 16 bytes, the same in all processes that serve the console. Random by default.

    Raises:
        TypeError: For accounts that are no source, and an *authorise* that is not callable.
        ValueError: For a shorter secret.
    """

    def __init__(
        self,
        enforcer: Enforcer | AsyncEnforcer,
        accounts: object = None,
        *,
        authorise: Authorise | None = None,
        refusals: RecentRefusals | None = None,
        secret: str | bytes | None = None,
    ) -> None:
        if authorise is not None and not callable(authorise):
            raise TypeError(f"authorise {authorise!r} is not callable; write authorise=lambda request: 'read'")
        self._authorise: Callable[..., Any] = authorise or read_only
        self._services = ConsoleParts(
            AwaitedEnforcer(enforcer),
            AccountDirectory(accounts, lambda: enforcer.policy),
            refusals,
            _templates(),
            Tokens(secret),
        )
        app = Starlette(
            routes=[
                *(Route(path, self._served(page), methods=methods) for path, page, methods in _PAGES),
                *(Route(f"/static/{name}", _file(name), methods=["GET"]) for name in _FILES),
            ],
            exception_handlers={HTTPException: self._failed, PageError: self._failed},
        )
        app.router.redirect_slashes = False  # it would send the Host header of the request back
        self._app = SecureHeaders(app)

    @property
    def unchangeable(self) -> str:
        """The reason that no account can be changed here; empty if accounts can be changed."""
        return self._services.directory.unchangeable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        await self._app(scope, receive, send)

    def _served(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await page(await self._visit(request))
            except PageError:
                raise
            except (AccountsUnavailable, StoreError) as error:
                raise PageError(503, str(error)) from error
            except UnknownAccount as error:
                raise PageError(404, str(error)) from error
            except AccountError as error:
                raise PageError(422, str(error)) from error
            except Exception as error:  # noqa: BLE001 - the visitor gets a page, and the log has no id
                trace = redacted_traceback(error, request.query_params.get("id"))
                _log.error("a page of the console failed\n%s", trace, extra={"page": request.url.path})
                raise PageError(500, "The page failed; the log of the server says why.") from None

        return answer

    async def _visit(self, request: Request) -> Visit:
        """Return the request with its rights; `PageError` refuses it."""
        access = access_of(await awaited(self._authorise(request)))
        if access is None:
            raise PageError(403, "You may not see this page.")
        request.state.access = access
        return Visit(self._services, request, access)

    async def _failed(self, request: Request, error: Exception) -> Response:
        """Return the page of an error; to a visitor who was refused it says nothing of the console."""
        if isinstance(error, HTTPException):
            status, said, headers = error.status_code, str(error.detail), error.headers
        else:
            assert isinstance(error, PageError)
            status, said, headers = error.status, str(error), None
        access: Access | None = getattr(request.state, "access", None)
        visit = Visit(self._services, request, access or Access(write=False))
        title = _STATUS.get(status, "Not possible")
        response = visit.render("error.html", status, title=title, said=said, is_known=access is not None)
        response.headers.update(headers or {})
        return response


_PAGES: tuple[tuple[str, Page, list[str]], ...] = (
    ("/", account_pages.search, ["GET"]),
    ("/account", account_pages.overview, ["GET"]),
    ("/account/meters", meters.meters, ["GET"]),
    ("/account/preview", preview.preview, ["GET"]),
    ("/account/change", changes.change_form, ["GET"]),
    ("/account/change/preview", changes.preview_change, ["POST"]),
    ("/account/change/confirm", changes.confirm_change, ["POST"]),
    ("/account/audit", account_pages.audit, ["GET"]),
    ("/plans", plans.plans, ["GET"]),
    ("/refusals", refusals.refusals, ["GET"]),
)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("entitlements.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters.FILTERS
    return environment


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    content = files("entitlements.console").joinpath("static", name).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(content, media_type=_FILES[name], headers={"cache-control": "public, max-age=300"})

    return answer
