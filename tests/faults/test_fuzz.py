"""Whatever a server, a file or a client sends: only errors of this package escape, and none of it computes for long."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from deadlines import within_cpu_seconds
from histories import Clock, TimedRedis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trade import policy

from entitlements import AsyncEnforcer, Enforcer, EntitlementsError, Policy
from entitlements.crm import WriteOptions, assign_base, choose_columns, read_layout, write
from entitlements.errors import AccountError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.model.decision import Decision
from entitlements.model.usage import Usage
from entitlements.stores.redis.decoding import decoder_of
from entitlements.testing.order_templates import order_templates
from entitlements.testing.simulated_client import SimulatedClient

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

# --- Replies ------------------------------------------------------------------------------------------------------

strange = st.recursive(
    st.none() | st.integers() | st.binary(max_size=200) | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(template=order_templates(), reply=strange)
def test_a_reply_of_any_kind_is_an_answer_or_a_store_error(template, reply):
    order = SimulatedClient("acme").order(template, Clock().now)
    with within_cpu_seconds(), suppress(EntitlementsError):
        decoder_of(order)(reply)


class Mangling:
    """Client that passes every reply through a function."""

    def __init__(self, client):
        self._client, self.mangle = client, lambda reply: reply

    def script_load(self, text):
        return self._client.script_load(text)

    def evalsha(self, *args):
        return self.mangle(self._client.evalsha(*args))


@st.composite
def manglings(draw):
    """Return a function that changes a few bits of a reply, cuts it, or replaces it."""
    places = draw(st.lists(st.integers(0, 2000), max_size=4))
    cut = draw(st.none() | st.integers(0, 60))
    other = draw(st.none() | strange) if not places and cut is None else None

    def mangle(reply):
        if not isinstance(reply, bytes) or other is not None:
            return other if other is not None else reply
        changed = bytearray(reply)
        for place in places if changed else ():
            changed[place // 8 % len(changed)] ^= 1 << place % 8
        return bytes(changed[:cut])

    return mangle


VERBS = {
    "consume": ("api",), "peek": ({"leads": 2, "bucket": 1},), "reserve": ("leads", 2), "assign": ("agents", "ann"),
    "unassign": ("agents", "ann"), "release": ("agents", 1), "holders": ("agents",), "set_usage": ("leads", 5),
    "usage": (), "history": ("leads",), "forget": (),
}  # fmt: skip


def read_all(answer):
    """Read every property of an answer, as a caller may at any time."""
    decision = getattr(answer, "decision", answer)
    if isinstance(decision, Decision):
        return [(each.retry_after, each.resets_at, each.remaining, each.used, str(each), each.valid_until) for each in (decision, *decision.parts.values())]  # fmt: skip
    if isinstance(answer, dict):
        return [(each.used, each.remaining, each.resets_at, str(each)) for each in answer.values()]
    return str(answer) if isinstance(answer, Usage) else answer


@SHARED
@given(verb=st.sampled_from(sorted(VERBS)), mangle=manglings())
def test_a_verb_whose_reply_was_changed_returns_an_answer_that_can_be_read_or_raises_an_error_of_ours(
    valkey, verb, mangle
):
    with valkey.client() as client:
        client.flushdb()
        mangling, clock = Mangling(client), Clock()
        with Enforcer(policy(), accounts={"petra": "pro"}, store=TimedRedis(mangling, clock), clock=clock) as enforcer:
            enforcer.consume("petra", {"api": 1, "leads": 2, "agents": 1})
            mangling.mangle = mangle
            refusal = ValueError if verb == "set_usage" else EntitlementsError  # of a total that is too small
            with within_cpu_seconds(), suppress(EntitlementsError, refusal):
                read_all(getattr(enforcer, verb)("petra", *VERBS[verb]))


# --- Files --------------------------------------------------------------------------------------------------------

RULED = Policy.parse({
    "policy": {"version": "c1"},
    "tiers": {"low": {"rank": 1}, "high": {"rank": 2}},
    "assignment": {
        "binding": "arr", "criteria": {"arr": {"kind": "amount", "attributes": ["Annual Value"], "least": 0}},
        "rules": [{"tier": "high", "when": {"arr": {"from": 100}}}, {"tier": "low", "when": {"arr": {"below": 100}}}],
    },
})  # fmt: skip
signs = st.text('ab ",;\t\n\r=$€19.-%\ufeff\x00é', max_size=80).map(str.encode)


@given(body=st.binary(max_size=200) | signs | st.builds(lambda more: b"Account Name,Annual Value\n" + more, signs))
def test_an_export_of_any_bytes_is_read_or_refused(body):
    with within_cpu_seconds(), suppress(AccountError):
        layout = read_layout("a.csv", body, encoding=None, separator=None, wanted=("account_name", "arr", "tier"))
        assigned = assign_base(RULED, layout, choose_columns(layout, RULED.assignment, None))
        b"".join(write(RULED, assigned, WriteOptions()))


# --- Requests -----------------------------------------------------------------------------------------------------

paths = st.text("/.%2eEfF{}?;:\\ aé\x00", max_size=20).map("/".__add__) | st.sampled_from(
    ["", "*", "//", "/leads/../x"]
)
scopes = st.fixed_dictionaries(
    {"path": paths, "method": st.sampled_from(["GET", "get", "", "PROPFIND", "\x00"])},
    optional={
        "raw_path": st.binary(max_size=20) | st.none(), "root_path": st.sampled_from(["", "/v1", "/v1/", "//"]),
        "query_string": st.binary(max_size=9), "client": st.none() | st.tuples(st.text(max_size=9), st.integers(0, 70_000)),
        "headers": st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3),
        "state": st.just({}), "scheme": st.text(max_size=5), "http_version": st.sampled_from(["1.0", "2", ""]),
    },
)  # fmt: skip


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@given(scope=scopes)
def test_a_request_of_any_path_is_answered(scope):
    routes = [
        Route("/leads/{id:int}", methods={"GET"}, consumes={"leads": 1}),
        Route("/files/{path:path}", requires={"chat"}), Route("/{name}/x", consumes={"api": 1}),
    ]  # fmt: skip
    enforcer = AsyncEnforcer(policy(), accounts={"petra": "pro"})
    app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "petra", routes=routes, default=Route())
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    whole = {"type": "http", "headers": [], "query_string": b"", **scope}
    with within_cpu_seconds():
        asyncio.run(app(whole, receive, send))
    assert sent[0]["status"] in {200, 400, 403, 429}


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_a_path_that_is_very_long_takes_no_long_time(depth):
    app = EntitlementsMiddleware(
        hello, enforcer=AsyncEnforcer(policy(), accounts={"petra": "pro"}), identify=lambda _: "petra",
        routes=[Route("/{a}/{b}/x", consumes={"api": 1}), Route("/f/{path:path}", consumes={"api": 1})], default=Route(),
    )  # fmt: skip
    sent = []

    async def send(message):
        sent.append(message)

    for path in ("/" + "a/../" * depth, "/f/" + "%2e" * depth, "/" + "/" * depth):
        with within_cpu_seconds():
            asyncio.run(
                app({"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}, None, send)
            )
    assert all(each["status"] in {200, 400} for each in sent if "status" in each)
