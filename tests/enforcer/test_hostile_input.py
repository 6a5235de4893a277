"""Ids, names, costs, policies and headers that mean harm: refused before anything is asked, or kept well apart."""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
from dataclasses import replace
from decimal import Decimal
from urllib.parse import unquote

import pytest
from deadlines import patient
from hypothesis import assume, given
from hypothesis import strategies as st
from redis.crc import key_slot

from entitlements import Account, AccountError, AsyncEnforcer, Enforcer, MemoryStore, Policy, PolicyError
from entitlements.errors import EntitlementsError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.identify import api_key, client_ip
from entitlements.http.problems import Problems
from entitlements.http.rate_limit_headers import HeaderStyle, rate_limit_headers
from entitlements.http.rate_limit_headers import _encode_limit as encode_limit
from entitlements.http.routes import Route
from entitlements.integrations.limits.queries import meter_key
from entitlements.model.decision_fields import facts_of
from entitlements.model.names import MAX_ID, check_id
from entitlements.stores.redis.keys import account_key, encode_id, scope_key

POLICY = Policy.parse({
    "policy": {"version": "1", "unknown_account": "one"},
    "features": {"sso": "Single sign-on"},
    "limits": patient({
        "api": {"kind": "rate"}, "logins": {"kind": "rate", "per": "ip"},
        "leads": {"kind": "quota"}, "seats": {"kind": "allocation"},
    }),
    "tiers": {"one": {"rank": 1, "features": ["sso"], "limits": {
        "api": "90 per hour", "logins": "90 per hour", "leads": 90, "seats": 90,
    }}},
})  # fmt: skip

BAD = ["", "a\nb", "a\r\nb", "a\0b", "\x7f", "\x85", "\ud800", "a\udfff", "x" * 257, "x" * 10_000_000,
       7, 1.5, True, b"a", b"x" * 10_000_000, ["a"], {"a": 1}, {"a"}, object(), 10**5000]  # fmt: skip
"""What can be no id; None is none either, but says of a key and of a scope that there is none."""

TWINS = [
    "a", " a", "a ", "A", "\uff41", "a:b", "{a}", "{a}:b", "a}:b", "a}:{b", "{a", "a}", "{}", "}{", "*", "a*", "a?", "[a]",
    "é", unicodedata.normalize("NFD", "é"), "\u212b", "\u00c5", "A\u030a", "%", "%25", "%7Ba%7D", "~", "~" + "0" * 64,
    "ent1:{a}", "ent1:{a}:b", "ent1:{%7Ba%7D}", "a\u200b", "\ufeffa", "a\u202e", "\U0001f600", "x" * 64, "x" * 65, "x" * 256,
]  # fmt: skip
"""Ids that look alike, or like our keys; every one is another account."""


def is_id(text):
    try:
        check_id(text)
    except ValueError:
        return False
    return True


WORDS = st.one_of(st.sampled_from(TWINS), st.text(max_size=4))
IDS = st.lists(WORDS, min_size=1, max_size=3).map("".join).filter(is_id)
PLACES = st.tuples(IDS, st.none() | IDS)


def key(account, scope):
    return account_key("ent", account) if scope is None else scope_key("ent", account, scope)


class Watched(MemoryStore):
    """A store that remembers what it was asked."""

    via = "store"

    def __init__(self):
        super().__init__()
        self.asked = []

    def execute(self, order):
        self.asked.append(order)
        return super().execute(order)


# --- Ids ----------------------------------------------------------------------------------------------------------


@given(PLACES, PLACES)
def test_two_places_never_share_a_key(one, other):
    assume(one != other)
    assert key(*one) != key(*other)


@given(PLACES)
def test_nothing_breaks_out_of_its_key_and_a_scope_shares_its_accounts_slot(place):
    account, scope = place
    tail = rb"" if scope is None else rb":[A-Za-z0-9_.%~-]{1,65}"
    assert re.fullmatch(rb"ent1:\{[A-Za-z0-9_.%~-]{1,65}\}" + tail, key(*place))
    assert key_slot(account_key("ent", account)) == key_slot(key(*place))


