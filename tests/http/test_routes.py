"""Route tables: Starlette's path templates, the first match, and wrong rules."""

import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette._utils import get_route_path
from starlette.routing import compile_path
from trade import policy
from webserver import Site, hello

from entitlements import Policy, PolicyError
from entitlements.http.fastapi import consume
from entitlements.http.routes import Route, RouteTable
from entitlements.http.types import path_of
from entitlements.rules.route_matching import DEFAULT_ROUTE
from entitlements.rules.templates import compile_template, covering_pattern, outline, overlap

KINDS = ["", ":str", ":path", ":int", ":float", ":uuid"]
segments = st.one_of(
    st.text("ab.-+~", min_size=1, max_size=3) | st.sampled_from(["7", "7.5", "a{u:path}", "{v}.{w}"]),
    st.builds("{{{}{}}}".format, st.sampled_from("pqrst"), st.sampled_from(KINDS)),
)
UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"


@st.composite
def templates(draw):
    parts = draw(st.lists(segments, max_size=4, unique_by=lambda part: part[:2] if part[0] == "{" else part))
    return "/" + "/".join(parts)


paths = st.one_of(
    st.text("ab1.-+~/\n", max_size=8),
    st.lists(st.sampled_from(["a", "b", "ab", "7", "7.5", ".", "é", UUID, UUID.replace("-", "")]), max_size=5).map(
        "/".join
    ),
).map(lambda path: "/" + path)


@given(templates(), paths)
def test_a_template_matches_what_starlettes_does_and_line_breaks_below_a_path(template, path):
    theirs = compile_path(template)[0]

    assert bool(re.compile(theirs.pattern, re.DOTALL).match(path)) == bool(compile_template(template).match(path))
    if theirs.match(path):
        assert compile_template(template).match(path)


@given(st.sampled_from(["/v1/{name}", "/v1/{a}/{b}", "/v1/{rest:path}", "/v1/a-{b}"]), paths.map("/v1".__add__))
def test_a_rule_for_all_below_a_path_leaves_nothing_out_that_a_router_takes(template, path):
    if compile_path(template)[0].match(path):
        assert compile_template("/v1/{rest:path}").match(path)


def test_an_encoded_line_break_does_not_pass_a_rule_by():
    gated = Route("/v1/{rest:path}", requires={"sso"})

    assert gated is found([gated], "/v1/a\nb")


