"""The HTTP contract, row by row, over a real server and a real client."""

from __future__ import annotations

import json
import time

import http_sf
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from trade import START, WRITTEN, policy
from webserver import Site, hello, serving

from entitlements import Account, AsyncEnforcer, Enforcer, Override
from entitlements.errors import StoreError
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware, RoutesMiddleware
from entitlements.http.identify import api_key
from entitlements.http.routes import Route
from entitlements.testing import FakeClock

ACCOUNTS = {
    "free": "free", "pro": "pro", "max": "max",
    "shut": Account("shut", "pro", status="suspended"),
    "big": Account("big", "pro", overrides=[Override("leads", 2**53 - 1, reason="r", author="a")]),
}  # fmt: skip
KEYS = {f"key-{id}": id for id in (*ACCOUNTS, "stranger")}
ROUTES = [
    Route("/healthz", exempt=True),
    Route("/sso", requires={"sso"}),
    Route("/report", requires={"reports:full"}),
    Route("/agents/{status:int}", consumes={"agents": 1}),
    Route("/leads/{status:int}", consumes={"api": 1, "leads": 1}),
    Route("/many", consumes={"agents": lambda scope: int(scope["query_string"] or b"0")}),
    Route("/soft", consumes={"soft": 1}),
    Route("/plan"),
]
DEFAULT = Route(consumes={"api": 1})


def app(enforcer=None, *, inner=hello, **options):
    enforcer = enforcer or AsyncEnforcer(policy(), accounts=ACCOUNTS)
    return EntitlementsMiddleware(
        inner, **({"enforcer": enforcer, "identify": api_key(KEYS), "routes": ROUTES, "default": DEFAULT} | options)
    )


@pytest.fixture
def site():
    with serving(app()) as url, httpx.Client(base_url=url) as client:
        yield client


def get(client, path, account="pro", method="GET"):
    return client.request(method, path, headers={"x-api-key": f"key-{account}"})


def spend(client, path, times, account="pro"):
    for _ in range(times):
        assert 200 == get(client, path, account).status_code


def fields(response):
    """Return the rate limit fields that are present, parsed by another library: parameters by name."""
    read = {}
    for name in (each for each in ("RateLimit-Policy", "RateLimit") if each in response.headers):
        items = http_sf.parse(response.headers[name].encode("ascii"), tltype="list")
        read[name] = {item: dict(parameters) for item, parameters in items}
        assert all(isinstance(item, str) for item, _ in items)  # quoted, not tokens
    return read


def problem(response):
    assert "application/problem+json" == response.headers["content-type"]
    assert "no-store" == response.headers["cache-control"]
    body = response.json()
    assert response.status_code == body["status"]
    assert {"type", "title", "status", "detail"} <= set(body)
    return body


# -- every row ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": ""}, {"x-api-key": "wrong"}, {"x-api-key": "ké".encode("latin-1")}]
)
def test_401_where_nobody_is_identified(site, headers):
    response = site.get("/anything", headers=headers)

    assert 401 == response.status_code
    assert problem(response)["type"].endswith("account-required")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "ratelimit" not in response.headers


def test_401_for_two_keys(site):
    assert 401 == site.get("/plan", headers=[("x-api-key", "key-pro"), ("x-api-key", "key-max")]).status_code


@pytest.mark.parametrize(
    ("path", "account", "remedy"),
    [
        ("/sso", "pro", {"tier": "max", "add_on": "phone"}),
        ("/report", "pro", {"tier": "max", "add_on": None}),
        ("/anything", "free", {"tier": "pro", "add_on": None}),
    ],
)
def test_403_not_included_names_the_tier_that_has_it(site, path, account, remedy):
    response = get(site, path, account)
    body = problem(response)

    assert (403, remedy["tier"]) == (response.status_code, body["remedy"]["tier"])
    assert body["type"].endswith("not-included")
    assert "retry-after" not in response.headers


def test_an_unknown_account_reads_like_one_that_is_not_entitled(site):
    unknown, known = (problem(get(site, "/report", account)) for account in ("stranger", "free"))

    assert known == unknown
    assert "stranger" not in json.dumps(unknown)


