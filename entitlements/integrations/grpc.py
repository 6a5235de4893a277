"""
gRPC: interceptors that gate and meter the calls of a server, sync and aio.

    server = grpc.server(pool, interceptors=[EntitlementsInterceptor(enforcer=enforcer, identify=api_key(keys))])

Rules match the full name of a method, such as `Route("/shop.Leads/Create", consumes={"leads": 1})`. A call is a `POST`,
its metadata are the headers of its scope.

| problem | code |
|---|---|
| `bad-request` | `INVALID_ARGUMENT` |
| `account-required` | `UNAUTHENTICATED` |
| `not-included`, `limit-reached`, `suspended` | `PERMISSION_DENIED` |
| `quota-exceeded` | `RESOURCE_EXHAUSTED` |
| `limits-unavailable` | `UNAVAILABLE` |

A refusal has the detail of its problem, and in its trailing metadata the rate limit headers, `retry-after`,
`grpc-retry-pushback-ms` and the problem document (`entitlements-problem`).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from entitlements.extras import extra

with extra("grpc", "gRPC", __name__):
    import grpc
    import grpc.aio

from entitlements.http.async_admission import AsyncAdmission
from entitlements.http.current import current_account, serving
from entitlements.http.response import text_headers
from entitlements.http.sync_admission import SyncAdmission
from entitlements.http.types import awaited

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.http.identify import Identify
    from entitlements.http.metered_request import MeteredRequest
    from entitlements.http.middleware_options import MiddlewareOptions
    from entitlements.http.routes import RouteTable
    from entitlements.http.types import Scope

__all__ = ["AsyncEntitlementsInterceptor", "EntitlementsInterceptor", "current_account"]

CODES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "PERMISSION_DENIED", 403: "PERMISSION_DENIED",
         429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}  # fmt: skip
"""Codes of refusals by HTTP status."""

STATUSES = {"OK": 200, "CANCELLED": 499, "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400,
            "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409,
            "RESOURCE_EXHAUSTED": 429, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}  # fmt: skip
"""HTTP statuses of codes (google/rpc/code.proto), by which `refund_on` says what failed; 500 for any other."""

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class EntitlementsInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """
    Gates and meters the calls of a gRPC server.

    Args:
        enforcer: An `Enforcer`.
        identify: Returns the account of a scope: an id, an `Account` or None. It is never awaited.
        options: The options of `EntitlementsMiddleware` of `entitlements.http.asgi`, from `routes` on, without `on_denied`.

    Raises:
        TypeError: If `identify` is async or not callable, the enforcer is one for event loops, or an option has the wrong type.
        ValueError: If a rule can never match, or names something that the policy does not define.
    """

    def __init__(self, *, enforcer: Enforcer, identify: Identify, **options: Unpack[MiddlewareOptions]) -> None:
        self._admission = SyncAdmission(None, enforcer=enforcer, identify=identify, **options)
        _check_settling(self._admission.table)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Return the handler of a call, gated."""
        return _gated(continuation(details), details, self._unary, self._stream)

    def _unary(self, behavior: Any, details: Any, given: Any, context: Any) -> Any:
        metered = self._admit(details, context)
        with serving(metered.account), _Settled(self._admission, metered, context):
            return behavior(given, context)

    def _stream(self, behavior: Any, details: Any, given: Any, context: Any) -> Iterator[Any]:
        metered = self._admit(details, context)
        with _Settled(self._admission, metered, context):
            with serving(metered.account):
                answers = iter(behavior(given, context))
            while True:
                with serving(metered.account):
                    try:
                        answer = next(answers)
                    except StopIteration:
                        return
                yield answer

    def _admit(self, details: Any, context: Any) -> MeteredRequest:
        metered = self._admission.admit(_scope_of(details, context))
        context.set_trailing_metadata(_metadata(metered))
        if metered.refusal is not None:
            context.abort(_code(metered), metered.refusal.body["detail"])
        return metered


