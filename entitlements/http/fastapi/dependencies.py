"""
For FastAPI: dependencies that gate and charge single endpoints, and what they answer in the OpenAPI.

    app = FastAPI()
    install(app)
    app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, identify=api_key(keys)))

    @app.get("/sso", dependencies=[Depends(require("sso"))], responses=responses(401, 403))
    async def settings(account: CurrentAccount): ...

They stand behind an `EntitlementsMiddleware` or an `AccountMiddleware`, which finds the
account. What they ask for is checked when the application starts: a name that the policy
does not know keeps it from starting. A dependency sees what an endpoint raises, but not a
response of 500 that it *returns*: who needs a refund for those lets the middleware charge
the route. How far a response has come, it knows by `install`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

try:
    from fastapi import Depends, FastAPI, Response
    from fastapi.requests import HTTPConnection
except ModuleNotFoundError as error:
    what = f"entitlements.http.fastapi needs FastAPI ({error}): pip install 'entitlements[fastapi]'"
    raise ModuleNotFoundError(what, name=error.name) from None
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from entitlements.errors import Denied
from entitlements.handles import AsyncBoundAccount, BoundAccount
from entitlements.http.costs import BadRequest, whose_fault
from entitlements.http.current import ENFORCER
from entitlements.http.fastapi.charges import as_unable_to_pay, charge_of, refused_to_strangers
from entitlements.http.fastapi.checks import ASKED, check
from entitlements.http.fastapi.handlers import AccountRequired, UnknownDenied, answer_mounted, handlers
from entitlements.http.fastapi.openapi import responses
from entitlements.http.header_middleware import HEADERS_KEY, RESPONSE_KEY, HeaderMiddleware
from entitlements.http.headers import HeaderStyle, rate_limit_headers
from entitlements.http.problems import Problems, Refusal
from entitlements.http.routes import Route
from entitlements.http.types import Scope
from entitlements.http.unknown_accounts import TO_STRANGER, as_unentitled
from entitlements.model.decision import Decision
from entitlements.model.entitlements import Entitlements
from entitlements.model.facts import Reason
from entitlements.model.names import check_count
from entitlements.model.policy import Policy

__all__ = [
    "AccountRequired", "CurrentAccount", "CurrentEntitlements", "Handle", "Units", "account", "consume", "install",
    "require", "responses", "snapshot",
]  # fmt: skip

_log = logging.getLogger("entitlements.http")

Handle = AsyncBoundAccount | BoundAccount
Units = int | Callable[[HTTPConnection], int]
"""How many units: a number, or what computes it from the request; 0 takes nothing."""


def account(request: HTTPConnection) -> Handle:
    """
    Return the account that the middleware found, with its verbs bound to it.

    Raises:
        AccountRequired: Where it found none, as on an exempt route: answered with 401.
    """
    found = getattr(request.state, "account", None)
    if found is None:
        _log.warning(
            "an endpoint asks for the account, and no middleware has found one: put EntitlementsMiddleware around"
            " the application, or take this route from the exempt ones"
        )
        raise AccountRequired
    return found  # type: ignore[no-any-return]


CurrentAccount = Annotated[AsyncBoundAccount, Depends(account)]
"""
Write `account: CurrentAccount` for the account of the request.

Behind a blocking `Enforcer` it is a `BoundAccount`: `Annotated[BoundAccount, Depends(account)]` says so to a type checker.
"""


def snapshot(account: CurrentAccount) -> Entitlements:
    """Return everything that is resolved for the account of the request."""
    return account.entitlements()


CurrentEntitlements = Annotated[Entitlements, Depends(snapshot)]
"""Write `mine: CurrentEntitlements` for the snapshot of the request's account."""


def require(*features: str) -> Callable[..., Awaitable[None]]:
    """
    Return a dependency that lets only accounts pass that have every one of *features*.

    Args:
        features: Names of features, `feature:level`, or limits.

    Raises:
        ValueError: Without any.
    """
    if not features or not all(isinstance(each, str) for each in features):
        raise ValueError("require() needs names of features, such as require('sso')")

    async def required(account: CurrentAccount) -> None:
        for feature in features:
            decision = account.decide(feature)
            if not decision.allowed:
                raise _denied(decision, lambda: as_unentitled(account.entitlements().policy, features, {}))

    vars(required)[ASKED] = Route(requires=features)
    return required