def test_403_limit_reached_where_an_allocation_is_full(site):
    spend(site, "/agents/200", 3)
    response = get(site, "/agents/200")
    body = problem(response)

    assert (403, "agents", 3, 3, 0) == (
        response.status_code, body["feature"], body["limit"], body["used"], body["remaining"],
    )  # fmt: skip
    assert body["type"].endswith("limit-reached")
    assert "retry-after" not in response.headers


def test_403_of_an_allocation_that_has_room_for_less_says_so(site):
    assert 200 == get(site, "/many?2").status_code
    body = problem(get(site, "/many?2"))

    assert (2, 1) == (body["used"], body["remaining"])
    assert "The request needs more of 'agents' than is free; max or more-agents has more." == body["detail"]


def test_403_limit_reached_for_a_cost_that_can_never_fit(site):
    response = get(site, "/many?4")

    assert (403, True) == (response.status_code, problem(response)["type"].endswith("limit-reached"))


def test_403_suspended(site):
    response = get(site, "/anything", "shut")
    body = problem(response)

    assert (403, True) == (response.status_code, body["type"].endswith("suspended"))
    assert {"type", "title", "status", "detail"} == set(body)


def test_where_a_route_asks_for_nothing_a_suspended_and_an_unknown_account_are_refused_all_the_same(site):
    suspended, unknown = get(site, "/plan", "shut"), get(site, "/plan", "stranger")

    assert [(403, True), (403, True)] == [
        (each.status_code, problem(each)["type"].endswith(kind))
        for each, kind in ((suspended, "suspended"), (unknown, "not-included"))
    ]
    assert {403} == {get(site, "/many?0", account).status_code for account in ("shut", "stranger")}


def test_429_with_retry_after_where_a_rate_is_used_up(site):
    spend(site, "/anything", 10)
    response = get(site, "/anything")
    body = problem(response)

    assert 429 == response.status_code
    assert body["type"].endswith("quota-exceeded")
    assert (["api"], 10, 10, 0) == (body["violated-policies"], body["limit"], body["used"], body["remaining"])
    assert 3500 <= int(response.headers["retry-after"]) == body["retry_after"] <= 3661
    assert body["resets_at"].endswith("Z")


def test_429_of_more_than_is_left_says_so():
    asked = Route("/bulk", consumes={"leads": 7})
    with Site(hello, routes=[asked], default=Route(consumes={"leads": 4})) as few:
        few.client.get("/")
        body = problem(few.client.get("/bulk"))

    assert (4, 6) == (body["used"], body["remaining"])
    assert "The request needs more of 'leads' than is left for now; max has more." == body["detail"]


def test_429_leaves_retry_after_out_above_its_cap_but_the_body_says_when():
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS, clock=FakeClock(START))
    with (
        serving(app(enforcer, routes=[Route("/leads", consumes={"leads": 5})])) as url,
        httpx.Client(base_url=url) as client,
    ):
        spend(client, "/leads", 2)
        response = get(client, "/leads")

    assert (429, None) == (response.status_code, response.headers.get("retry-after"))
    assert (["leads"], True) == (problem(response)["violated-policies"], bool(response.json()["resets_at"]))


def test_the_cap_of_retry_after_can_be_raised():
    capped = app(routes=[Route("/leads", consumes={"leads": 5})], retry_after_cap=40 * 86_400)
    with serving(capped) as url, httpx.Client(base_url=url) as client:
        spend(client, "/leads", 2)
        assert int(get(client, "/leads").headers["retry-after"]) > 0


class Broken:
    """A store that is down."""

    via = "memory"

    async def execute(self, order):
        raise StoreError("the store is gone")

    async def aclose(self):
        """Nothing is open."""


def test_503_where_the_store_is_down():
    with (
        serving(app(AsyncEnforcer(policy(), accounts=ACCOUNTS, store=Broken()))) as url,
        httpx.Client(base_url=url) as client,
    ):
        down, gate = get(client, "/agents/200", "pro"), get(client, "/sso", "max")

    assert (503, 200) == (down.status_code, gate.status_code)  # features need no store
    assert problem(down)["type"].endswith("limits-unavailable")
    assert int(down.headers["retry-after"]) >= 1