@given(st.lists(templates(), min_size=2, max_size=2, unique=True), paths)
def test_what_covers_a_template_matches_whatever_it_matches(written, path):
    wide, narrow = written

    if covering_pattern(wide).fullmatch(outline(narrow)) and compile_template(narrow).match(path):
        assert compile_template(wide).match(path)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("v1", "begins with /"), (7, "begins with /"), ("/{id", "brace"), ("/a}", "brace"), ("/{}", "brace"),
        ("/{a:word}", "no kind of parameter 'word'"), ("/{a}/{a}", "stands twice"),
        ("/a?page={n}", "a path has no '?'"), ("/a#top", "a path has no '#'"), ("/a%20b", "a path has no '%20'"),
    ],
)  # fmt: skip
def test_what_is_no_template_is_named(template, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        compile_template(template)


def found(routes, path, method="GET", default=None):
    return RouteTable(routes, default).find(path, method)


def test_the_first_rule_that_matches_counts_and_the_default_where_none_does():
    one, two, default = Route("/a/{id}"), Route("/a/{rest:path}"), Route(consumes={"api": 1})
    post = Route("/b", methods={"POST"})

    assert one is found([one, two, post], "/a/1")
    assert two is found([one, two, post], "/a/1/2")
    assert post is found([one, two, post], "/b", "POST")
    assert default is found([one, two, post], "/b", "GET", default)
    assert default is found([one, default], "/elsewhere")  # a last rule without a path


def test_a_method_in_small_letters_falls_under_the_same_rule():
    """h11 passes on the client's spelling, and some applications accept it."""
    rule = Route("/leads", methods={"POST"}, requires={"sso"})
    with Site(hello, routes=[rule], server={"http": "h11"}) as site:
        answers = [site.client.request(method, "/leads", headers={"x-api-key": "free"}) for method in ("POST", "post")]

    assert [403, 403] == [answer.status_code for answer in answers]


def test_get_stands_for_head_and_for_the_handshake_of_a_websocket():
    get, post = Route("/a", methods=["GET"]), Route("/a", methods=["POST"])

    assert [get, get, get] == [found([post, get], "/a", method) for method in ("GET", "HEAD", None)]
    assert [DEFAULT_ROUTE] * 2 == [found([get], "/a", "OPTIONS"), found([post], "/a", None)]


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ([Route("/a"), Route("/a")], "route /a can never match: route /a stands before it"),
        ([Route("/{x}"), Route("/{y}")], "route /{y} can never match"),
        ([Route("/{x}"), Route("/a")], "route /a can never match"),
        ([Route("/{x:path}"), Route("/a/{b}/c")], "can never match"),
        ([Route("/{x:float}"), Route("/{y:int}")], "can never match"),
        ([Route("/v1/{rest:path}"), Route("/v1/{a}/{b}/{c}/{d}")], "route /v1/{a}/{b}/{c}/{d} can never match"),
        ([Route("/{x}"), Route("/{y}.{z}")], "can never match"),
        ([Route("/a", methods={"GET", "POST"}), Route("/a", methods={"POST"})], "route POST /a can never match"),
        (
            [Route("/{x}", methods={"PUT"}), Route("/a", methods={"POST"}), Route("/a", methods={"POST", "PUT"})],
            "route POST,PUT /a can never match: route PUT /{x}, route POST /a stand before it",
        ),
        ([Route(), Route("/a")], "pass it as default="),
    ],
)
def test_a_rule_that_can_never_match_is_named(routes, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        RouteTable(routes)


@pytest.mark.parametrize(
    "routes",
    [
        [Route("/a"), Route("/{x}")],
        [Route("/{y:int}"), Route("/{x:float}")],
        [Route("/{y:int}"), Route("/{x}")],
        [Route("/a", methods={"POST"}), Route("/a", methods={"POST", "PUT"})],
        [Route("/a", methods={"POST"}), Route("/a")],
        [Route("/a/{b}"), Route("/{c}/d")],
        [Route("/v1/{a}/{b}/{c}/{d}"), Route("/v1/{rest:path}")],
        [Route("/v1/{a}/{b:path}"), Route("/v1/{rest:path}")],
        [Route("/~one~"), Route("/{x}")],
        [Route("/{x:path}71828"), Route("/{y:int}")],
        [Route("/100%"), Route("/a b")],
    ],
)
def test_a_rule_of_which_something_is_left_is_fine(routes):
    assert routes == list(RouteTable(routes).routes)


METHODS = ["GET", "HEAD", "POST", "PUT", "BREW"]


@given(st.lists(st.none() | st.sets(st.sampled_from(["GET", "POST", "PUT"]), min_size=1), min_size=1, max_size=5))
def test_a_table_is_refused_exactly_where_earlier_rules_leave_no_method_to_a_later_one(written):
    routes = [Route("/a", methods=methods) for methods in written]
    firsts = {
        next((at for at, route in enumerate(routes) if route.methods is None or method in route.methods), None)
        for method in METHODS
    }

    refused = None
    try:
        RouteTable(routes)
    except ValueError as error:
        refused = error

    assert (firsts >= set(range(len(routes)))) == (refused is None)


@given(st.text("ab/", max_size=6), st.text("ab/", max_size=4))
def test_the_path_below_a_mount_is_what_starlettes_router_sees(path, root):
    scope = {"type": "http", "path": f"/{path}", "root_path": root and f"/{root}"}

    assert get_route_path(scope) == path_of(scope)


@given(templates(), templates(), paths)
def test_templates_that_match_one_path_overlap(one, other, path):
    if compile_template(one).match(path) and compile_path(other)[0].match(path):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/v1/leads", "/v1/leads", True),
        ("/v1/leads/", "/v1/leads", True),
        ("/v1/leads", "/v1/lead", False),
        ("/v1/leads", "/v1/leads/{id}", False),
        ("/v1/{what}", "/{version}/leads", True),
        ("/v1/{what}", "/v2/{what}", False),
        ("/v1/{rest:path}", "/v1/leads/{id}", True),
        ("/v1/{rest:path}", "/v2/leads", False),
        ("/{rest:path}", "/", True),
        ("/files/{name}.json", "/files/{id}", True),
        ("/V1/leads", "/v1/leads", False),
    ],
)
def test_templates_overlap_unless_a_segment_keeps_them_apart(one, other, expected):
    assert (expected, expected) == (overlap(one, other), overlap(other, one))


