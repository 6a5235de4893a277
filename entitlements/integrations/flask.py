"""
Flask: an extension that gates and meters requests, and decorators for single views.

    extension = Entitlements(app, enforcer=Enforcer(policy, store=...), identify=api_key(keys))

    @app.post("/leads")
    @consume("leads")
    def create(): ...

`identify`, costs and `scope=` of routes run within the request, so they may read `flask.request`, `flask.g` and the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from entitlements.extras import extra

with extra("flask", "Flask", __name__):
    import flask

from entitlements.http.costs import BadRequest
from entitlements.http.current import ACCOUNT, current_account
from entitlements.http.endpoint_rules import RULES, consumption, endpoint_denial, requirement
from entitlements.http.environ import scope_of_environ
from entitlements.http.error_refusals import REFUSED_ERRORS, AccountRequired
from entitlements.http.response import text_headers
from entitlements.http.response_body import ResponseBody
from entitlements.http.sync_admission import SyncAdmission
from entitlements.http.unknown_accounts import UNKNOWN_ACCOUNT_REFUSAL
from entitlements.rules.route_matching import unknown_names

if TYPE_CHECKING:
    from entitlements.http.metered_request import MeteredRequest
    from entitlements.http.problems import Refusal
    from entitlements.http.routes import Route
    from entitlements.http.types import Scope
    from entitlements.model.policy import PolicyData

__all__ = ["Entitlements", "consume", "current_account", "require"]

P = ParamSpec("P")
R = TypeVar("R")

REQUESTS_KEY = "entitlements.flask"
"""Key of a WSGI environment with the requests of the extensions of an application, the last one innermost."""


class Entitlements:
    """
    Gates and meters the requests of a Flask application.

    It runs after the `before_request` functions that were registered before it. A charge is refunded when its
    request fails: by its status, or by an error of the application, also in the middle of a response.

    Args:
        app: The application; without it call `init_app`.
        options: `enforcer`, an `Enforcer`; `identify`, which returns the account of a scope; and the options of
            `EntitlementsMiddleware` of `entitlements.http.asgi`, from `routes` on. `on_denied` returns a response.

    Raises:
        TypeError: If `identify` is async or not callable, the enforcer is one for event loops, or an option has the wrong type.
        ValueError: If a rule can never match, or names something that the policy does not define.
    """

    def __init__(self, app: flask.Flask | None = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask, **options: Any) -> None:
        """
        Install the extension in *app*.

        Args:
            app: The application, before its first request.
            options: Options that replace those of the constructor.

        Raises:
            TypeError, ValueError: As the constructor.
        """
        installed = _Installed(app, **self._options | options)
        app.extensions["entitlements"] = installed
        app.before_request(installed.before)
        app.after_request(installed.after)
        app.teardown_request(installed.teardown)
        for error in REFUSED_ERRORS:
            app.register_error_handler(error, _answer_error)


class _Installed:
    """
    The extension in one application.

    Args:
        app: The application.
        options: Those of `SyncAdmission`.
    """

    def __init__(self, app: flask.Flask, **options: Any) -> None:
        self._app = app
        missing = {"enforcer", "identify"} - options.keys()
        if missing:
            raise TypeError(f"Entitlements(app, ...) needs {min(missing)}=, also in init_app(app)")
        self.admission = SyncAdmission(self, **options)
        self._policy = options["enforcer"].policy
        self._is_checked = False
        setattr(self, UNKNOWN_ACCOUNT_REFUSAL, self._unknown_account_refusal)

    def before(self) -> flask.typing.ResponseReturnValue | None:
        """Admit the request; return the answer if it is refused."""
        self._check_views()
        environ = _environ()
        request = self.admission.admit(scope_of_environ(environ))
        environ.setdefault(REQUESTS_KEY, []).append((self, request, ACCOUNT.get()))
        ACCOUNT.set(request.account)
        if request.reservation is not None:
            flask.g.reservation = request.reservation
        if request.refusal is None:
            return None
        custom = self.admission.custom_answer(request)
        return _response(request.refusal, []) if custom is None else custom

    def after(self, response: flask.Response) -> flask.Response:
        """Add the rate limit headers, and follow a body that is made later."""
        request = self._request()
        if request is not None:
            headers = response.headers
            for name, value in text_headers(request.headers(response.status_code, headers), headers.keys()):
                headers.add(name, value)
            request.is_followed = _is_iterated(response)
            if request.is_followed:
                response.response = ResponseBody(response.response, request, self.admission.settle)
        return response

    def teardown(self, error: BaseException | None) -> None:
        """Refund the charges if the request failed; those of a body that is made later wait for its end."""
        found = _environ().get(REQUESTS_KEY, [])
        for each in tuple(found):
            owner, request, outer = each
            if owner is not self:
                continue
            found.remove(each)
            ACCOUNT.set(outer)
            if error is not None or not request.waits_for_body:
                self.admission.settle(request, error)

    def _request(self) -> MeteredRequest | None:
        for owner, request, _ in _environ().get(REQUESTS_KEY, ()):
            if owner is self:
                return request  # type: ignore[no-any-return]
        return None

    def _check_views(self) -> None:
        """Check the names in the decorators of all views, once."""
        if not self._is_checked:
            rules = [rule for view in self._app.view_functions.values() for rule in getattr(view, RULES, ())]
            wrong = [text for rule in rules for text in unknown_names(rule, self._policy)]
            if wrong:
                raise ValueError("; ".join(dict.fromkeys(wrong)))
            self._is_checked = True

    def _unknown_account_refusal(self, scope: Scope, policy: PolicyData) -> Refusal | None:
        view = self._app.view_functions.get(flask.request.endpoint or "")
        problems = self.admission.admission.problems
        try:
            denial = endpoint_denial(getattr(view, RULES, ()), flask.request, _place(), policy)
        except BadRequest:
            return problems.bad_request()
        return None if denial is None else replace(problems.refused(denial), decision=None)


def require(*features: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Return a decorator of a view that refuses accounts without every one of *features*.

    Args:
        features: Names of features, `feature:level`, or limits.

    Raises:
        ValueError: If there are none, or one is not a str.
    """
    return _decorator(requirement(features))