def test_retry_after_of_a_503_has_no_cap():
    broken = AsyncEnforcer(policy(), accounts=ACCOUNTS, store=Broken())
    with serving(app(broken, retry_after_cap=0)) as url, httpx.Client(base_url=url) as client:
        assert "1" == get(client, "/agents/200", "pro").headers["retry-after"]


# -- what is passed ----------------------------------------------------------------------


def test_an_exempt_route_asks_nobody(site):
    response = site.get("/healthz")

    assert (200, None) == (response.status_code, response.headers.get("ratelimit"))


def test_a_route_that_needs_only_an_account_charges_nothing(site):
    assert ([200] * 12, {False}) == (
        [get(site, "/plan", "free").status_code for _ in range(12)],
        {"ratelimit" in get(site, "/plan", "free").headers},
    )


def test_a_route_in_shadow_mode_lets_pass_and_tells_no_figures(site):
    responses = [get(site, "/soft") for _ in range(5)]

    assert [200] * 5 == [each.status_code for each in responses]
    assert not any("ratelimit" in each.headers for each in responses)


def test_a_callable_cost_of_0_charges_nothing(site):
    assert [200] * 5 == [get(site, "/many?0").status_code for _ in range(5)]
    assert 200 == get(site, "/many?3").status_code
    assert 403 == get(site, "/many?1").status_code


def test_head_is_charged_like_get_and_has_no_body(site):
    spend(site, "/anything", 9)

    assert (200, 429, b"") == (
        get(site, "/anything", method="HEAD").status_code,
        (refused := get(site, "/anything", method="HEAD")).status_code,
        refused.content,
    )


# -- headers -----------------------------------------------------------------------------


def test_responses_say_what_is_left_in_structured_fields(site):
    first, second = fields(get(site, "/leads/200")), fields(get(site, "/leads/200"))

    assert {"api": {"q": 10, "w": 3600}, "leads": {"q": 10}} == first["RateLimit-Policy"] == second["RateLimit-Policy"]
    assert ({"api": 9, "leads": 9}, {"api": 8, "leads": 8}) == tuple(
        {name: each["r"] for name, each in found["RateLimit"].items()} for found in (first, second)
    )
    assert 0 < first["RateLimit"]["api"]["t"] <= 3661


def test_refusals_say_it_too(site):
    spend(site, "/anything", 10)
    response = get(site, "/anything")
    told = fields(response)["RateLimit"]["api"]

    assert (0, int(response.headers["retry-after"])) == (told["r"], told["t"])


def test_where_the_store_is_down_the_policy_is_told_and_no_figure_that_nobody_knows():
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS, store=Broken(), expected_processes=2)
    with serving(app(enforcer)) as url, httpx.Client(base_url=url) as client:
        responses = [get(client, "/anything") for _ in range(6)]

    assert [200] * 5 + [429] == [each.status_code for each in responses]
    assert [{"api": {"q": 10, "w": 3600}}] * 6 == [fields(each)["RateLimit-Policy"] for each in responses]
    assert ["ratelimit" in each.headers for each in responses] == [False] * 5 + [True]
    told = fields(responses[-1])["RateLimit"]["api"]
    assert (0, int(responses[-1].headers["retry-after"])) == (told["r"], told["t"])


def test_a_limit_beyond_what_a_structured_field_holds_is_clamped():
    with serving(app(routes=[Route("/leads", consumes={"leads": 1})])) as url, httpx.Client(base_url=url) as client:
        assert 999_999_999_999_999 == fields(get(client, "/leads", "big"))["RateLimit-Policy"]["leads"]["q"]


def test_the_older_triple_and_the_x_headers_by_option():
    for style, prefix, low, high in (
        ("draft-06", "ratelimit", 3500, 3661),
        ("x-ratelimit", "x-ratelimit", time.time() + 3500, time.time() + 3700),
    ):
        with serving(app(headers=style)) as url, httpx.Client(base_url=url) as client:
            headers = get(client, "/anything").headers
            assert ("10", "9") == (headers[f"{prefix}-limit"], headers[f"{prefix}-remaining"])
            assert low <= int(headers[f"{prefix}-reset"]) <= high
            assert "ratelimit-policy" not in headers


def test_no_headers_by_option():
    with serving(app(headers="none")) as url, httpx.Client(base_url=url) as client:
        assert not [name for name in get(client, "/anything").headers if "ratelimit" in name]


