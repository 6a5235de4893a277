"""Redaction: no message, repr or log has a store's password or an account's id."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import traceback
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest
import redis
from flaky import Flaky
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import RedisDsn, TypeAdapter
from servers import free_port

from entitlements import Account, AsyncEnforcer, Enforcer, MemoryStore, Policy
from entitlements.accounts import AsyncCachedAccounts, CachedAccounts, CsvAccounts
from entitlements.cli import main
from entitlements.errors import AccountError, EntitlementsError, StoreError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.model.redaction import digest, redact, redact_error, redacted_traceback
from entitlements.stores.redis import AsyncRedisStore, RedisStore
from entitlements.stores.redis.url import redacted, target_from_url

POLICY = Policy.parse({
    "policy": {"version": "1", "unknown_account": "raise"},
    "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "9 per hour", "leads": 9}}},
})  # fmt: skip

# -- passwords -----------------------------------------------------------------------------------------------------

SECRET, OTHER = "hunter2x", "swordfi5h"


def text_of(error):
    """Return all that anybody could print of an error, and of every error behind it."""
    text, seen = "", []
    while error is not None and error not in seen:
        seen.append(error)
        text += f"{error} {error!r} {error.args} {''.join(traceback.format_exception(error))}"
        text += f"{error.__context__} {error.__context__!r}"
        error = error.__cause__ or error.__context__
    # The tracebacks quote this file; what it has in words is not what the errors say.
    return text.replace("SECRET", "").replace("OTHER", "")


BAD_URLS = [
    "redis://:{s}", "redis://user:{s}", "redis://:{s}:6379", "redis://user:{s}/0", "redis://[user:{s}", "redis://:{s}@[::1:6379",
    "redis://:{s}?x@host/0", "redis://:{s}/x@host/0", "redis://:{s}#x@host", "redis://:x?{s}@host/0", "redis://:x/{s}@host/0", "redis://:x#{s}@host",
    "redis://:x/{s}", "redis://user:{s}@host/zero", "redis://host:port?password={s}", "redis://host?password=a&{s}", "redis://host?password={s}&x=1",
    "redis://host?password={s}&db=x", "redis://user:{s}@host:99999999", "redis://user:{s}@host?max_connections={s}", "redis://user:{s}@host?namespace=*",
    "redis://user:{s}@host?protocol={s}", "rediss://user:{s}@host?ssl_x=1&socket_timeout=x", "unix://user:{s}@", "unix://user:{s}@/run/x?db=y",
    "redis+sentinel://user:{s}@h:1,h:2/?sentinel_password={o}", "redis+sentinel://user:{s}@h:1,:2/m?sentinel_password={o}",
    "redis+sentinel://user:{s}@h:1/m/x?sentinel_password={o}", "redis+sentinel://user:{s}@h:1/m?sentinel_password={o}&y=1",
    "redis+cluster://user:{s}@h:x", "redis+cluster://user:{s}@h:1/7", "redis+cluster://:{s}", "redis+cluster://user:{s}@h:1?x={o}",
    "redis+what://user:{s}@h:1", "http://user:{s}@host", "user:{s}@host", "redis:user:{s}@host", "//user:{s}@host", "redis://user:{s}@host\n:x",
    "redis:/user:{s}@host",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("build", [Enforcer, AsyncEnforcer])
def test_a_url_that_cannot_be_read_shows_no_part_of_its_password(url, build):
    with pytest.raises(ValueError, match="store") as caught:
        build(POLICY, store=url.format(s=SECRET, o=OTHER))
    text = text_of(caught.value)
    assert SECRET not in text
    assert OTHER not in text


@given(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from([*BAD_URLS[:12], "redis://u:{s}@h/1", "redis://h?password={s}"]),
)
@example("0/", "redis://:{s}")
def test_whatever_is_written_around_a_password_it_is_not_shown(text, url):
    """Also where what is around it makes no URL, or another one."""
    url = url.format(s=text + SECRET + text, o="")
    assert SECRET not in redacted(url)
    try:
        said = repr(target_from_url(url))
    except ValueError as error:
        said = text_of(error)
    assert SECRET not in said


class Url:
    """A URL object with its text in its repr, like those of other libraries."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return f"URL({self.text!r})"


NO_STORES = [
    str.encode,
    urlsplit,
    PurePosixPath,
    Url,
    TypeAdapter(RedisDsn).validate_python,
    redis.ConnectionPool.from_url,
]


