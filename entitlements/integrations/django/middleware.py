"""The middleware: gates and meters the requests of a Django project, on threads and on event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.urls import Resolver404, resolve

from entitlements.http.async_admission import AsyncAdmission
from entitlements.http.costs import BadRequest
from entitlements.http.current import ACCOUNT, serving
from entitlements.http.endpoint_rules import endpoint_denial
from entitlements.http.environ import scope_of_environ
from entitlements.http.error_refusals import REFUSED_ERRORS
from entitlements.http.metered_request import MeteredRequest
from entitlements.http.problems import Refusal
from entitlements.http.response import text_headers
from entitlements.http.response_body import ResponseBody
from entitlements.http.sync_admission import SyncAdmission
from entitlements.http.types import Headers, Scope
from entitlements.http.unknown_accounts import UNKNOWN_ACCOUNT_REFUSAL
from entitlements.integrations.django.settings import async_enforcer, enforcer, middleware_options
from entitlements.integrations.django.views import request_of_view, rules_of_view
from entitlements.model.policy import PolicyData

REQUEST_KEY = "_entitlements"
"""Attribute of a request: the middleware, and the `MeteredRequest`."""

ERROR_KEY = "_entitlements_error"
"""Attribute of a request: the error that its view raised."""


class EntitlementsMiddleware:
    """
    Gates and meters the requests of a Django project, by the setting `ENTITLEMENTS`.

    Place it behind the middlewares that `IDENTIFY` needs, such as that of authentication. A charge is refunded when
    its request fails: by its status, or by an error in the middle of a response. `raise_for_denied()` in a view is
    answered with the problem document.

    Args:
        get_response: The rest of the project; where it is async, so is the middleware.

    Raises:
        ImproperlyConfigured: If the setting is missing or invalid.
        TypeError, ValueError: For an option that is invalid, as of `EntitlementsMiddleware` of `entitlements.http.asgi`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._sync: SyncAdmission | None = None
        self._async: AsyncAdmission | None = None
        setattr(self, UNKNOWN_ACCOUNT_REFUSAL, self._unknown_account_refusal)
        options = middleware_options()
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self._async = AsyncAdmission(self, enforcer=async_enforcer(), **options)
        else:
            self._sync = SyncAdmission(self, enforcer=enforcer(), **options)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request; a coroutine if the rest of the project is async."""
        if self._sync is None:
            return self._serve_async(request)
        admission = self._sync
        metered = admission.admit(_scope_of(request))
        self._attach(request, metered)
        with serving(metered.account):
            if metered.refusal is not None:
                custom = admission.custom_answer(metered)
                return _with_headers(_answer(metered.refusal, []) if custom is None else custom, metered)
            try:
                response = _with_headers(self.get_response(request), metered)
            except BaseException as error:
                admission.settle(metered, error)
                raise
        self._follow(response, metered)
        if not metered.waits_for_body:
            admission.settle(metered, _error_of(request, response))
        return response

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        admission = self._async
        assert admission is not None
        metered = await admission.admit(_scope_of(request))
        self._attach(request, metered)
        with serving(metered.account):
            if metered.refusal is not None:
                custom = await admission.custom_answer(metered)
                return _with_headers(_answer(metered.refusal, []) if custom is None else custom, metered)
            try:
                response = _with_headers(await self.get_response(request), metered)
            except BaseException as error:
                await admission.settle(metered, error)
                raise
        self._follow(response, metered)
        if not metered.waits_for_body:
            await admission.settle(metered, _error_of(request, response))
        return response

    def _attach(self, request: HttpRequest, metered: MeteredRequest) -> None:
        setattr(request, REQUEST_KEY, (self, metered))
        if metered.reservation is not None:
            request.reservation = metered.reservation

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer an error of a view that has an answer, such as `Denied`."""
        admission = self._sync or self._async
        if not isinstance(exception, REFUSED_ERRORS) or admission is None:
            setattr(request, ERROR_KEY, exception)  # Django answers it with a 500, and does not raise it
            return None
        return _answer(*admission.admission.error_answer(exception))

    def charge(self, metered: MeteredRequest, rule: Any, request: HttpRequest) -> None:
        """Decide the rule of a view on a thread."""
        if self._sync is not None:
            self._sync.charge(metered, rule, request, _place(request))
        elif self._async is not None:
            async_to_sync(self._async.charge)(metered, rule, request, _place(request))

    async def charge_async(self, metered: MeteredRequest, rule: Any, request: HttpRequest) -> None:
        """Decide the rule of a view on an event loop."""
        if self._async is not None:
            await self._async.charge(metered, rule, request, _place(request))
        elif self._sync is not None:
            await asyncio.to_thread(self._sync.charge, metered, rule, request, _place(request))

    def _follow(self, response: HttpResponseBase, metered: MeteredRequest) -> None:
        """Follow a body that is made later to its end."""
        if not isinstance(response, StreamingHttpResponse):
            return
        metered.is_followed = True
        body: Any = response.streaming_content
        if response.is_async:
            response.streaming_content = _followed(body, metered, self._settle_async)
        else:
            settle = self._sync.settle if self._sync else async_to_sync(self._settle_async)
            response.streaming_content = ResponseBody(body, metered, settle)

    async def _settle_async(self, metered: MeteredRequest, error: BaseException | None = None) -> None:
        if self._async is not None:
            await self._async.settle(metered, error)
        elif self._sync is not None:
            await asyncio.to_thread(self._sync.settle, metered, error)

    def _unknown_account_refusal(self, scope: Scope, policy: PolicyData) -> Refusal | None:
        admission, request = self._sync or self._async, scope["django.request"]
        assert admission is not None
        try:
            view = resolve(request.path_info, getattr(request, "urlconf", None)).func
            denial = endpoint_denial(rules_of_view(view), request_of_view(view, request), _place(request), policy)
        except Resolver404:
            return None
        except BadRequest:
            return admission.admission.problems.bad_request()
        return None if denial is None else replace(admission.admission.problems.refused(denial), decision=None)