@given(IDS)
def test_a_short_id_can_be_read_from_its_key_and_a_long_one_is_a_digest(id):
    text = encode_id(id)
    assert (len(text) == 65) if text.startswith("~") else (id == unquote(text, errors="strict"))


def count_twins(enforcer):
    """Charge every account, and every scope of one account and of its twin, another number of units."""
    places = [(id, None) for id in TWINS] + [("a", id) for id in TWINS] + [("{a}", id) for id in TWINS]
    for units, (account, scope) in enumerate(places, 1):
        limit = "api" if scope is None else "logins"
        for _ in range(2):
            enforcer.consume(account, limit, units % 40 + 1, scope=scope)
    return [
        (units % 40 + 1) * 2 == enforcer.usage(account, scope=scope)["api" if scope is None else "logins"].used
        for units, (account, scope) in enumerate(places, 1)
    ]


def test_twins_count_apart_in_memory():
    assert all(count_twins(Enforcer(POLICY, accounts={})))


def test_twins_count_apart_on_a_server(valkey):
    with Enforcer(POLICY, accounts={}, store=valkey.url) as enforcer:
        assert all(count_twins(enforcer))
    with valkey.client() as client:
        keys = client.keys("*")
    indices = [each for each in keys if each.endswith(b"}::scopes")]
    assert (2, 3 * len(TWINS) + 2) == (len(indices), len(keys))
    assert all(re.fullmatch(rb"ent1:\{[^{}:]+\}(:[^{}:]+)?", each) for each in keys if each not in indices)


def test_twins_are_other_keys_holders_and_reservations_of_an_account(valkey):
    with Enforcer(POLICY, accounts={}, store=valkey.url) as enforcer:
        for twin in TWINS:
            enforcer.consume("acme", "leads", key=twin)
            enforcer.assign("acme", "seats", twin)
        assert all(enforcer.consume("acme", "leads", key=twin).replayed for twin in TWINS)
        assert tuple(sorted(TWINS)) == enforcer.holders("acme", "seats")
        usage = enforcer.usage("acme")
        assert (len(TWINS), len(TWINS)) == (usage["leads"].used, usage["seats"].used)
        held = enforcer.reserve("acme", "leads", 2, key="y" * 256)
        enforcer.reservation("acme", held.id).cancel()
        assert len(TWINS) == enforcer.usage("acme")["leads"].used


VERBS = {
    "can": lambda ent, bad: ent.can(bad, "sso"),
    "decide": lambda ent, bad: ent.decide(bad, "sso"),
    "value": lambda ent, bad: ent.value(bad, "x"),
    "entitlements": lambda ent, bad: ent.entitlements(bad),
    "consume": lambda ent, bad: ent.consume(bad, "api"),
    "peek": lambda ent, bad: ent.peek(bad, "leads"),
    "reserve": lambda ent, bad: ent.reserve(bad, "leads"),
    "usage": lambda ent, bad: ent.usage(bad),
    "history": lambda ent, bad: ent.history(bad, "leads"),
    "holders": lambda ent, bad: ent.holders(bad, "seats"),
    "set_usage": lambda ent, bad: ent.set_usage(bad, "leads", 1),
    "forget": lambda ent, bad: ent.forget(bad),
    "refresh": lambda ent, bad: ent.refresh(bad),
    "account": lambda ent, bad: ent.account(bad),
    "cancel": lambda ent, bad: ent.reservation(bad, "o:1").cancel(),
    "Account": lambda _, bad: Account(bad, "one"),
}
NAMED = {
    "scope": lambda ent, bad: ent.consume("acme", "logins", scope=bad),
    "scope of usage": lambda ent, bad: ent.usage("acme", scope=bad),
    "key": lambda ent, bad: ent.consume("acme", "leads", key=bad),
    "key of a reservation": lambda ent, bad: ent.reserve("acme", "leads", key=bad),
    "holder": lambda ent, bad: ent.assign("acme", "seats", bad),
    "former holder": lambda ent, bad: ent.unassign("acme", "seats", bad),
}
LIMITS = {
    "can": lambda ent, bad: ent.can("acme", bad),
    "decide": lambda ent, bad: ent.decide("acme", bad),
    "value": lambda ent, bad: ent.value("acme", bad),
    "consume": lambda ent, bad: ent.consume("acme", bad),
    "release": lambda ent, bad: ent.release("acme", bad),
    "set_usage": lambda ent, bad: ent.set_usage("acme", bad, 1),
    "holders": lambda ent, bad: ent.holders("acme", bad),
    "history": lambda ent, bad: ent.history("acme", bad),
    "plan_change": lambda ent, bad: ent.plan_change("acme", bad),
}


