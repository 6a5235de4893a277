"""
WSGI: gates and meters the requests of any WSGI application, as `EntitlementsMiddleware` of `entitlements.http.asgi` does.

    application = EntitlementsMiddleware(application, enforcer=Enforcer(policy, store=...), identify=api_key(keys))

Within a request `current_account()` returns the account, with its verbs bound to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Unpack

from entitlements.http.current import ACCOUNT, current_account
from entitlements.http.environ import scope_of_environ
from entitlements.http.metered_request import MeteredRequest
from entitlements.http.middleware_options import MiddlewareOptions
from entitlements.http.refusals import log_denied_error
from entitlements.http.response import text_headers
from entitlements.http.response_body import ResponseBody
from entitlements.http.sync_admission import SyncAdmission

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.http.identify import Identify

__all__ = ["EntitlementsMiddleware", "current_account"]

RESERVATION_KEY = "entitlements.reservation"
"""Key of a WSGI environment with the reservation of a request whose route settles."""

_NAME = itemgetter(0)

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class EntitlementsMiddleware:
    """
    Gates and meters the requests of a WSGI application.

    A charge is refunded when its request fails: by its status, or by an error of the application, also in the
    middle of a response. A list of chunks passes as it is, any other body as an iterator that closes it.

    Args:
        app: The application.
        enforcer: An `Enforcer`; its store may be networked, because each request has a thread.
        identify: Returns the account of a scope: an id, an `Account` or None. It is never awaited.
        options: The options of `EntitlementsMiddleware` of `entitlements.http.asgi`, from `routes` on; `on_denied`
            returns a WSGI application. `scope["wsgi.environ"]` is the environment of the request.

    Raises:
        TypeError: If `identify` is async or not callable, the enforcer is one for event loops, or an option has the wrong type.
        ValueError: If a rule can never match, or names something that the policy does not define.
    """

    def __init__(
        self, app: Application, *, enforcer: Enforcer, identify: Identify, **options: Unpack[MiddlewareOptions]
    ) -> None:
        self.app = app
        self._admission = SyncAdmission(app, enforcer=enforcer, identify=identify, **options)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        request = self._admission.admit(scope_of_environ(environ))

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            added = request.headers(int(status[:3]), headers)
            if added:
                headers = [*headers, *text_headers(added, map(_NAME, headers))]
            return start_response(status, headers, *exc_info)

        if request.reservation is not None:
            environ[RESERVATION_KEY] = request.reservation
        token = ACCOUNT.set(request.account)
        try:
            if request.refusal is not None:
                return self._refuse(request, environ, start)
            body = self.app(environ, start)
        except BaseException as error:
            self._admission.settle(request, error)
            raise
        finally:
            ACCOUNT.reset(token)
        if type(body) in {list, tuple}:
            self._admission.settle(request)
            return body
        return ResponseBody(body, request, self._admission.settle)

    def _refuse(self, request: MeteredRequest, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer a refused request: with the application of `on_denied`, or with the problem document."""
        refusal = request.refusal
        assert refusal is not None
        custom = self._admission.custom_answer(request)
        if custom is not None:
            try:
                return custom(environ, start)  # type: ignore[no-any-return]
            except Exception as error:
                if request.status is not None:
                    raise
                log_denied_error(error, refusal)
        content = refusal.content
        headers = [*text_headers(refusal.headers), ("content-length", str(len(content)))]
        start(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]