class _Settled:
    """
    The block of a call, which refunds it when it fails.

    Args:
        admission: Refunds it.
        metered: The call.
        context: Its context.
    """

    def __init__(self, admission: SyncAdmission, metered: MeteredRequest, context: Any) -> None:
        self._admission, self._metered, self._context = admission, metered, context

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Settle by the code of the call."""
        if isinstance(error, GeneratorExit):
            self._metered.is_disconnected = True
        self._metered.status = _status(self._context.code(), error)
        self._admission.settle(self._metered, None)


class AsyncEntitlementsInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """
    Gates and meters the calls of a `grpc.aio` server; see `EntitlementsInterceptor`.

    Args:
        enforcer: An `AsyncEnforcer`, or an `Enforcer` on the memory store.
        identify: Returns the account of a scope: an id, an `Account` or None, sync or async.
        options: As for `EntitlementsInterceptor`.

    Raises:
        TypeError, ValueError: As for `EntitlementsInterceptor`.
    """

    def __init__(
        self, *, enforcer: AsyncEnforcer | Enforcer, identify: Identify, **options: Unpack[MiddlewareOptions]
    ) -> None:
        self._admission = AsyncAdmission(None, enforcer=enforcer, identify=identify, **options)
        _check_settling(self._admission.table)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Return the handler of a call, gated."""
        return _gated(await continuation(details), details, self._unary, self._stream)

    async def _unary(self, behavior: Any, details: Any, given: Any, context: Any) -> Any:
        metered = await self._admit(details, context)
        try:
            with serving(metered.account):
                answer = await awaited(behavior(given, context))
        except BaseException as error:
            await self._settle(metered, context, error)
            raise
        await self._settle(metered, context)
        return answer

    async def _stream(self, behavior: Any, details: Any, given: Any, context: Any) -> AsyncIterator[Any]:
        metered = await self._admit(details, context)
        try:
            answers = aiter(behavior(given, context))
            while True:
                with serving(metered.account):
                    try:
                        answer = await anext(answers)
                    except StopAsyncIteration:
                        break
                yield answer
        except BaseException as error:
            await self._settle(metered, context, error)
            raise
        await self._settle(metered, context)

    async def _admit(self, details: Any, context: Any) -> MeteredRequest:
        metered = await self._admission.admit(_scope_of(details, context))
        context.set_trailing_metadata(_metadata(metered))
        if metered.refusal is not None:
            await context.abort(_code(metered), metered.refusal.body["detail"], _metadata(metered))
        return metered

    async def _settle(self, metered: MeteredRequest, context: Any, error: BaseException | None = None) -> None:
        metered.status = _status(context.code(), error)
        await self._admission.settle(metered)


def _check_settling(table: RouteTable) -> None:
    """Raise `ValueError` for a rule that settles: a call has no response whose headers could say what it used."""
    settling = next((each for each in (*table.routes, table.default) if each is not None and each.settles), None)
    if settling is not None:
        cure = "gRPC calls do not; reserve and commit in the method: current_account().reserve(...)"
        raise ValueError(f"{settling} settles by its response; {cure}")


def _gated(handler: Any, details: Any, unary: Any, stream: Any) -> Any:
    """Return a handler whose behavior is gated; None, for a method that the server does not have, stays None."""
    if handler is None:
        return None
    kind = next(each for each in KINDS if getattr(handler, each) is not None)
    behavior = getattr(handler, kind)
    streams = kind.endswith("stream") and not inspect.iscoroutinefunction(behavior)  # those write to their context
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    gated = partial(stream if streams else unary, behavior, details)
    return make(gated, handler.request_deserializer, handler.response_serializer)


def _scope_of(details: Any, context: Any) -> Scope:
    """Return the scope of a call; its peer, such as `ipv4:192.0.2.1:50051`, is the client."""
    metadata: Iterable[tuple[str, str | bytes]] = details.invocation_metadata or ()
    kind, _, address = context.peer().partition(":")
    host, _, port = address.rpartition(":")
    return {
        "type": "http",
        "method": "POST",
        "path": details.method,
        "query_string": b"",
        "headers": [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in metadata],
        "client": (host.replace("%5B", "[").replace("%5D", "]"), int(port))
        if kind in {"ipv4", "ipv6"} and port.isdigit()
        else None,
        "grpc.context": context,
    }


def _metadata(metered: MeteredRequest) -> tuple[tuple[str, str], ...]:
    """Return the trailing metadata of a call."""
    refusal = metered.refusal
    found = text_headers(metered.headers(200 if refusal is None else refusal.status))
    if refusal is not None:
        found.append(("entitlements-problem", refusal.content.decode("ascii")))
        if refusal.retry_after is not None:
            found += [
                ("retry-after", str(refusal.retry_after)),
                ("grpc-retry-pushback-ms", str(refusal.retry_after * 1000)),
            ]
    return tuple(found)


def _code(metered: MeteredRequest) -> Any:
    assert metered.refusal is not None
    return getattr(grpc.StatusCode, CODES[metered.refusal.status])


def _status(code: Any, error: BaseException | None) -> int:
    """Return the HTTP status of a code; aio has its number, and none for OK. An error without a code is unknown."""
    if code in (None, 0, grpc.StatusCode.OK):
        if isinstance(error, GeneratorExit) or type(error).__name__ == "CancelledError":
            return 499
        return 200 if error is None else 500
    name = (
        code.name
        if isinstance(code, grpc.StatusCode)
        else next(each.name for each in grpc.StatusCode if each.value[0] == code)
    )
    return STATUSES.get(name, 500)