def twice(**options):
    """Return an application with two middlewares, the inner one stricter."""
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS)
    inner = app(enforcer, routes=[], default=Route(consumes={"leads": 5}), **options)
    return app(enforcer, inner=inner, routes=[], **options)


def test_installed_twice_both_lists_are_told_as_one():
    with serving(twice()) as url, httpx.Client(base_url=url) as client:
        response = get(client, "/anything")

    assert 2 == len(response.headers.get_list("ratelimit"))
    assert {"leads": 5, "api": 9} == {name: each["r"] for name, each in fields(response)["RateLimit"].items()}


@pytest.mark.parametrize("style", ["draft-06", "x-ratelimit"])
def test_installed_twice_the_older_styles_tell_one_figure_the_inner_one(style):
    with serving(twice(headers=style)) as url, httpx.Client(base_url=url) as client:
        headers = get(client, "/anything").headers

    prefix = style.removesuffix("-06").replace("draft", "ratelimit")
    assert (["10"], ["5"]) == (headers.get_list(f"{prefix}-limit"), headers.get_list(f"{prefix}-remaining"))


def test_a_preflight_carries_no_key_so_cors_stands_outside_and_reaches_refusals_too():
    ask = {"origin": "https://app.example", "access-control-request-method": "POST"}
    outside = Starlette()
    outside.mount("/", app())
    outside.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_methods=["POST"])
    with serving(outside) as url, httpx.Client(base_url=url) as client:
        preflight, refused = client.options("/leads/200", headers=ask), client.post("/leads/200", headers=ask)
    with serving(app()) as url:
        inside = httpx.options(f"{url}/leads/200", headers=ask)

    assert (200, 401, 401) == (preflight.status_code, refused.status_code, inside.status_code)
    assert "https://app.example" == refused.headers["access-control-allow-origin"]


def test_scripts_of_other_origins_read_what_is_left_where_cors_exposes_it():
    outside = Starlette()
    outside.mount("/", app())
    told = ["RateLimit", "RateLimit-Policy", "Retry-After"]
    outside.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], expose_headers=told)
    with serving(outside) as url:
        response = httpx.get(f"{url}/anything", headers={"origin": "https://app.example", "x-api-key": "key-pro"})

    assert set(told) <= set(response.headers["access-control-expose-headers"].split(", "))
    assert "ratelimit" in response.headers


def test_an_application_keeps_its_own_headers(site):
    response = get(site, "/anything")

    assert ("text/plain", "hello") == (response.headers["content-type"], response.text)


# -- how refusals read -------------------------------------------------------------------


def test_links_and_402_by_option():
    links = {
        "docs_url": "https://docs.example/problems",
        "upgrade_url": "https://example.com/plans",
        "payment_required": True,
    }
    with serving(app(**links)) as url, httpx.Client(base_url=url) as client:
        gated, nobody = get(client, "/sso"), client.get("/sso")
        spend(client, "/agents/200", 3)
        full = get(client, "/agents/200")

    assert (402, 401, 402) == (gated.status_code, nobody.status_code, full.status_code)
    assert ("https://docs.example/problems#not-included", "https://example.com/plans") == (
        problem(gated)["type"], gated.json()["upgrade_url"],
    )  # fmt: skip
    assert "upgrade_url" not in problem(nobody)


def test_402_only_where_paying_helps():
    with serving(app(payment_required=True)) as url, httpx.Client(base_url=url) as client:
        assert 403 == get(client, "/anything", "shut").status_code


def test_a_denial_handler_answers_instead_and_a_failing_one_does_not_let_pass():
    async def polite(scope, refusal):
        if scope["path"] == "/sso":
            return PlainTextResponse(f"sorry: {refusal.kind}", 418)
        if scope["path"] == "/report":
            raise RuntimeError("no report")
        return None

    with serving(app(on_denied=polite)) as url, httpx.Client(base_url=url) as client:
        assert (418, "sorry: not-included") == ((own := get(client, "/sso")).status_code, own.text)
        assert [403, 401] == [get(client, "/report").status_code, client.get("/x").status_code]