@pytest.mark.parametrize("wrapped", NO_STORES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("build", [partial(Enforcer, POLICY), partial(AsyncEnforcer, POLICY)])
def test_a_url_that_is_no_text_is_named_by_its_type_and_not_shown(wrapped, build):
    store = wrapped(f"redis://user:{SECRET}@127.0.0.1:1")
    for refusing in (lambda: build(store=store), lambda: RedisStore(store), lambda: AsyncRedisStore(store)):
        with pytest.raises(TypeError, match=type(store).__name__) as caught:
            refusing()
        assert SECRET not in text_of(caught.value)


def url_of(kind):
    """Return a URL of one kind at which no server listens."""
    at = f"127.0.0.1:{free_port()}"
    return {
        "tcp": f"redis://user:{SECRET}@{at}",
        "tls": f"rediss://user:{SECRET}@{at}",
        "query": f"redis://{at}?username=user&password={SECRET}",
        "escaped": f"redis://user:%40{SECRET}%2F@{at}",
        "unix": f"unix://user:{SECRET}@/run/no-such-socket?db=1",
        "sentinel": f"redis+sentinel://user:{SECRET}@{at},{at}/main?sentinel_username=w&sentinel_password={OTHER}",
        "cluster": f"redis+cluster://user:{SECRET}@{at}",
    }[kind]


def check_redacted(caplog, *things):
    """Check all that is logged, at any level by any logger, and the *things*."""
    logged = [f"{record.getMessage()} {record.exc_text} {record.exc_info}" for record in caplog.records]
    for text in (*logged, *map(repr, things), caplog.text):
        assert SECRET not in text
        assert OTHER not in text


def fail_both_ways(url, caplog):
    """Make both stores fail on *url*, alone and under an enforcer, and check messages and logs."""
    caplog.set_level(logging.DEBUG)
    store, later = RedisStore(url), AsyncRedisStore(url)
    with pytest.raises(StoreError) as first:
        Enforcer(POLICY, accounts={"acme": "one"}, store=store).usage("acme")

    async def ask():
        enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=later, expected_processes=1)
        try:
            await enforcer.usage("acme")
        finally:
            await enforcer.aclose()

    with pytest.raises(StoreError) as second:
        asyncio.run(ask())
    with Enforcer(POLICY, accounts={"acme": "one"}, store=url, expected_processes=1) as enforcer:
        with pytest.raises(StoreError):
            enforcer.set_usage("acme", "leads", 1)
        check_redacted(caplog, enforcer, enforcer._store, store._target, vars(store), vars(later))
    store.close()
    for error in (first.value, second.value):
        text = text_of(error)
        assert SECRET not in text
        assert OTHER not in text


@pytest.mark.parametrize("kind", ["tcp", "tls", "query", "escaped", "unix", "sentinel", "cluster"])
def test_a_store_that_is_not_there_shows_no_password(kind, caplog):
    fail_both_ways(url_of(kind), caplog)


def test_a_wrong_password_is_not_shown(acl_server, caplog):
    fail_both_ways(acl_server.url.replace("secret@", f"{SECRET}@"), caplog)
    fail_both_ways(acl_server.url.replace("admin:secret@", "") + f"?username=admin&password={SECRET}", caplog)


@pytest.mark.parametrize("kind", ["redis", "cluster"])
def test_a_wrong_password_of_a_server_without_any_is_not_shown(request, kind, caplog):
    where = request.getfixturevalue({"redis": "valkey", "cluster": "cluster"}[kind])
    fail_both_ways(where.url.replace("://", f"://user:{SECRET}@"), caplog)


def test_a_client_that_somebody_has_shows_no_password_of_its_own():
    client = redis.Redis(host="127.0.0.1", port=free_port(), username="user", password=SECRET)
    with Enforcer(POLICY, accounts={"acme": "one"}, store=client) as enforcer:
        assert SECRET not in repr(enforcer) + repr(enforcer._store)
        with pytest.raises(StoreError) as caught:
            enforcer.usage("acme")
    assert SECRET not in text_of(caught.value)


