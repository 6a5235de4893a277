"""
FastAPI dependencies that gate and charge single endpoints.

    app = FastAPI()
    install(app)
    app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, identify=api_key(keys)))

    @app.get("/sso", dependencies=[Depends(require("sso"))], responses=responses(401, 403))
    async def settings(account: CurrentAccount): ...

They need an `EntitlementsMiddleware` or an `AccountMiddleware` around the application, which
finds the account. The names that they require or consume are checked at startup: a name that
the policy does not define fails it. A dependency sees the exception of an endpoint, but not a response of 500 that it
*returns*. To refund those too, let the middleware charge the route. `install` adds the
middleware that records the progress of a response.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Annotated, Any, NoReturn

from entitlements.extras import extra

with extra("fastapi", "FastAPI", "entitlements.http.fastapi"):
    from fastapi import Depends, FastAPI, Response
    from fastapi.requests import HTTPConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from entitlements.handles import AsyncBoundAccount, BoundAccount
from entitlements.http.account_scope import handle_of, problems_of
from entitlements.http.costs import BadRequest
from entitlements.http.current import ENFORCER
from entitlements.http.endpoint_rules import consumption, decide_endpoint, requirement
from entitlements.http.error_refusals import AccountRequired
from entitlements.http.exception_handlers import install_handlers
from entitlements.http.fastapi.charges import dependency_denial, place_of
from entitlements.http.fastapi.checks import RULE, check_dependencies
from entitlements.http.header_middleware import HEADERS_KEY, RESPONSE_KEY
from entitlements.http.problems import Problems, Refusal
from entitlements.http.questions import ChargeCall, run_async, run_sync
from entitlements.http.rate_limit_headers import HeaderStyle, rate_limit_headers
from entitlements.http.types import Scope, awaited
from entitlements.http.unknown_accounts import UNKNOWN_ACCOUNT_REFUSAL
from entitlements.model.decision import Decision
from entitlements.model.decision_fields import receipt_of
from entitlements.model.entitlements import Entitlements
from entitlements.model.policy import PolicyData

_log = logging.getLogger("entitlements.http")


class _NotOfRequest:
    """Metadata of a parameter that the application gives: FastAPI, which would read it from the request, gets an error."""

    def __init__(self, call: str) -> None:
        self._call = call

    def __get_pydantic_core_schema__(self, *_: object) -> NoReturn:
        name = self._call.partition("(")[0]
        raise TypeError(f"Depends({name}) is no dependency, because {name}() returns one; write Depends({self._call})")


RequiredFeature = Annotated[str, _NotOfRequest("require('sso')")]
ChargedLimits = Annotated[str | Mapping[str, "Units"], _NotOfRequest("consume('leads')")]
Handle = AsyncBoundAccount | BoundAccount
Units = int | Callable[[HTTPConnection], int]
"""Units of a charge: a number, or a callable that computes it from the request; 0 charges nothing."""


def account(request: HTTPConnection) -> Handle:
    """
    Return the account that the middleware found, with its verbs bound to it.

    Raises:
        AccountRequired: If it found none, as on an exempt route; answered with 401.
    """
    found = handle_of(request.scope)  # `request.state` may be the application's own, or shared by a server
    if found is None:
        _log.warning(
            "an endpoint needs the account, and no middleware has found one: put EntitlementsMiddleware around"
            " the application, or take this route from the exempt ones"
        )
        raise AccountRequired
    return found


CurrentAccount = Annotated[AsyncBoundAccount, Depends(account)]
"""
The account of the request: `account: CurrentAccount`.