def test_an_answer_of_a_denial_handler_says_what_is_left_too():
    def polite(scope, refusal):
        return PlainTextResponse("slow down", refusal.status)

    with serving(app(on_denied=polite)) as url, httpx.Client(base_url=url) as client:
        spend(client, "/anything", 10)
        response = get(client, "/anything")

    assert (429, "slow down", 0) == (response.status_code, response.text, fields(response)["RateLimit"]["api"]["r"])


# -- refused at start-up -----------------------------------------------------------------


def test_it_refuses_to_start_without_saying_who_asks():
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS)

    with pytest.raises(TypeError, match="identify"):
        EntitlementsMiddleware(hello, enforcer=enforcer)
    with pytest.raises(TypeError, match="identify None must be a callable"):
        EntitlementsMiddleware(hello, enforcer=enforcer, identify=None)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"routes": [Route("/a", requires={"ssso"})]}, ValueError, "route /a: policy t1 knows no"),
        ({"routes": [Route("/a"), Route("/a")]}, ValueError, "can never match"),
        ({"routes": ["/a"]}, TypeError, "not a Route"),
        ({"default": Route("/a")}, ValueError, "has a path"),
        ({"routes": Route("/a")}, TypeError, r"must be a list of Route; write routes=\["),
        ({"routes": 5}, TypeError, r"must be a list of Route; write routes=\["),
        ({"headers": "rfc"}, ValueError, "'rfc' is no style of headers; write one of draft-11, draft-06, x-ratelimit"),
        ({"headers": None}, ValueError, "None is no style of headers"),
        ({"refund_on": {5000}}, ValueError, "5000"),
        ({"refund_on": 500}, TypeError, "500 must be a collection of HTTP statuses; write refund_on={500, 502}"),
        ({"refund_on": "500"}, TypeError, "'500' must be a collection of HTTP statuses"),
        ({"retry_after_cap": -1}, ValueError, "retry_after_cap -1"),
        ({"enforcer": "memory://"}, TypeError, "is not one"),
    ],
)
def test_what_cannot_be_right_is_refused_at_start_up(options, error, words):
    with pytest.raises(error, match=words):
        app(**options)


def test_a_blocking_enforcer_is_fine_on_the_memory_store_and_refused_on_a_networked_one(valkey):
    with serving(app(Enforcer(policy(), accounts=ACCOUNTS))) as url, httpx.Client(base_url=url) as client:
        assert (200, "8") == (
            get(client, "/leads/200").status_code,
            str(fields(get(client, "/leads/200"))["RateLimit"]["leads"]["r"]),
        )
        assert 503 == get(client, "/leads/503").status_code
        assert 7 == fields(get(client, "/leads/200"))["RateLimit"]["leads"]["r"]
    with (
        Enforcer(policy(), store=f"redis://127.0.0.1:{valkey.port}/0") as networked,
        pytest.raises(TypeError, match="block the event loop"),
    ):
        app(networked)


def test_the_routes_of_the_policy_count_where_none_are_given():
    written = policy(routes=[{"path": "/sso", "requires": ["sso"]}, {"path": "/healthz", "exempt": True}])
    with (
        serving(app(AsyncEnforcer(written, accounts=ACCOUNTS), routes=None)) as url,
        httpx.Client(base_url=url) as client,
    ):
        assert [403, 200] == [get(client, "/sso").status_code, client.get("/healthz").status_code]


# -- the smaller middlewares ---------------------------------------------------------------


def test_the_smaller_middlewares_work_alone():
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS)

    async def who(scope, receive, send):
        body = scope["state"]["account"].id.encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with serving(AccountMiddleware(who, enforcer=enforcer, identify=api_key(KEYS)), lifespan="off") as url:
        assert ("pro", 401) == (get(httpx, f"{url}/x").text, httpx.get(f"{url}/x").status_code)
    with serving(RoutesMiddleware(who, enforcer=enforcer, default=DEFAULT), lifespan="off") as url:
        assert 401 == get(httpx, f"{url}/x").status_code  # no AccountMiddleware has looked for the account


def test_the_shared_policy_is_what_the_tables_here_say():
    assert {"leads": 10, "agents": 3, "api": "10 per hour"}.items() <= WRITTEN["tiers"]["pro"]["limits"].items()
