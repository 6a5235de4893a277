"""The Flask extension: the order of functions, errors, bodies that are made later, async views, several applications."""

from __future__ import annotations

import flask
import pytest
from trade import policy
from webserver import KEYS

from entitlements import Denied, Enforcer, NotLoaded, StoreError
from entitlements.http.identify import api_key
from entitlements.http.routes import Route
from entitlements.integrations.flask import Entitlements, consume, current_account, require
from entitlements.integrations.wsgi import EntitlementsMiddleware

ROUTE = Route(consumes={"api": 1, "leads": 1})


def enforcer():
    return Enforcer(policy(), accounts={"pro": "pro", "free": "free", "max": "max"})


def site(**options):
    app = flask.Flask("site")
    counting = enforcer()
    Entitlements(app, **{"enforcer": counting, "identify": api_key(KEYS), "routes": [], "default": ROUTE} | options)
    return app, counting


def get(app, path="/", **options):
    return app.test_client().get(path, headers={"x-api-key": "k"}, **options)


def used(counting):
    usage = counting.usage("pro")
    return usage["api"].used, usage["leads"].used


def test_identify_and_costs_may_read_the_request_of_flask_and_what_earlier_functions_found():
    app = flask.Flask("site")
    app.before_request(lambda: setattr(flask.g, "account", flask.request.args["account"]))
    counting = enforcer()
    rule = Route(consumes={"leads": lambda _: int(flask.request.args["n"])})
    extension = Entitlements(enforcer=counting, routes=[], default=rule)
    extension.init_app(app, identify=lambda _: flask.g.account)
    app.get("/")(lambda: current_account().id)

    assert "pro" == get(app, "/?account=pro&n=3").text
    assert (0, 3) == used(counting)
    with pytest.raises(NotLoaded):
        current_account()


@pytest.mark.parametrize("propagates", [False, True])
def test_an_error_of_a_view_refunds_whether_flask_answers_it_or_not(propagates):
    app, counting = site()
    app.config["PROPAGATE_EXCEPTIONS"] = propagates

    @app.get("/")
    def broken():
        raise RuntimeError("broken")

    if propagates:
        with pytest.raises(RuntimeError):
            get(app)
    else:
        assert 500 == get(app).status_code
    assert (1, 0) == used(counting)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("fails", "status", "left"), [(False, 200, 1), (True, 200, 0), (False, 503, 0)])
def test_a_body_that_is_made_later_is_followed_to_its_end(fails, status, left, method):
    app, counting = site()
    seen = []

    @app.get("/")
    def streamed():
        def chunks():
            seen.append(current_account().id)
            yield "one"
            if fails:
                raise RuntimeError("broken")
            yield "two"

        return chunks(), status

    reads = {"method": method, "headers": {"x-api-key": "k"}, "buffered": True}
    if fails and method == "GET":
        with pytest.raises(RuntimeError):
            app.test_client().open("/", **reads)
    else:
        app.test_client().open("/", **reads)

    dropped = method == "HEAD"
    assert ([] if dropped else ["pro"]) == seen
    assert (1, 1 if dropped and status == 200 else left) == used(counting)