async def _followed(
    body: AsyncIterable[Any],
    metered: MeteredRequest,
    settle: Callable[[MeteredRequest, BaseException | None], Awaitable[None]],
) -> AsyncIterator[Any]:
    """Yield the chunks of a body; settle its request at the end."""
    chunks, account = aiter(body), metered.account
    try:
        while True:
            token = ACCOUNT.set(account)
            try:
                chunk = await anext(chunks)
            finally:
                ACCOUNT.reset(token)
            yield chunk
    except StopAsyncIteration:
        metered.is_complete = True
        await settle(metered, None)
    except GeneratorExit:  # closed by the server: the client has disconnected
        metered.is_disconnected = True
        await settle(metered, None)
        raise
    except BaseException as error:
        await settle(metered, error)
        raise


def _scope_of(request: HttpRequest) -> Scope:
    """Return the ASGI scope of a request: that of the server, or one that is made of the WSGI environment."""
    served = getattr(request, "scope", None)
    scope: Scope = dict(served) if served is not None else scope_of_environ(request.environ)
    scope["django.request"] = request
    user = getattr(request, "user", None)
    if user is not None:
        scope["user"] = user
    return scope


def _error_of(request: HttpRequest, response: HttpResponseBase) -> BaseException | None:
    """Return the error that a view raised, if it is answered with a 500; other middlewares may answer it otherwise."""
    return getattr(request, ERROR_KEY, None) if response.status_code >= 500 else None


def _place(request: HttpRequest) -> str:
    match = request.resolver_match
    return f"{request.method} {match.route if match else ''}"


def _answer(refusal: Refusal, headers: Headers) -> HttpResponse:
    response = HttpResponse(refusal.content, status=refusal.status)
    for name, value in text_headers([*refusal.headers, *headers]):
        response.headers[name] = value
    return response


def _with_headers(response: HttpResponseBase, metered: MeteredRequest) -> HttpResponseBase:
    """Return a response with the rate limit headers; Django keeps one line of each name, and theirs are lists."""
    headers = response.headers
    for name, value in text_headers(metered.headers(response.status_code, headers.items()), headers.keys()):
        present = headers.get(name)
        headers[name] = f"{present}, {value}" if present else value
    return response