@pytest.mark.parametrize("kind", ["tcp", "sentinel", "cluster", "bad"])
def test_the_doctor_shows_no_password(kind, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    url = f"redis://user:{SECRET}/0" if kind == "bad" else url_of(kind)
    for arguments in (["doctor", url], ["doctor", url, "--json"]):
        assert main(arguments) > 0
    shown = capsys.readouterr()
    check_redacted(caplog, shown)


# -- accounts ------------------------------------------------------------------------------------------------------

ID = "jane.doe@example.com {1}"


def check_hidden(caplog, *, names=True):
    """Check that something was logged, and that it names the account by its digest at most."""
    assert caplog.records
    for record in caplog.records:
        text = f"{record.getMessage()} {record.exc_text} {record.exc_info} {record.args}"
        assert "jane" not in text
    assert names is (digest(ID) in caplog.text)


@given(st.text(min_size=1))
def test_no_id_stays_in_a_text_as_a_word(id):
    assert repr(id) not in redact(f"account {id!r} of b{id!r}: {id!r}", id)


class Careless:
    """A source of accounts that names an id without quotes."""

    def find(self, id):
        raise LookupError(f"a database has no row for {id} in a table")


def test_an_id_that_is_a_word_is_replaced_only_where_it_stands():
    """In a sentence of ours ids are quoted; whatever other code says of one may be it."""
    with pytest.raises(EntitlementsError) as own:
        Enforcer(POLICY, accounts={}).usage("a")
    assert str(own.value).replace("'a'", digest("a")) == redact_error(own.value, "a")
    with pytest.raises(ValueError, match="must be") as refused:
        Enforcer(POLICY, accounts={"a": "one"}).consume("a", "leads", 0)
    assert str(refused.value) == redact_error(refused.value, "a")

    with pytest.raises(LookupError) as foreign:
        Careless().find("a")
    assert f"{digest('a')} database has no row for {digest('a')} in {digest('a')} table" == redact_error(
        foreign.value, "a"
    )
    with pytest.raises(EntitlementsError) as around:
        Enforcer(POLICY, accounts=CachedAccounts(Careless())).can("a", "leads")
    assert f"row for {digest('a')} in" in redact_error(around.value, "a")


def test_the_code_of_a_traceback_is_not_redacted():
    with pytest.raises(LookupError) as foreign:
        Careless().find("id")

    text = redacted_traceback(foreign.value, "id")

    assert 'raise LookupError(f"a database has no row for {id} in a table")' in text
    assert text.endswith(f"LookupError: a database has no row for {digest('id')} in a table")


def test_a_digest_can_be_computed_by_whoever_has_the_id():
    assert "#" + hashlib.sha256(b"acme").hexdigest()[:12] == digest("acme")
    assert redacted_traceback(KeyError("acme"), "acme") == f"KeyError: {digest('acme')}"


class Source:
    def __init__(self, error=None):
        self.error, self.asked = error, 0

    def find(self, id):
        self.asked += 1
        if self.asked > 1 and self.error is not None:
            raise self.error
        return Account(id, "one")


class AsyncSource(Source):
    async def find(self, id):
        return super().find(id)


@pytest.mark.parametrize(
    "error", [AccountError(f"account {ID!r} is odd"), ConnectionError(f"no row for {ID}"), KeyError(ID)]
)
def test_a_source_that_fails_is_logged_without_the_id(error, caplog):
    now = [0]
    cached = CachedAccounts(Source(error), clock=lambda: now[0])
    later = AsyncCachedAccounts(AsyncSource(error), clock=lambda: now[0])

    async def twice():
        await later.find(ID)
        now[0] += 31_000_000
        await later.find(ID)

    cached.find(ID)
    now[0] += 31_000_000
    cached.find(ID)
    asyncio.run(twice())
    assert 2 == len(caplog.records)
    check_hidden(caplog)


def test_a_hook_that_fails_is_logged_without_the_id(caplog):
    def hook(event):
        raise KeyError(getattr(event, "decision", event).account)

    enforcer = Enforcer(POLICY, accounts={ID: "one"}, hooks=[hook])
    enforcer.consume(ID, "leads", 8)
    enforcer.forget(ID)
    check_hidden(caplog)


def test_a_store_that_fails_is_logged_without_the_id(caplog):
    class Telling(Flaky):
        def execute(self, order):
            raise StoreError(f"no answer to {order!r}")

    enforcer = Enforcer(
        POLICY, accounts={ID: "one", "other": "one"}, store=Telling(MemoryStore()), expected_processes=1
    )
    for _ in range(30):
        enforcer.consume(ID, "leads")
    check_hidden(caplog)
    with pytest.raises(StoreError) as caught:
        enforcer.usage("other")
    assert "jane" not in str(caught.value)


def test_rows_that_are_not_served_are_logged_by_their_place(tmp_path, caplog):
    (tmp_path / "a.csv").write_text(f"id,tier,anchor\n{ID},one,1\n{ID},one,99\n", encoding="utf-8")
    CsvAccounts(tmp_path / "a.csv").find(ID)
    check_hidden(caplog, names=False)


async def plain(scope, receive, send):
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def answer(enforcer, **options):
    """Send one request of the account, and return the status."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    app = EntitlementsMiddleware(plain, enforcer=enforcer, identify=lambda _: ID, **options)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"]


def fail(*_):
    raise LookupError(f"nothing for {ID}")


class Directory:
    async def find(self, id):
        fail()


@pytest.mark.parametrize(
    ("status", "accounts", "options"),
    [
        (401, {}, {}),
        (503, Directory(), {}),
        (400, {ID: "one"}, {"default": Route(consumes={"api": fail})}),
        (403, {ID: "one"}, {"default": Route(consumes={"leads": 10**6}), "on_denied": fail}),
    ],
)  # fmt: skip
def test_requests_that_fail_are_logged_without_the_id(status, accounts, options, caplog):
    assert status == answer(AsyncEnforcer(POLICY, accounts=accounts), **options)
    check_hidden(caplog)


def test_a_refund_that_fails_is_logged_without_the_id(caplog):
    class Taking(MemoryStore):
        def execute(self, order):
            if type(order).__name__ == "Refund":
                raise StoreError(f"cannot refund {order.account}")
            return super().execute(order)

    enforcer = AsyncEnforcer(POLICY, accounts={ID: "one"}, store=Taking())
    assert 500 == answer(enforcer, default=Route(consumes={"leads": 1}))
    check_hidden(caplog)


def test_errors_may_name_the_account_to_their_caller():
    with pytest.raises(EntitlementsError, match="jane"):
        Enforcer(POLICY, accounts={}).can(ID, "api")