def refuse_all(verbs, enforcer, bad, errors):
    """Expect of every verb an error that is short, whatever was passed."""
    for name, verb in verbs.items():
        with pytest.raises(errors) as caught:
            verb(enforcer, bad)
        assert 0 < len(str(caught.value)) < 400, name


@pytest.mark.parametrize(
    "bad", [*BAD, None], ids=lambda bad: f"{type(bad).__name__}-{str(bad)[:9] if not isinstance(bad, int) else 'n'}"
)
def test_what_can_be_no_id_is_refused_before_the_store_is_asked(bad):
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=(store := Watched()))
    refuse_all(VERBS, enforcer, bad, AccountError)
    if bad not in ("", "x" * 257):  # that of a refused reservation; and a key may have two characters before it
        with pytest.raises(ValueError, match="reservation id"):
            enforcer.reservation("acme", bad)
    if bad is not None:
        refuse_all(NAMED, enforcer, bad, ValueError)
    if bad != {"a": 1}:
        refuse_all(LIMITS, enforcer, bad, (EntitlementsError, ValueError))
    # A plan is made from what is used; that is all that may be asked, and of a good account.
    assert {"Read"} >= {type(order).__name__ for order in store.asked}


def test_what_can_be_no_id_sends_no_command(valkey):
    with Enforcer(POLICY, accounts={"acme": "one"}, store=valkey.url) as enforcer, valkey.client() as client:
        enforcer.consume("acme", "leads")
        before = client.info("commandstats")
        for bad in BAD:
            refuse_all({**VERBS, **NAMED}, enforcer, bad, ValueError)
        after = client.info("commandstats")
    assert {"cmdstat_info"} >= {name for name in after if after[name]["calls"] != before.get(name, {}).get("calls", 0)}


async def test_the_async_enforcer_refuses_the_same():
    enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"})
    for bad in [*BAD, None]:
        with pytest.raises(AccountError):
            await enforcer.consume(bad, "api")
        with pytest.raises(AccountError):
            await enforcer.forget(bad)
    with pytest.raises(ValueError, match="reservation id"):
        enforcer.reservation("acme", "x" * (2 * MAX_ID + 9))


@pytest.mark.parametrize("kind", [Enforcer, AsyncEnforcer])
def test_the_id_of_a_refused_reservation_is_none(kind):
    """An empty id makes no reservation: a truthy one would charge nothing at its commit."""
    enforcer = kind(POLICY, accounts={"acme": "one"})
    with pytest.raises(ValueError, match="reservation id '' is that of a refused reservation"):
        enforcer.reservation("acme", "")


def test_keys_of_the_limits_package_are_short_whatever_a_client_sends():
    limits = pytest.importorskip("limits")
    item = limits.RateLimitItemPerMinute(9)
    assert item.key_for("a", "b") == meter_key(item, ("a", "b"))
    long = [meter_key(item, (text,)) for text in ("x" * 10_000_000, "x" * 10_000_001, "\ud800", "\ud801")]
    assert 4 == len(set(long))
    assert {65} == {len(each) for each in long}


# --- Costs --------------------------------------------------------------------------------------------------------

COSTS = [0, -1, -(10**30), 2**53, 10**30, 10**5000, True, False, 1.0, 1.5, math.nan, math.inf, "1", "", None, b"1", Decimal(1), [1], 1j]  # fmt: skip


