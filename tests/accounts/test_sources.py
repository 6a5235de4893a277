"""Sources of accounts: mappings, custom sources, and the `accounts=` argument."""

import asyncio
import multiprocessing
from collections import UserDict
from datetime import timedelta

import pytest

from entitlements.accounts import (
    AsyncCachedAccounts,
    AsyncLocalAccounts,
    CachedAccounts,
    CsvAccounts,
    LocalAccounts,
    StaticAccounts,
    ThreadedAccounts,
    is_async,
    open_accounts,
    open_async_accounts,
)
from entitlements.errors import AccountError
from entitlements.model.account import Account
from entitlements.model.policy import PolicyData
from entitlements.model.tier import Tier, TrialTerms

POLICY = PolicyData(
    "1",
    {
        "free": Tier("free", 1, "Free"),
        "pro": Tier("pro", 2, "Pro"),
        "trial": Tier("trial", 1, "Trial", trial=TrialTerms(1, 1, 9, "free")),
    },
)
ACME = Account("acme", "pro", anchor=3)


class Blocking:
    def __init__(self, **accounts):
        self.accounts = accounts
        self.told = []

    def find(self, id):
        return self.accounts.get(id)

    def recheck(self, id):
        self.told.append(id)


class Async:
    async def find(self, id):
        await asyncio.sleep(0)
        return Account(id, "pro")


class AsyncCallable:
    class find:  # noqa: N801 - an object that is called like a method
        async def __call__(self, id):
            return None

    find = find()


# -- a mapping -------------------------------------------------------------------------


def test_a_tier_stands_for_an_account_of_that_tier():
    """`{id: tier}` finds `Account(id, tier)`, and None for an id that is not there."""
    accounts = StaticAccounts({"acme": "pro"})

    assert (Account("acme", "pro"), None) == (accounts.find("acme"), accounts.find("globex"))


def test_a_whole_account_is_found_as_it_is():
    """`{id: Account}` finds the very object."""
    assert ACME is StaticAccounts({"acme": ACME}).find("acme")


def test_the_mapping_is_live():
    """Additions, changes and removals in the caller's dict take effect at the next call."""
    mapping = {"acme": "free"}
    accounts = StaticAccounts(mapping)
    before = accounts.find("acme")

    mapping |= {"acme": "pro", "globex": "free"}
    after = accounts.find("acme"), accounts.find("globex")
    del mapping["acme"]

    assert ("free", "pro", "free", None) == (before.tier, *(each.tier for each in after), accounts.find("acme"))


def test_the_same_state_is_the_same_object():
    """A tier is made into an account once, and again only when it has changed."""
    mapping = {"acme": "free"}
    accounts = StaticAccounts(mapping)
    first = accounts.find("acme")

    assert first is accounts.find("acme")


def test_accounts_that_are_gone_are_not_kept():
    """Accounts of removed ids are dropped, so that a changing mapping does not fill the memory."""
    mapping = {}
    accounts = StaticAccounts(mapping)
    for n in range(1000):
        mapping[f"a{n}"] = "free"
        accounts.find(f"a{n}")
        del mapping[f"a{n}"]

    assert len(accounts._built) < 5


def test_an_account_under_another_id_is_an_error_that_names_both():
    """A typing error in the mapping does not charge another account."""
    with pytest.raises(AccountError, match=r"'globex'.*'acme'.*the same id"):
        StaticAccounts({"globex": ACME}).find("globex")


@pytest.mark.parametrize("value", [7, None, ["pro"], {"tier": "pro"}, b"pro"])
def test_a_value_of_another_type_is_an_error_that_names_id_and_type(value):
    """Neither a tier nor an account: None is no way to say *absent* either."""
    with pytest.raises(AccountError, match=rf"'acme'.*{type(value).__name__}.*give an Account"):
        StaticAccounts({"acme": value}).find("acme")


@pytest.mark.parametrize("mapping", [{"acme": ""}, {"": "pro"}, {"a\nb": "pro"}])
def test_a_mapping_obeys_the_rules_of_accounts(mapping):
    """An empty tier, and ids that no account may have, are bad accounts."""
    with pytest.raises(AccountError):
        StaticAccounts(mapping).find(next(iter(mapping)))


# -- in threads ------------------------------------------------------------------------


async def test_a_blocking_source_is_asked_in_a_thread():
    """The loop goes on while the source blocks."""
    loop = asyncio.get_running_loop()
    going_on = asyncio.Event()

    class Slow:
        def find(self, id):
            asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result(60)
            return Account(id, "pro")

    found = asyncio.create_task(ThreadedAccounts(Slow()).find("acme"))
    await asyncio.sleep(0)
    going_on.set()

    assert Account("acme", "pro") == await found


def test_an_async_source_needs_no_threads():
    """Wrapping it would hand out coroutines for accounts."""
    with pytest.raises(TypeError, match="async already"):
        ThreadedAccounts(Async())


# -- what accounts= takes --------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"), [(Blocking(), False), (Async(), True), (AsyncCallable(), True), (object(), False)]
)
def test_whether_a_source_is_async_stands_in_its_find(source, expected):
    """`async def find`, also as an object with an async `__call__`."""
    assert expected is is_async(source)


@pytest.mark.parametrize("open_any", [open_accounts, open_async_accounts])
def test_no_accounts_are_no_accounts(open_any):
    """None means that callers pass `Account` objects."""
    assert open_any(None) is None