@given(st.lists(templates(), min_size=2, max_size=4, unique=True), paths)
def test_no_rule_that_a_request_needs_is_called_unreachable(written, path):
    """No path matches a rule that a table reports as unreachable."""
    routes = [Route(each) for each in written]
    try:
        RouteTable(routes)
    except ValueError as error:
        named = re.match(r"route (.*) can never match: route (.*) stands before it", str(error))
        later, earlier = named.groups()
        assert not compile_template(later).match(path) or compile_template(earlier).match(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Route("/a", methods=[]), "can never match"),
        (lambda: Route("/a", methods="GET"), "must be a set or a list"),
        (lambda: Route("/a", methods=["get"]), "write 'GET'"),
        (
            lambda: Route("/a", methods={"PSOT"}),
            "'PSOT' is no method of HTTP, so the route would never match; did you mean 'POST'?",
        ),
        (
            lambda: Route("/a", methods={"BREW"}),
            "'BREW' is no method of HTTP, so the route would never match; name others, or",
        ),
        (lambda: Route("/a", requires="sso"), "must be a set or a list"),
        (lambda: Route("/a", consumes={"api": 0}), "cost of 'api' 0"),
        (lambda: Route("/a", consumes={"api": True}), "cost of 'api' True"),
        (lambda: Route("/a", consumes=["api"]), "must be a mapping"),
        (lambda: Route("/a", consumes={"api": 1}, exempt=True), "is exempt"),
        (lambda: Route("/a", methods={"POST"}, messages={"api": 1}), "route POST /a can never match a websocket"),
        (lambda: RouteTable([], Route("/a")), "default"),
    ],
)
def test_what_a_rule_cannot_say_is_named(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


async def units(_):
    return 1


class Units:
    async def __call__(self, _):
        return 1


@pytest.mark.parametrize("function", [units, Units(), partial(units)])
@pytest.mark.parametrize("build", [
    lambda function: Route("/a", consumes={"api": function}),
    lambda function: Route("/a", messages={"api": function}),
    lambda function: Route("/a", consumes={"per-ip": 1}, scope=function),
    lambda function: consume("api", function),
    lambda function: consume("per-ip", scope=function),
])  # fmt: skip
def test_an_async_cost_or_scope_is_refused_when_the_rule_is_built(build, function):
    with pytest.raises(ValueError, match="is async, and what it returns is never awaited"):
        build(function)


def test_a_generator_is_refused_as_a_cost_or_scope():
    for build in ({"consumes": {"api": lambda _: (yield 1)}}, {"scope": lambda _: (yield "a")}):
        with pytest.raises(ValueError, match="is a generator; write a plain function"):
            Route("/a", **build)


@pytest.mark.parametrize("function", [lambda: 1, lambda one, two: one + two])
def test_a_cost_or_scope_that_does_not_take_the_request_is_refused(function):
    with pytest.raises(ValueError, match="cannot be called with the request alone"):
        Route("/a", consumes={"api": function})
    with pytest.raises(ValueError, match="cannot be called with the request alone"):
        Route("/a", scope=function)
    with pytest.raises(ValueError, match="scope= 'ip' must be a callable"):
        Route("/a", scope="ip")


def test_what_is_no_rule_is_named():
    with pytest.raises(TypeError, match="not a Route"):
        RouteTable(["/a"])


def test_every_unknown_name_of_a_table_is_reported_at_once():
    table = RouteTable([
        Route("/a", requires=["ssso", "reports:best"]), Route("/b", consumes={"apis": 1}),
        Route("/c", consumes={"per-ip": 1}), Route("/d", messages={"chat": 1}),
        Route("/e", consumes={"api": 1}, scope=str),
    ])  # fmt: skip

    with pytest.raises(ValueError, match="did you mean 'sso'") as raised:
        table.check(policy())

    for words in (
        "route /a: 'reports' has no level 'best'",
        "did you mean 'api'",
        "route /c: a limit per ip",
        "route /d",
        "route /e: scope= has no use",
    ):
        assert words in str(raised.value)


# -- in a policy file --------------------------------------------------------------------

FILE = """\
policy: {version: 1}
features: {sso: x}
levels: {reports: [basic, full]}
limits: {api: {kind: rate}, leads: {kind: quota}, ip: {kind: rate, per: ip}}
tiers: {one: {rank: 1, features: [sso], levels: {reports: basic}, limits: {api: 5 per hour, leads: 5, ip: 5 per hour}}}
routes:
  - {path: /healthz, exempt: true}
  - {path: /v1/leads, methods: [POST], requires: [sso, "reports:full"], consumes: {api: 1, leads: 2}}
  - {path: "/live", messages: {api: 1}}
  - {consumes: {api: 1}}
"""


def loaded(tmp_path, text):
    (tmp_path / "policy.yaml").write_text(text)
    return Policy.load(tmp_path / "policy.yaml")


def test_routes_stand_in_a_policy_file_too(tmp_path):
    table = RouteTable(loaded(tmp_path, FILE).routes)

    assert (True, {"api": 1}) == (table.find("/healthz", "GET").exempt, table.find("/x", "GET").consumes)
    leads = table.find("/v1/leads", "POST")
    assert (("sso", "reports:full"), {"api": 1, "leads": 2}) == (leads.requires, leads.consumes)
    assert {"api": 1} == table.find("/live", None).messages


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{path: /v1/leads, methods: [POST]}", ":11: routes[4]: route POST /v1/leads can never match"),
        ("{path: /v1/leads, methods: [POST]}", "matches all of it; remove it, or move it up"),
        ("{path: /z, requires: [soo]}", "did you mean 'sso'?"),
        ('{path: /z, requires: ["reports:best"]}', "'reports' has no level 'best'"),
        ("{path: /z, consumes: {lead: 1}}", "did you mean 'leads'?"),
        ("{path: /z, consumes: {leads: 0}}", "0 is below 1"),
        ("{path: /z, consumes: {ip: 1}}", "a limit per ip needs to be told which"),
        ("{path: z}", "must be a str that begins with /; write one, such as '/v1/leads'"),
        ("{path: /z?a=b}", "a path has no '?'"),
        ("{path: /z, methods: [POST], messages: {api: 1}}", "can never match a websocket"),
        ("{path: /z, method: [GET]}", "did you mean 'methods'?"),
        ("{path: /z, methods: [get]}", "method 'get' must be in capital letters; write 'GET'"),
        ("{path: /z, exempt: true, consumes: {api: 1}}", "is exempt"),
    ],
)
def test_a_rule_in_a_file_that_cannot_be_right_is_named_with_its_line(tmp_path, line, words):
    text = FILE.replace("  - {consumes: {api: 1}}\n", f"  - {{path: /y}}\n  - {line}\n")

    with pytest.raises(PolicyError) as raised:
        loaded(tmp_path, text)

    assert 1 == len(raised.value.problems), raised.value
    assert words in str(raised.value)
    assert ":11: " in str(raised.value)