Behind a blocking `Enforcer` it is a `BoundAccount`; write `Annotated[BoundAccount, Depends(account)]` for a type checker.
"""


def snapshot(account: CurrentAccount) -> Entitlements:
    """Return the resolved entitlements of the account of the request."""
    return account.entitlements()


CurrentEntitlements = Annotated[Entitlements, Depends(snapshot)]
"""The resolved entitlements of the account of the request: `entitlements: CurrentEntitlements`."""


def require(*features: RequiredFeature) -> Callable[..., Awaitable[None]]:
    """
    Return a dependency that refuses accounts without every one of *features*.

    Args:
        features: Names of features, `feature:level`, or limits.

    Raises:
        ValueError: If there are none, or one is not a str.
    """
    rule = requirement(features)

    async def required(account: CurrentAccount) -> None:
        run_sync(decide_endpoint(account, rule, None), _consume_nothing)

    vars(required)[RULE] = rule
    return required


def consume(
    limit: ChargedLimits, n: Units = 1, *, scope: Callable[[HTTPConnection], str | None] | None = None
) -> Callable[..., AsyncIterator[Decision]]:
    """
    Return a dependency that charges units before the endpoint runs, and returns the decision.

    Units of quotas and allocations are refunded if the endpoint raises, except for an
    `HTTPException` below 500 and a client that disconnects. They are also refunded if the
    endpoint does not run because the rest of the request is invalid (422), and if the
    application fails in the middle of a response; not for a later error or cancellation.
    Rates stay spent, and so does the charge of an accepted websocket.

    Args:
        limit: The name of a limit, or a mapping from limits to units: one charge, all or nothing.
        n: Units of a single limit. A callable that raises `ValueError` or `LookupError`, or
            returns a number that cannot be charged, makes the request a 400.
        scope: Returns the scope of limits with a `per` from the request; None or an invalid id is a 400.

    Raises:
        ValueError: If *limit* is neither a name nor a mapping, or empty, a number of units is invalid, or *n* is
            given with a mapping.
    """
    rule = consumption(limit, n, scope)

    async def consumed(request: HTTPConnection, response: Response, account: CurrentAccount) -> AsyncIterator[Decision]:
        async def charge(call: ChargeCall) -> Decision:
            return await awaited(account.consume(call.what, call.n, scope=call.scope))  # type: ignore[no-any-return]

        decision = await run_async(decide_endpoint(account, rule, request, place_of(request)), charge)
        assert decision is not None
        _add_headers(request, response, decision)
        try:
            yield decision
        except BaseException as error:
            if _should_refund(request, error):
                with suppress(asyncio.CancelledError):  # of a cancel scope: the application's own error stands
                    await awaited(account.refund(decision))
                _withdraw_headers(request, decision)
            raise

    vars(consumed)[RULE] = rule
    return consumed


def install(
    app: FastAPI, *, problems: Problems | None = None, headers: HeaderStyle | str = HeaderStyle.DRAFT_11
) -> None:
    """
    Install exception handlers, rate limit headers and startup checks in *app*.

    `Denied` is answered with its problem document, also if your own `raise_for_denied()` raised
    it. Applications that are mounted before *app* starts, or serves its first request, get the
    same handlers. Responses get the headers of the limits that `consume` charged. *app* does not
    start if a dependency names something that the policy does not define.

    Args:
        app: The application, before it has started.
        problems: Renders refusals; by default as the middleware that found the account.
        headers: Style of the rate limit headers, independent of the middleware's.
    """
    install_handlers(app, problems, HeaderStyle(headers))
    _check_at_startup(app)

    def unknown_account_refusal(scope: Scope, policy: PolicyData) -> Refusal | None:
        renderer = problems or problems_of(scope)
        try:
            rooted = {**scope, "root_path": app.root_path} if app.root_path else scope
            denial = dependency_denial(app.routes, rooted, policy)
        except BadRequest:
            return renderer.bad_request()
        return None if denial is None else replace(renderer.refused(denial), decision=None)

    setattr(app, UNKNOWN_ACCOUNT_REFUSAL, unknown_account_refusal)


def _check_at_startup(app: FastAPI) -> None:
    """Check the dependencies of *app* in its lifespan, before its own lifespan context starts."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(started: Any) -> AsyncIterator[Any]:
        enforcer = ENFORCER.get(None)
        if enforcer is not None:
            check_dependencies(app.routes, enforcer.policy)
        async with inner(started) as state:
            yield state

    app.router.lifespan_context = lifespan


def _consume_nothing(call: ChargeCall) -> NoReturn:
    raise AssertionError(call)


def _add_headers(request: HTTPConnection, response: Response, decision: Decision) -> None:
    """Add the rate limit headers of a charge; without `install`, only to a response that FastAPI makes."""
    collected = request.scope.get(HEADERS_KEY)
    if collected is not None:
        collected.add(decision)
        return
    for name, value in rate_limit_headers(decision):
        response.headers.append(name.decode("ascii"), value.decode("ascii"))


def _withdraw_headers(request: HTTPConnection, decision: Decision) -> None:
    """Remove the headers of a refunded charge; one of rates alone refunds nothing."""
    collected = request.scope.get(HEADERS_KEY)
    if collected is not None and receipt_of(decision).operation is not None:
        collected.withdraw(decision)


def _should_refund(request: HTTPConnection, error: BaseException) -> bool:
    """
    Return True if *error* means that the request failed.

    It can come long after the response: FastAPI closes dependencies after the response and its background tasks.
    """
    response = request.scope.get(RESPONSE_KEY)
    if response is not None and response.is_complete:
        return False
    if isinstance(error, HTTPException):
        return error.status_code >= 500
    if isinstance(error, ClientDisconnect | WebSocketDisconnect):
        return False
    if response is not None and response.status is not None:
        return not (response.is_disconnected or isinstance(error, asyncio.CancelledError))
    return not (isinstance(request, WebSocket) and request.application_state is WebSocketState.CONNECTED)