def consume(
    limit: str | Mapping[str, Units], n: Units = 1, *, scope: Callable[[HTTPConnection], str | None] | None = None
) -> Callable[..., AsyncIterator[Decision]]:
    """
    Return a dependency that takes units before the endpoint runs, and gives the decision.

    Units of quotas and allocations come back when the endpoint raises, but for an
    `HTTPException` below 500, and for a client that hangs up; those of rates stay spent.
    They come back too where the endpoint does not run because the rest of the request is
    invalid (422), and where a response breaks off by itself; not for what fails or is
    cancelled later. An accepted websocket stays paid for.

    Args:
        limit: A limit's name, or several with the units of each: one charge, all or nothing.
        n: Units of a single limit. Those that are computed: `ValueError` and `LookupError`
            say that the request is wrong, and so does a number that cannot be charged: 400.
        scope: From the request to whose meter a limit with a `per` is kept on; None and what
            can be no id are a 400.

    Raises:
        ValueError: For units that cannot be.
    """
    wanted = {limit: n} if isinstance(limit, str) else dict(limit)
    for name, units in wanted.items():
        if not callable(units):
            check_count(units, f"cost of {name!r}")

    asked = Route(consumes=wanted, scope=scope)

    async def consumed(request: HTTPConnection, response: Response, account: CurrentAccount) -> AsyncIterator[Decision]:
        taken, whose = charge_of(asked, request, account.id)
        try:
            if taken:
                decision: Decision = await _settled(account.consume(taken, scope=whose))
            else:
                decision = account.decide(next(iter(wanted)))
        except ValueError as error:
            if scope is None:
                raise
            raise whose_fault(error, whose, f"consume({', '.join(wanted)})") from error
        if not decision.allowed:
            raise _denied(decision, lambda: as_unable_to_pay(asked, account.entitlements().policy, taken, whose))
        _tell(request, response, decision)
        try:
            yield decision
        except BaseException as error:
            if _is_void(request, error):
                await _settled(account.refund(decision))
                _withdraw(request, decision)
            raise

    vars(consumed)[ASKED] = asked
    return consumed


def install(
    app: FastAPI, *, problems: Problems | None = None, headers: HeaderStyle | str = HeaderStyle.DRAFT_11
) -> None:
    """
    Let *app* answer `Denied`, also one of your own `raise_for_denied()`, with its problem document.

    So do the applications that are mounted in it by its first request, or its start.

    From then on responses say what `consume` has left of limits, and *app* does not start
    where its dependencies ask for what the policy does not know.

    Args:
        app: The application, before it has started.
        problems: How refusals read.
        headers: How responses say what is left: a setting of its own beside the middleware's.
    """
    style = HeaderStyle(headers)
    say = problems or Problems()
    answers = handlers(say, style)
    for error, handler in answers.items():
        app.add_exception_handler(error, handler)
    app.add_middleware(HeaderMiddleware, style=style, starting=lambda: answer_mounted(app.routes, answers))
    _check_at_start(app)

    def to_stranger(scope: Scope, policy: Policy) -> Refusal | None:
        try:
            rooted = {**scope, "root_path": app.root_path} if app.root_path else scope
            decision = refused_to_strangers(app.routes, rooted, policy)
        except BadRequest:
            return say.bad_request()
        return None if decision is None else replace(say.refused(decision), decision=None)

    setattr(app, TO_STRANGER, to_stranger)


def _check_at_start(app: FastAPI) -> None:
    """Let *app* refuse to start where its dependencies ask for what the policy does not know."""
    running = app.router.lifespan_context

    @asynccontextmanager
    async def checking(started: Any) -> AsyncIterator[Any]:
        enforcer = ENFORCER.get(None)
        if enforcer is not None:
            check(app.routes, enforcer.policy)
        async with running(started) as state:
            yield state

    app.router.lifespan_context = checking


def _denied(decision: Decision, like: Callable[[], Decision | None]) -> Denied:
    """Return what is raised for a refused decision; that of an unknown account does not tell it from others."""
    return UnknownDenied(decision, like()) if decision.reason is Reason.UNKNOWN_ACCOUNT else Denied(decision)


def _tell(request: HTTPConnection, response: Response, decision: Decision) -> None:
    """Let the response say what is left."""
    told = request.scope.get(HEADERS_KEY)
    if told is not None:
        told.add(decision)
        return
    for name, value in rate_limit_headers(decision):
        response.headers.append(name.decode("ascii"), value.decode("ascii"))


def _withdraw(request: HTTPConnection, decision: Decision) -> None:
    """Let the response say nothing of a charge of which something was given back."""
    told = request.scope.get(HEADERS_KEY)
    if told is not None and decision.receipt.operation is not None:
        told.withdraw(decision)


def _is_void(request: HTTPConnection, error: BaseException) -> bool:
    """
    Say whether a request has come to nothing by what was raised.

    That may be long after the endpoint has answered: FastAPI closes its dependencies behind
    the response and the background tasks.
    """
    response = request.scope.get(RESPONSE_KEY)
    if response is not None and response.is_complete:
        return False
    if isinstance(error, HTTPException):
        return error.status_code >= 500
    if isinstance(error, ClientDisconnect | WebSocketDisconnect):
        return False
    if response is not None and response.status is not None:
        return not (response.is_gone or isinstance(error, asyncio.CancelledError))
    return not (isinstance(request, WebSocket) and request.application_state is WebSocketState.CONNECTED)


async def _settled(result: Any) -> Any:
    """Return the result of a verb of either kind of handle."""
    return await result if inspect.isawaitable(result) else result