def test_an_error_in_a_later_function_refunds():
    app, counting = site()
    app.get("/")(lambda: "hello")
    app.after_request_funcs[None].insert(0, lambda _: 1 // 0)

    assert 500 == get(app).status_code
    assert (1, 0) == used(counting)


def test_a_function_that_answers_before_the_extension_costs_nothing():
    app = flask.Flask("site")
    app.before_request(lambda: "maintenance")
    counting = enforcer()
    Entitlements(app, enforcer=counting, identify=api_key(KEYS), default=ROUTE)

    assert "maintenance" == get(app).text
    assert (0, 0) == used(counting)


def test_an_async_view_is_gated_like_any_other():
    pytest.importorskip("asgiref")
    app, counting = site(default=Route())

    @app.get("/")
    @require("chat")
    @consume("leads", 2)
    async def view():
        return current_account().id

    assert "pro" == get(app).text
    assert (0, 2) == used(counting)


def test_decorators_stack_and_their_charges_belong_to_the_request():
    app, counting = site(default=Route(consumes={"api": 1}))

    @app.get("/<int:status>")
    @consume({"leads": 2})
    @consume("agents")
    def view(status):
        return "", status

    assert '"api";q=10;w=3600' in get(app, "/200").headers.getlist("ratelimit-policy")
    assert (1, 2) == used(counting)
    get(app, "/500")
    assert (2, 2) == used(counting)
    assert 1 == counting.usage("pro")["agents"].used


def test_errors_that_have_an_answer_are_answered():
    app, _ = site(default=Route())

    @app.get("/<what>")
    def view(what):
        if what == "down":
            raise StoreError("the store is gone")
        current_account().decide("sso").raise_for_denied()

    assert (403, "application/problem+json") == (get(app, "/denied").status_code, get(app, "/denied").content_type)
    assert (503, "1") == (get(app, "/down").status_code, get(app, "/down").headers["retry-after"])


def test_an_endpoint_on_an_exempt_route_is_answered_with_401():
    app, _ = site(routes=[Route("/", exempt=True)])
    app.get("/")(require("chat")(lambda: "hello"))

    assert 401 == get(app).status_code


def test_a_name_that_the_policy_lacks_fails_every_request_and_is_named():
    app, _ = site()
    app.testing = True
    app.get("/")(consume("leeds")(lambda: "hello"))

    for _ in range(2):
        with pytest.raises(ValueError, match=r"'leeds'.*leads"):
            get(app)


def test_on_denied_returns_a_response_and_the_older_headers_describe_the_refusal():
    app, _ = site(
        default=Route(requires={"sso"}),
        on_denied=lambda _, refusal: (f"no: {refusal.kind}", 418),
        headers="draft-06",
    )
    app.get("/")(lambda: "hello")

    response = get(app)

    assert (418, "no: not-included") == (response.status_code, response.text)


def test_two_extensions_and_a_middleware_around_them_charge_each_by_its_own_rules():
    counting, asked = enforcer(), []

    def identify(scope):
        asked.append(scope["path"])
        return "pro"

    app = flask.Flask("site")
    app.get("/")(lambda: current_account().id)
    options = {"enforcer": counting, "identify": identify, "routes": []}
    Entitlements(app, default=Route(consumes={"api": 1}), **options)
    Entitlements(app, default=Route(consumes={"leads": 1}), **options)
    app.wsgi_app = EntitlementsMiddleware(app.wsgi_app, default=Route(consumes={"leads": 2}), **options)

    assert "pro" == get(app).text
    assert ((1, 3), ["/"]) == (used(counting), asked)


def test_an_application_mounted_in_another_has_its_own_account():
    inner, counting = site(default=Route(consumes={"leads": 1}))
    inner.get("/hello")(lambda: current_account().id)
    outer = flask.Flask("outer")

    @outer.get("/<path:path>")
    def forward(path):
        response = flask.Response.from_app(inner.wsgi_app, flask.request.environ)
        with pytest.raises(NotLoaded):
            current_account()
        return response

    assert "pro" == get(outer, "/hello").text
    assert (0, 1) == used(counting)


def test_what_is_missing_is_named():
    with pytest.raises(TypeError, match="needs identify="):
        Entitlements(flask.Flask("site"), enforcer=enforcer())
    with pytest.raises(ValueError, match=r"require\(\) needs names"):
        require()
    with pytest.raises(ValueError, match=r"consume\(0\) must have the name of a limit"):
        consume(0)

    app = flask.Flask("site")
    app.get("/")(require("sso")(lambda: "hello"))
    app.testing = True
    with pytest.raises(Exception, match=r"install Entitlements\(app, \.\.\.\)"):
        get(app)


def test_a_denial_outside_of_a_request_stays_an_exception():
    with pytest.raises(Denied):
        enforcer().decide("pro", "sso").raise_for_denied()