@pytest.mark.parametrize(
    "cost", COSTS, ids=lambda cost: f"{type(cost).__name__}-{str(cost)[:9] if cost != 10**5000 else 'long'}"
)
def test_a_cost_that_is_no_count_is_refused_and_nothing_is_counted(cost):
    enforcer = Enforcer(POLICY, accounts={}, store=(store := Watched()))
    verbs = [
        lambda: enforcer.consume("acme", "api", cost),
        lambda: enforcer.consume("acme", "leads", cost, key="k"),
        lambda: enforcer.consume("acme", {"api": 1, "leads": cost}),
        lambda: enforcer.peek("acme", "api", cost),
        lambda: enforcer.reserve("acme", "leads", cost),
        lambda: enforcer.release("acme", "seats", cost),
        lambda: enforcer.set_usage("acme", "leads", cost if cost != 0 or type(cost) is bool else -1),
    ]
    for verb in verbs:
        with pytest.raises(ValueError, match=r"must be an int from [01] to") as caught:
            verb()
        assert len(str(caught.value)) < 200
    assert [] == store.asked


# --- Policies -----------------------------------------------------------------------------------------------------

HEAD = 'policy: {version: "1"}\nlimits: {api: {kind: rate}}\ntiers:\n  one: {rank: 1, limits: {api: 10 per hour}}\n'
BOMBS = {
    "larger than 1 MiB": HEAD + "#" * (1 << 20),
    "is an anchor": "a: &a [x,x]\n" + "".join(f"b{i}: &b{i} [{','.join([f'*b{i - 1}' if i else '*a'] * 9)}]\n" for i in range(9)),
    "is an alias": "a: &a {b: *a}\n",
    "nested deeper": "a: " + "[" * 100_000,
    "nested deeper than 16": "".join(" " * i + "a:\n" for i in range(1000)),
    "is a tag": HEAD + "x: !!python/object/apply:os.system ['true']\n",
    "merges another": "a: {x: 1}\nb: {<<: {x: 1}}\n",
    "is a number of 5000": HEAD.replace("10 per hour", "9" * 5000),
    "is out of range": HEAD.replace("10 per hour", "1e999999999"),
    "not a number to count": HEAD.replace("10 per hour", ".nan"),
    "is negative": HEAD.replace("10 per hour", "-5"),
    "spans a month": HEAD.replace("per hour", "per 999999999 days"),
    "is not a rate": HEAD.replace("10 per hour", ":".join(["59"] * 10_000)),
    "unknown key": HEAD + "? " + "k" * 900_000 + "\n: x\n",
    "x… is an anchor": "a: &" + "x" * 900_000 + " 1",
    "names are at most 200": HEAD.replace("api", "a" * 201),
    "NUL bytes": HEAD + "\0",
    "not YAML": "\t" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("said", BOMBS)
def test_a_policy_that_is_a_bomb_is_refused_with_its_reason(tmp_path, said):
    (tmp_path / "policy.yaml").write_text(BOMBS[said], encoding="utf-8")
    with pytest.raises(PolicyError, match=re.escape(said)) as caught:
        Policy.load(tmp_path / "policy.yaml")
    assert len(str(caught.value)) < 10_000


def test_a_mapping_that_is_a_bomb_is_refused_with_its_reason():
    wide, round_about = ["x"] * 10, {}
    for _ in range(10):
        wide = [wide] * 10  # ten billion nodes, if all of them were visited
    round_about["policy"] = round_about
    for bomb, said in (
        (wide, "more than 100000"),
        (round_about, "nested deeper"),
        ({"a": round_about}, "nested deeper"),
    ):
        with pytest.raises(PolicyError, match=said) as caught:
            Policy.parse({"features": bomb})
        assert len(str(caught.value)) < 10_000


# --- Headers ------------------------------------------------------------------------------------------------------

PRINTABLE = re.compile(rb"[\x20-\x7e]*")
EVIL = "a\r\nset-cookie: x=1\r\n\r\né\u2028\U0001f600"


def answer(app, headers=(), **scope):
    """Send one request as a server would, and return status and headers."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    whole = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "client": ("10.0.0.1", 1),
        "headers": list(headers),
    }
    asyncio.run(app(whole | scope, receive, send))
    return sent[0]["status"], sent[0]["headers"]


async def plain(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def site(identify, **options):
    return EntitlementsMiddleware(
        plain, enforcer=AsyncEnforcer(POLICY, accounts={}), identify=identify,
        default=Route(requires={"sso"}, consumes={"api": 80, "leads": 80}), **options,
    )  # fmt: skip


@given(st.text(max_size=20) | st.sampled_from([*TWINS, EVIL, "x" * 10_000]))
def test_no_account_id_changes_a_header_or_makes_an_error(id):
    app = site(lambda _: id, docs_url="https://example.com/%C3%A9", upgrade_url="/upgrade?%C3%A9#now")
    for expected in ({200, 401}, {429, 401}):
        status, headers = answer(app)
        assert status in expected
        assert (status == 401) is not is_id(id)
        assert all(PRINTABLE.fullmatch(name) and PRINTABLE.fullmatch(value) for name, value in headers)


ODD = st.binary(max_size=30) | st.sampled_from([
    b"", b"\xff", b"\0", b"\r\n", b"[", b"[::1", b"::1%\r\n", b"fe80::1%25x", b"1.2.3.4:" + b"9" * 5000, b"," * 5000, b"0x7f.1", b"1" * 5000,
    b"x" * 100_000, "é".encode(), b"for=1.2.3.4",
])  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from([b"x-api-key", b"authorization", b"x-forwarded-for", b"host"]), ODD), max_size=4)
)
def test_no_bytes_in_a_request_header_make_an_error(headers):
    for identify in (
        api_key({"k": "acme"}), api_key({"k": "acme"}, header="authorization", scheme="Bearer"), api_key(lambda key: key),
        client_ip(trusted_proxies=1), client_ip(trusted_proxies=2, ipv6_prefix=64),
    ):  # fmt: skip
        status, said = answer(site(identify), headers)
        assert status in {200, 401}
        assert all(PRINTABLE.fullmatch(value) for _, value in said)


def test_an_address_counts_without_its_zone():
    identify = client_ip(trusted_proxies=1)
    assert {"fe80::/64"} == {
        identify({"client": ("::1", 1), "headers": [(b"x-forwarded-for", b"fe80::1%" + zone)]})
        for zone in (b"a", b"b\n")
    }


@pytest.mark.parametrize("style", HeaderStyle)
def test_no_text_of_a_policy_stands_in_a_header(style):
    texts = {"policy": {"version": "é\u2028"}, "features": {"sso": EVIL},
             "limits": {"api": {"kind": "rate", "about": EVIL, "unit": "é\r\n"}, "leads": {"kind": "quota", "about": EVIL, "unit": EVIL}},
             "tiers": {"one": {"rank": 1, "name": EVIL, "features": ["sso"], "limits": {"api": "1 per hour", "leads": 1}}}}  # fmt: skip
    enforcer = Enforcer(Policy.parse(texts), accounts={"acme": "one"})
    for decision in (
        enforcer.consume("acme", {"api": 1, "leads": 1}),
        enforcer.consume("acme", {"api": 1, "leads": 1}),
    ):
        headers = rate_limit_headers(decision, style)
        headers += [] if decision else Problems(docs_url="https://example.com/%C3%A9").refused(decision).headers
        assert all(PRINTABLE.fullmatch(name) and PRINTABLE.fullmatch(value) for name, value in headers)


@pytest.mark.parametrize("name", ["a\r\nb", "é", 'a"b', "a;b"])
def test_a_name_that_no_policy_has_is_refused_by_policies_and_told_in_no_header(name):
    with pytest.raises(PolicyError):
        Policy.parse(
            {
                "policy": {"version": "1"},
                "limits": {name: {"kind": "rate"}},
                "tiers": {"one": {"rank": 1, "limits": {name: "1 per hour"}}},
            }
        )

    decision = Enforcer(POLICY, accounts={}).consume("acme", "api")
    facts = facts_of(decision)
    assert encode_limit(facts) is not None
    assert encode_limit(replace(facts, limit=replace(facts.limit, name=name))) is None