def consume(
    limit: str | Mapping[str, int | Callable[[flask.Request], int]],
    n: int | Callable[[flask.Request], int] = 1,
    *,
    scope: Callable[[flask.Request], str | None] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Return a decorator of a view that charges units before it runs.

    The charge belongs to the request: the response has its headers, and it is refunded if the request fails.

    Args:
        limit: The name of a limit, or a mapping from limits to units: one charge, all or nothing.
        n: Units of a single limit, or a callable over `flask.request`. One that raises `ValueError` or `LookupError`,
            or returns a number that cannot be charged, makes the request a 400.
        scope: Returns the scope of limits with a `per` from the request; None or an invalid id is a 400.

    Raises:
        ValueError: If *limit* is neither a name nor a mapping, or empty, or a number of units is invalid.
    """
    return _decorator(consumption(limit, n, scope))


def _decorator(rule: Route) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def gated(*args: P.args, **kwargs: P.kwargs) -> R:
            found = flask.request.environ.get(REQUESTS_KEY)
            if not found:
                raise AccountRequired("no account was found: install Entitlements(app, ...) in this application")
            installed, request, _ = found[-1]
            installed.admission.charge(request, rule, flask.request, _place())
            return flask.current_app.ensure_sync(view)(*args, **kwargs)  # type: ignore[no-any-return]

        setattr(gated, RULES, (rule, *getattr(view, RULES, ())))
        return gated

    return decorate


def _is_iterated(response: flask.Response) -> bool:
    """Return True if the body of a response is made later; Werkzeug drops those of HEAD, 204 and 304 unseen."""
    if not response.is_streamed or response.direct_passthrough:
        return False
    return flask.request.method != "HEAD" and response.status_code not in {204, 304}


def _environ() -> dict[str, Any]:
    return flask.request._get_current_object().environ  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 - as Flask's documentation does


def _place() -> str:
    return f"{flask.request.method} {flask.request.url_rule or ''}"


def _answer_error(error: Exception) -> flask.Response:
    admission = flask.current_app.extensions["entitlements"].admission.admission
    refusal, headers = admission.error_answer(error)
    return _response(refusal, text_headers(headers))


def _response(refusal: Refusal, headers: list[tuple[str, str]]) -> flask.Response:
    return flask.Response(refusal.content, refusal.status, [*text_headers(refusal.headers), *headers])