@pytest.mark.parametrize("mapping", [{"acme": "pro"}, UserDict(acme="pro")])
async def test_a_mapping_is_asked_without_cache_and_threads(mapping):
    """Its answers may be kept for 30 seconds, and are new whenever it is asked."""
    blocking, asynchronous = open_accounts(mapping), open_async_accounts(mapping)
    mapping["acme"] = "free"
    loaded = blocking.load("acme")

    assert isinstance(blocking, LocalAccounts)
    assert isinstance(asynchronous, AsyncLocalAccounts)
    assert loaded == await asynchronous.load("acme")
    assert (Account("acme", "free"), 30_000_000) == (loaded.account, loaded.fresh_for)
    assert blocking.find("acme") == await asynchronous.find("acme")


async def test_a_path_is_a_csv(tmp_path):
    """As a str or a `Path`; an event loop reads it in threads."""
    path = tmp_path / "accounts.csv"
    path.write_text("id,tier\nacme,pro\n", encoding="utf-8")

    for opened in (open_accounts(path), open_accounts(str(path))):
        assert Account("acme", "pro") == opened.find("acme")
    assert Account("acme", "pro") == await open_async_accounts(path).find("acme")


async def test_a_source_of_ones_own_gets_a_cache():
    """A blocking one runs in threads under an event loop."""
    assert ACME is open_accounts(Blocking(acme=ACME)).find("acme")
    assert ACME is await open_async_accounts(Blocking(acme=ACME)).find("acme")
    assert "pro" == (await open_async_accounts(Async()).find("acme")).tier


def test_an_async_source_is_refused_without_an_event_loop():
    """The cure names what can use it."""
    for source in (Async(), AsyncCachedAccounts(Async())):
        with pytest.raises(TypeError, match="async find; use AsyncEnforcer"):
            open_accounts(source)


def test_a_cache_for_threads_is_refused_under_an_event_loop():
    """Two caches, one behind the other, would believe everything for twice as long."""
    with pytest.raises(TypeError, match="the source itself"):
        open_async_accounts(CachedAccounts(Blocking()))


@pytest.mark.parametrize("open_any", [open_accounts, open_async_accounts])
@pytest.mark.parametrize("value", [7, b"accounts.csv", ["acme"], lambda _: None, Blocking, object()])
def test_anything_else_is_a_type_error_with_the_cure(open_any, value):
    """A class in place of its instance, a function in place of an object, bytes, a list."""
    with pytest.raises(
        TypeError,
        match=r"give \{id: tier or Account\}, the path of a CSV, the URL of a database, or an object with find",
    ):
        open_any(value)


def test_what_was_opened_opens_again_as_itself():
    """A cache of the caller's own keeps its settings and its contents, also when the policy changes."""
    cached = CachedAccounts(Blocking(acme=ACME), ttl=timedelta(seconds=1))

    assert cached is open_accounts(cached) is open_accounts(cached, policy=POLICY)


@pytest.mark.parametrize("wrap", [lambda csv: csv, LocalAccounts, CachedAccounts])
def test_a_source_is_read_under_the_policy_in_force(tmp_path, wrap):
    """A CSV learns from the policy which tiers are trial plans, however deep it stands."""
    path = tmp_path / "accounts.csv"
    path.write_text("id,tier,trial_ends\nacme,trial,2026-03-01\n", encoding="utf-8")
    opened = open_accounts(wrap(CsvAccounts(path)), policy=POLICY)

    assert "free" == opened.find("acme").tier
    assert "free" == open_accounts(opened, policy=POLICY).find("acme").tier


async def test_a_source_is_read_under_the_policy_in_an_event_loop(tmp_path):
    """Through the threads and the cache in front of them."""
    path = tmp_path / "accounts.csv"
    path.write_text("id,tier,trial_ends\nacme,trial,2026-03-01\n", encoding="utf-8")
    opened = open_async_accounts(path)
    before = await opened.find("acme")

    after = await open_async_accounts(opened, policy=POLICY).find("acme")

    assert ("trial", "free") == (before.tier, after.tier)


async def test_a_refresh_reaches_the_source():
    """`recheck(id)` of a source that keeps copies is called through every wrapper."""
    source = Blocking()
    for opened in (
        LocalAccounts(source),
        CachedAccounts(source),
        CachedAccounts(CachedAccounts(source)),
        AsyncLocalAccounts(source),
        AsyncCachedAccounts(ThreadedAccounts(source)),
    ):
        opened.refresh("acme")

    assert ["acme"] * 5 == source.told


def test_sources_show_what_they_are(tmp_path):
    """Their repr names the source inside."""
    static = StaticAccounts({"acme": "pro"})

    assert "CachedAccounts(StaticAccounts(<1 accounts>))" == repr(CachedAccounts(static))
    assert "AsyncCachedAccounts(ThreadedAccounts(StaticAccounts(<1 accounts>)))" == repr(
        AsyncCachedAccounts(ThreadedAccounts(static))
    )
    assert "AsyncLocalAccounts(StaticAccounts(<1 accounts>))" == repr(AsyncLocalAccounts(static))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_child_finds_the_locks_open():
    """A lock that some thread held when the process forked keeps no child waiting."""
    cached = CachedAccounts(Blocking(acme=ACME))
    cached.find("acme")

    with cached._entries._lock:
        child = multiprocessing.get_context("fork").Process(target=cached.find, args=("acme",))
        child.start()
    child.join(60)

    assert 0 == child.exitcode
