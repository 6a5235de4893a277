"""
For FastAPI: dependencies that gate and charge single endpoints, and what they answer in the OpenAPI.

    app = FastAPI()
    app.add_middleware(EntitlementsMiddleware, enforcer=enforcer, identify=api_key(keys))
    install(app)

    @app.get("/sso", dependencies=[Depends(require("sso"))], responses=responses(401, 403))
    async def settings(account: CurrentAccount): ...

They stand behind an `EntitlementsMiddleware` or an `AccountMiddleware`, which finds the
account. A dependency sees what an endpoint raises, but not a response of 500 that it
*returns*: who needs a refund for those lets the middleware charge the route.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.requests import HTTPConnection, Request
from fastapi.responses import Response

from entitlements.bound import AsyncBoundAccount, BoundAccount
from entitlements.errors import AccountError, Denied, StoreError
from entitlements.http.headers import HeaderStyle, rate_limit_headers
from entitlements.http.problems import STATUS, TITLE, Problems, Refusal
from entitlements.http.types import Headers
from entitlements.model.decision import Decision
from entitlements.model.entitlements import Entitlements
from entitlements.model.names import check_count

Handle = AsyncBoundAccount | BoundAccount
Units = int | Callable[[HTTPConnection], int]
"""How many units: a number, or what computes it from the request."""


class AccountRequired(Exception):
    """A dependency ran for a request for which no middleware has found an account."""


def account(request: HTTPConnection) -> Handle:
    """
    Return the account that the middleware found, with its verbs bound to it.

    Raises:
        AccountRequired: Where it found none, as on an exempt route: answered with 401.
    """
    found = getattr(request.state, "account", None)
    if found is None:
        raise AccountRequired
    return found  # type: ignore[no-any-return]


CurrentAccount = Annotated[Any, Depends(account)]
"""Write `account: CurrentAccount` for the account of the request: `AsyncBoundAccount`, or `BoundAccount`."""


def snapshot(account: CurrentAccount) -> Entitlements:
    """Return everything that is resolved for the account of the request."""
    return account.entitlements()  # type: ignore[no-any-return]


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
            account.decide(feature).raise_for_denied()

    return required


def consume(limit: str | Mapping[str, Units], n: Units = 1) -> Callable[..., AsyncIterator[Decision]]:
    """
    Return a dependency that takes units before the endpoint runs, and gives the decision.

    Units of quotas and allocations come back when the endpoint raises, but for an
    `HTTPException` below 500; those of rates stay spent.

    Args:
        limit: A limit's name, or several with the units of each: one charge, all or nothing.
        n: Units of a single limit.

    Raises:
        ValueError: For units that cannot be.
    """
    wanted = {limit: n} if isinstance(limit, str) else dict(limit)
    for name, units in wanted.items():
        if not callable(units):
            check_count(units, f"cost of {name!r}")

    async def consumed(request: HTTPConnection, response: Response, account: CurrentAccount) -> AsyncIterator[Decision]:
        costs = {name: units(request) if callable(units) else units for name, units in wanted.items()}
        decision: Decision = await _settled(account.consume(costs))
        decision.raise_for_denied()
        for name, value in rate_limit_headers(decision):
            response.headers.append(name.decode("ascii"), value.decode("ascii"))
        try:
            yield decision
        except HTTPException as error:
            if error.status_code >= 500:
                await _settled(account.refund(decision))
            raise
        except BaseException:
            await _settled(account.refund(decision))
            raise

    return consumed


def install(
    app: FastAPI, *, problems: Problems | None = None, headers: HeaderStyle | str = HeaderStyle.DRAFT_11
) -> None:
    """
    Let *app* answer `Denied`, also one of your own `raise_for_denied()`, with its problem document.

    Args:
        app: The application.
        problems: How refusals read.
        headers: How they say what is left.
    """
    say, style = problems or Problems(), HeaderStyle(headers)

    async def denied(_: Request, error: Exception) -> Response:
        assert isinstance(error, Denied)
        return _response(say.refused(error.decision), rate_limit_headers(error.decision, style))

    async def nobody(_: Request, __: Exception) -> Response:
        return _response(say.account_required())

    async def unavailable(_: Request, __: Exception) -> Response:
        return _response(say.unavailable())

    app.add_exception_handler(Denied, denied)
    app.add_exception_handler(AccountRequired, nobody)
    app.add_exception_handler(StoreError, unavailable)
    app.add_exception_handler(AccountError, unavailable)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """
    Return what stands in the OpenAPI for refusals: `responses=responses(401, 403, 429)`.

    Args:
        statuses: Of 401, 402, 403, 429 and 503; all of them by default.

    Raises:
        ValueError: For any other.
    """
    known = (401, 402, 403, 429, 503)
    wrong = [each for each in statuses if each not in known]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no status of a refusal; there are {', '.join(map(str, known))}")
    return {status: _documented(status) for status in statuses or known}


_MEMBERS: dict[str, dict[str, Any]] = {
    "type": {"type": "string", "format": "uri-reference"},
    "title": {"type": "string"},
    "status": {"type": "integer"},
    "detail": {"type": "string"},
    "feature": {"type": "string"},
    "remedy": {
        "type": "object",
        "properties": {"tier": {"type": ["string", "null"]}, "add_on": {"type": ["string", "null"]}},
    },
    "upgrade_url": {"type": "string", "format": "uri"},
    "limit": {"type": ["integer", "string"]},
    "used": {"type": ["integer", "null"]},
    "remaining": {"type": ["integer", "string", "null"]},
    "resets_at": {"type": ["string", "null"], "format": "date-time"},
    "retry_after": {"type": ["integer", "null"]},
    "violated-policies": {"type": "array", "items": {"type": "string"}},
}
_ALWAYS = ["type", "title", "status", "detail"]


def _documented(status: int) -> dict[str, Any]:
    titles = [TITLE[kind] for kind, each in STATUS.items() if each == (403 if status == 402 else status)]
    told: dict[str, Any] = {"cache-control": {"schema": {"type": "string"}}}
    if status in {429, 503}:
        told["retry-after"] = {"schema": {"type": "integer"}, "description": "Seconds; left out where that is long."}
    if status == 429:
        for name in ("ratelimit", "ratelimit-policy"):
            told[name] = {"schema": {"type": "string"}, "description": "draft-ietf-httpapi-ratelimit-headers-11"}
    schema = {"type": "object", "required": _ALWAYS, "properties": _MEMBERS}
    return {
        "description": "; ".join(titles),
        "headers": told,
        "content": {"application/problem+json": {"schema": schema}},
    }


def _response(refusal: Refusal, headers: Headers | None = None) -> Response:
    response = Response(refusal.content, refusal.status)
    response.raw_headers = [*refusal.headers, *(headers or ()), (b"content-length", b"%d" % len(refusal.content))]
    return response


async def _settled(result: Any) -> Any:
    """Return the result of a verb of either kind of handle."""
    return await result if inspect.isawaitable(result) else result
