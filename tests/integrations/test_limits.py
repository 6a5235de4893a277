"""The `limits` integration: its storages and strategies do what `limits` expects, in memory and on a server."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import subprocess
import sys
import time
from contextlib import suppress

import limits.aio.strategies
import limits.strategies
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerSecond, parse
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string

from entitlements import Enforcer, Policy, StoreError
from entitlements.integrations.limits import SLIDING, TOKEN_BUCKET, register
from entitlements.integrations.limits.queries import LimitQuery
from entitlements.integrations.limits.storage_url import parse_storage_url
from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.limits import Algorithm

PATIENT = {"deadline": 20}  # a busy machine is slow, not broken
TEN, HUNDRED = RateLimitItemPerHour(10), RateLimitItemPerHour(100)

register()


class AsyncHarness:
    """An async strategy and its storage, called without a loop: one test covers sync and async."""

    def __init__(self, storage, strategy):
        self._loop = asyncio.new_event_loop()
        self.storage = _RunOnLoop(storage, self._loop)
        self.strategy = _RunOnLoop(limits.aio.strategies.STRATEGIES[strategy](storage), self._loop)

    def close(self):
        self.storage.aclose()
        self._loop.close()


class _RunOnLoop:
    def __init__(self, thing, loop):
        self._thing, self._loop = thing, loop

    def __getattr__(self, name):
        method = getattr(self._thing, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))


class SyncHarness:
    def __init__(self, storage, strategy):
        self.storage, self.strategy = storage, limits.strategies.STRATEGIES[strategy](storage)

    def close(self):
        self.storage.close()


def opened(url, strategy=SLIDING, **options):
    kind = AsyncHarness if url.startswith("async+") else SyncHarness
    return kind(storage_from_string(url, **options), strategy)


@pytest.fixture(params=["memory", "async memory", "valkey", "async valkey"])
def url(request):
    """Return the URL of an empty storage of each kind."""
    place = "memory://" if "memory" in request.param else request.getfixturevalue("valkey").url
    return ("async+" if "async" in request.param else "") + f"entitlements+{place}"


@pytest.fixture(params=[SLIDING, TOKEN_BUCKET])
def ours(request, url):
    """Yield each strategy over each storage."""
    ours = opened(url, request.param, **PATIENT)
    yield ours
    ours.close()


@pytest.fixture
def limiter(ours):
    return ours.strategy


# -- becoming known ------------------------------------------------------------------------------------------------


def test_importing_registers_nothing_and_the_call_registers_all():
    script = (
        "import entitlements.integrations.limits as ours, limits.strategies, limits.aio.strategies\n"
        "from limits.storage import storage_from_string\n"
        "known = lambda: [name for each in (limits.strategies, limits.aio.strategies)\n"
        "                 for name in each.STRATEGIES if 'entitlements' in name]\n"
        "print(known())\n"
        "try: storage_from_string('entitlements+memory://')\n"
        "except limits.errors.ConfigurationError: print('unknown')\n"
        "ours.register(); ours.register(); print(known())\n"
        "print(type(storage_from_string('entitlements+memory://')).__name__)\n"
        "print(type(storage_from_string('async+entitlements+memory://')).__name__)\n"
    )

    said = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)

    names = ["entitlements-sliding", "entitlements-token-bucket"]
    assert [
        "[]",
        "unknown",
        str(names * 2),
        "EntitlementsStorage",
        "AsyncEntitlementsStorage",
    ] == said.stdout.splitlines()


@pytest.mark.parametrize(
    ("url", "namespace", "store"),
    [
        ("entitlements+redis://host:6379/2", "ent.limits", "redis://host:6379/2"),
        ("async+entitlements+redis://host?namespace=shop", "shop.limits", "redis://host"),
        ("entitlements+redis://host?deadline=1&db=3", "ent.limits", "redis://host?db=3"),
        (
            "entitlements+redis+sentinel://a:1,b:2/main?namespace=shop&max_connections=8",
            "shop.limits",
            "redis+sentinel://a:1,b:2/main?max_connections=8",
        ),
        ("entitlements+unix:///run/redis.sock?db=1", "ent.limits", "unix:///run/redis.sock?db=1"),
    ],
)
def test_a_storage_url_is_a_store_url_with_a_prefix_and_a_namespace_of_its_own(url, namespace, store):
    config = parse_storage_url(url, {})

    assert (store, namespace) == (config.url, config.namespace)
    assert storage_from_string(url).storage is not None  # nothing connects yet


# -- what `limits` expects of a strategy ---------------------------------------------------------------------------


def test_a_limit_admits_what_it_says_and_no_more(limiter):
    assert [True] * 10 + [False] * 5 == [limiter.hit(TEN, "acme") for _ in range(15)]


def test_a_test_answers_as_a_hit_would_and_takes_nothing(limiter):
    assert [True] * 20 == [limiter.test(TEN, "acme") for _ in range(20)]
    assert limiter.hit(TEN, "acme", cost=10)
    assert not limiter.test(TEN, "acme")


def test_a_cost_is_taken_whole_or_not_at_all(limiter):
    assert limiter.hit(TEN, "acme", cost=8)
    assert not limiter.test(TEN, "acme", cost=5)
    assert not limiter.hit(TEN, "acme", cost=5)  # and took nothing of the 2 that are left
    assert limiter.test(TEN, "acme", cost=2)
    assert limiter.hit(TEN, "acme", cost=2)
    assert not limiter.hit(TEN, "acme")


def test_a_cost_above_the_limit_never_fits_and_a_cost_of_nothing_always_does(limiter):
    assert not limiter.hit(TEN, "acme", cost=11)
    assert not limiter.test(TEN, "acme", cost=2**53 - 1)
    assert limiter.hit(TEN, "acme", cost=10)
    assert limiter.hit(TEN, "acme", cost=0)
    assert limiter.test(TEN, "acme", cost=0)


@pytest.mark.parametrize("prefix", ["", "async+"])
def test_what_needs_no_counting_asks_no_server(prefix):
    ours = opened(f"{prefix}entitlements+unix:///nowhere/at/all.sock")
    for ask in (ours.strategy.hit, ours.strategy.test):
        assert ask(TEN, "acme", cost=0)
        assert not ask(TEN, "acme", cost=11)
        assert not ask(RateLimitItemPerHour(0), "acme")
    assert 0 == ours.strategy.get_window_stats(RateLimitItemPerHour(0), "acme").remaining
    with pytest.raises(StoreError):
        ours.strategy.hit(TEN, "acme")
    ours.close()


@pytest.mark.parametrize("cost", [-1, 1.5, True, 2**53])
def test_what_is_no_count_is_no_cost(limiter, cost):
    for ask in (limiter.hit, limiter.test):
        with pytest.raises(ValueError, match="must be an int from 0 to"):
            ask(TEN, "acme", cost=cost)


def test_several_identifiers_name_one_meter_and_others_another(limiter):
    assert limiter.hit(TEN, "acme", "/reports", cost=10)
    assert not limiter.hit(TEN, "acme", "/reports")
    for others in (("acme",), ("acme", "/leads"), ("/reports", "acme"), ("globex", "/reports"), ("a" * 300, "ü")):
        assert limiter.hit(TEN, *others, cost=10)


def test_several_limits_of_one_identifier_are_counted_apart(limiter):
    """As in `limits`: a limit of 10 an hour can count failures, and one of 100 an hour all calls."""
    assert limiter.hit(TEN, "acme", cost=10)

    assert 100 == limiter.get_window_stats(HUNDRED, "acme").remaining
    assert limiter.hit(RateLimitItemPerMinute(10), "acme", cost=10)
    assert limiter.hit(RateLimitItemPerHour(10, namespace="OTHER"), "acme", cost=10)


def test_a_limit_of_nothing_admits_nothing(limiter):
    none = RateLimitItemPerHour(0)
    before = time.time()

    assert not limiter.hit(none, "acme")
    assert not limiter.test(none, "acme")
    assert 0 == limiter.get_window_stats(none, "acme").remaining
    assert before <= limiter.get_window_stats(none, "acme").reset_time <= time.time()


def test_the_largest_rate_is_said(limiter):
    assert limiter.hit(RateLimitItemPerDay(2**32 - 1), "acme", cost=2**31)
    with pytest.raises(ValueError, match="4294967296 per 1 day is above the largest rate, 4294967295; write less"):
        limiter.hit(RateLimitItemPerDay(2**32), "acme")


def test_stats_say_what_is_left_and_until_when(limiter):
    untouched = limiter.get_window_stats(TEN, "acme")
    assert 10 == untouched.remaining
    assert untouched.reset_time == pytest.approx(time.time(), abs=30)

    limiter.hit(TEN, "acme", cost=4)
    stats = limiter.get_window_stats(TEN, "acme")
    assert 6 == stats.remaining
    assert time.time() < stats.reset_time <= time.time() + 3600 * 61 / 60 + 1


def test_where_nothing_is_left_one_unit_fits_at_the_second_that_stats_name_and_not_before(limiter):
    item = RateLimitItemPerSecond(2)
    stats = limiter.get_window_stats(item, "acme")
    while stats.remaining:
        limiter.hit(item, "acme")
        asked = time.time()
        stats = limiter.get_window_stats(item, "acme")
    earliest = stats.reset_time - 1 - (time.time() - asked)  # the wait was read at some time during the call

    while not (admitted := limiter.hit(item, "acme")) and time.time() < stats.reset_time:
        time.sleep(0.01)
    came = time.time()

    assert came >= earliest
    time.sleep(max(0, stats.reset_time - time.time()) + 0.001)
    assert admitted or limiter.hit(item, "acme")


@pytest.mark.parametrize(("strategy", "least", "most"), [(SLIDING, 59, 61.1), (TOKEN_BUCKET, 0, 1)])
def test_a_window_gives_its_units_back_when_they_leave_it_and_a_bucket_evenly(url, strategy, least, most):
    ours, item = opened(url, strategy, **PATIENT), RateLimitItemPerMinute(60)
    remaining = 60
    while remaining:
        ours.strategy.hit(item, "acme", cost=remaining)
        before = time.time()
        stats = ours.strategy.get_window_stats(item, "acme")
        after, remaining = time.time(), stats.remaining

    assert least < stats.reset_time - before
    assert stats.reset_time - after <= most + 1  # a whole second, rounded up
    ours.close()


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
def test_a_wait_is_by_the_servers_clock_and_its_end_by_the_callers(skew):
    """A client with a wrong clock subtracts that same clock to compute `Retry-After`."""
    here, there = 1_700_000_000_000_000, 1_700_000_000_000_000 + skew * 1_000_000
    full = Line(fits=False, used=10, retry_at=there + 7_000_000, resets_at=there + 9_000_000)
    some = Line(fits=True, used=4, resets_at=there + 9_000_000)
    query = LimitQuery(Algorithm.SLIDING, TEN, ("acme",))

    assert (1_700_000_007, 0) == query.window_stats(Outcome(Status.ADMITTED, there, (full,)), here)
    assert (1_700_000_009, 6) == query.window_stats(Outcome(Status.ADMITTED, there, (some,)), here)


def test_clearing_a_limit_gives_it_back_and_leaves_the_others(limiter):
    for item in (TEN, HUNDRED):
        limiter.hit(item, "acme", "/reports", cost=10)
    limiter.hit(TEN, "globex", cost=10)

    limiter.clear(TEN, "acme", "/reports")

    assert limiter.hit(TEN, "acme", "/reports", cost=10)
    assert 90 == limiter.get_window_stats(HUNDRED, "acme", "/reports").remaining
    assert not limiter.hit(TEN, "globex")


# -- what `limits` expects of a storage ----------------------------------------------------------------------------


def test_a_reset_clears_all_and_says_how_many_keys(ours):
    for name in range(2500):
        ours.strategy.hit(TEN, f"acme-{name}", cost=10)

    assert 2500 == ours.storage.reset()
    assert 0 == ours.storage.reset()
    assert ours.strategy.hit(TEN, "acme-7", cost=10)


@pytest.mark.parametrize("prefix", ["", "async+"])
def test_a_reset_spares_what_an_enforcer_keeps_under_the_same_namespace(valkey, prefix):
    policy = Policy.parse(
        {
            "policy": {"version": 1},
            "limits": {"leads": {"kind": "quota"}},
            "tiers": {"free": {"rank": 1, "limits": {"leads": 3}}},
        }
    )
    url = f"{valkey.url}?namespace=shop"
    ours, other = (
        opened(f"{prefix}entitlements+{url}", **PATIENT),
        opened(f"{prefix}entitlements+{valkey.url}", **PATIENT),
    )
    with Enforcer(policy, accounts={"acme": "free"}, store=url) as enforcer:
        enforcer.consume("acme", "leads", 3)
        ours.strategy.hit(TEN, "acme", cost=10)
        other.strategy.hit(TEN, "acme", cost=10)

        assert 1 == ours.storage.reset()

        assert not enforcer.consume("acme", "leads")
        assert not other.strategy.hit(TEN, "acme")
    ours.close()
    other.close()


def test_a_reset_clears_every_node_of_a_cluster(cluster):
    for prefix in ("", "async+"):
        ours = opened(f"{prefix}entitlements+{cluster.url}", **PATIENT)
        for name in range(100):
            assert ours.strategy.hit(TEN, f"acme-{name}", cost=10)

        assert ours.storage.check()
        assert 100 == ours.storage.reset()
        assert ours.strategy.hit(TEN, "acme-7", cost=10)
        ours.storage.reset()
        ours.close()


@pytest.mark.parametrize("prefix", ["", "async+"])
@pytest.mark.parametrize("kind", ["unix_server", "tls_server", "sentinel"])
def test_every_way_to_a_server_is_a_storage(request, kind, prefix):
    ours = opened(f"{prefix}entitlements+{request.getfixturevalue(kind).url}", **PATIENT)

    assert ours.storage.check()
    assert [True] * 10 + [False] == [ours.strategy.hit(TEN, "acme") for _ in range(11)]
    assert 1 == ours.storage.reset()
    assert ours.strategy.test(TEN, "acme", cost=10)
    ours.close()


def test_a_key_is_cleared_by_its_name(ours):
    ours.strategy.hit(TEN, "acme", cost=10)

    ours.storage.clear(TEN.key_for("acme"))

    assert ours.strategy.hit(TEN, "acme", cost=10)


def test_counters_leave_a_server_by_themselves(valkey):
    for strategy in (SLIDING, TOKEN_BUCKET):
        ours = opened(f"entitlements+{valkey.url}", strategy, **PATIENT)
        ours.strategy.hit(parse("5/10 seconds"), strategy)
        ours.close()

    with valkey.client() as client:
        lives = [client.pttl(key) for key in client.scan_iter("ent.limits1:*")]
    assert 2 == len(lives)
    assert all(0 < life <= 22_000 for life in lives)


@pytest.mark.parametrize("prefix", ["", "async+"])
def test_sync_and_async_share_their_counters(valkey, prefix):
    here, there = opened(f"entitlements+{valkey.url}", **PATIENT), opened(f"async+entitlements+{valkey.url}", **PATIENT)
    first, second = (here, there) if prefix else (there, here)

    assert first.strategy.hit(TEN, "acme", cost=7)
    assert 3 == second.strategy.get_window_stats(TEN, "acme").remaining
    assert not second.strategy.hit(TEN, "acme", cost=4)
    for each in (here, there):
        each.close()


def test_the_strategies_of_limits_are_told_whose_storage_this_is(url):
    ours = opened(url, **PATIENT)
    for asked in (ours.storage.get, ours.storage.get_expiry):
        with pytest.raises(NotImplementedError, match="choose strategy='entitlements-sliding'"):
            asked("acme")
    strategies = limits.aio.strategies.STRATEGIES if url.startswith("async") else limits.strategies.STRATEGIES
    storage = storage_from_string(url, **PATIENT)
    for name in ("moving-window", "sliding-window-counter"):
        with pytest.raises(NotImplementedError):
            strategies[name](storage)
    ours.close()


def test_fixed_window_the_default_of_slowapi_is_refused_with_the_cure():
    limiter = limits.strategies.FixedWindowRateLimiter(storage_from_string("entitlements+memory://"))

    with pytest.raises(
        NotImplementedError, match="choose strategy='entitlements-sliding' or 'entitlements-token-bucket'"
    ):
        limiter.hit(TEN, "acme")


def test_our_strategies_want_our_storages(valkey):
    with pytest.raises(NotImplementedError, match="begin its URL with entitlements\\+"):
        limits.strategies.STRATEGIES[SLIDING](storage_from_string(valkey.url))


@pytest.mark.parametrize("strategy", [SLIDING, TOKEN_BUCKET])
def test_over_the_memory_of_limits_which_frameworks_fall_back_to_the_same_laws_hold(strategy):
    for limiter in (
        limits.strategies.STRATEGIES[strategy](MemoryStorage()),
        _RunOnLoop(
            limits.aio.strategies.STRATEGIES[strategy](limits.aio.storage.MemoryStorage()), asyncio.new_event_loop()
        ),
    ):
        assert [True] * 10 + [False] == [limiter.hit(TEN, "acme") for _ in range(11)]
        limiter.clear(TEN, "acme")
        assert limiter.hit(TEN, "acme", cost=10)
        with suppress(AttributeError):
            limiter._loop.close()


COSTS = st.tuples(st.sampled_from(["hit", "test", "stats"]), st.integers(1, 12))
CLEAR = st.tuples(st.just("clear"), st.just(1))


@given(
    strategy=st.sampled_from([SLIDING, TOKEN_BUCKET]), asked=st.lists(st.tuples(COSTS | CLEAR, st.sampled_from("ab")))
)
def test_within_one_window_every_answer_is_that_of_the_moving_window_of_limits(strategy, asked):
    """The log of every hit in `limits` is exact, so it is the reference."""
    item = RateLimitItemPerDay(10)
    theirs = limits.strategies.MovingWindowRateLimiter(MemoryStorage())
    ours = limits.strategies.STRATEGIES[strategy](storage_from_string("entitlements+memory://"))
    for (verb, cost), identifier in asked:
        answers = []
        for limiter in (theirs, ours):
            match verb:
                case "hit" | "test":
                    answers.append(getattr(limiter, verb)(item, identifier, cost=cost))
                case "stats":
                    answers.append(limiter.get_window_stats(item, identifier).remaining)
                case "clear":
                    limiter.clear(item, identifier)
                    answers.append(None)
        assert answers[0] == answers[1]


# -- what goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options", "error", "said"),
    [
        ("entitlements+redis://h", {"socket_timeout": 1}, ConfigurationError, "'socket_timeout' is not known; deadline and wrap"),
        ("entitlements+redis://h", {"max_keys": 1}, ConfigurationError, "'max_keys' is not known"),
        ("async+entitlements+memory://", {"namespace": "x"}, ConfigurationError, "'namespace' is not known; deadline, max_keys"),
        ("entitlements+redis://h?namespace=a b", {}, ValueError, "namespace 'a b.limits' must be"),
        ("entitlements+redis://h?max=1", {}, ValueError, "option 'max' is not known"),
        ("entitlements+redis://h", {"deadline": "soon"}, ValueError, "deadline 'soon' must be a number of seconds"),
        ("entitlements+redis://h", {"deadline": 0}, ValueError, "deadline 0 must be"),
        ("entitlements+memory://", {"max_keys": 0}, ValueError, "max_keys 0 must be at least 1"),
        ("entitlements+memory://?max_keys=many", {}, ValueError, "max_keys 'many' must be an int"),
        ("entitlements+memory://?when_full=explode", {}, ValueError, "when_full 'explode' must be"),
        ("entitlements+memory://?db=1", {}, ValueError, "option 'db' is not known; deadline, max_keys, when_full are"),
    ],
)  # fmt: skip
def test_a_wrong_url_or_option_is_named_with_its_cure(url, options, error, said):
    with pytest.raises(error, match=said):
        storage_from_string(url, **options)


@pytest.mark.parametrize("prefix", ["", "async+"])
def test_a_server_that_is_gone_is_an_error_or_wrapped_where_asked_for(rack, prefix):
    server = rack.start("valkey-9")
    ours = opened(f"{prefix}entitlements+{server.url}", **PATIENT)
    wrapped = opened(f"{prefix}entitlements+{server.url}", **PATIENT, wrap_exceptions=True)
    assert ours.strategy.hit(TEN, "acme")
    assert ours.storage.check()

    server.kill()
    assert not ours.storage.check()
    for each, error in ((ours, StoreError), (wrapped, StorageError)):
        for asked in (each.strategy.hit, each.strategy.test, each.strategy.get_window_stats, each.strategy.clear):
            with pytest.raises(error):
                asked(TEN, "acme")
        with pytest.raises(error):
            each.storage.reset()

    server.start()
    assert ours.storage.check()
    assert ours.strategy.hit(TEN, "acme")
    for each in (ours, wrapped):
        each.close()
    rack.remove(server)


def test_a_server_that_takes_no_writes_is_not_healthy(valkey):
    ours = opened(f"entitlements+{valkey.url}", **PATIENT)
    assert ours.storage.check()

    with valkey.client() as client:
        client.replicaof("127.0.0.1", valkey.port)

    assert not ours.storage.check()
    ours.close()


@pytest.mark.parametrize("prefix", ["", "async+"])
def test_a_memory_that_is_full_refuses_loudly_or_lets_pass_as_told(prefix):
    url = f"{prefix}entitlements+memory://"
    deny, allow = opened(url, max_keys=2), opened(f"{url}?max_keys=2&when_full=allow")
    for each in (deny, allow):
        assert each.strategy.hit(TEN, "a")
        assert each.strategy.hit(TEN, "b")

    with pytest.raises(StoreError, match="full; raise the storage option max_keys"):
        deny.strategy.hit(TEN, "c")
    assert allow.strategy.hit(TEN, "c")
    for each in (deny, allow):
        each.close()


# -- the differences that docs/limits.md lists -----------------------------------------------------------------------


@pytest.mark.parametrize("cost", [7.5, 7.0, "7", None, True])
def test_a_cost_that_is_no_int_is_a_value_error(limiter, cost):
    with pytest.raises(ValueError, match="must be an int"):
        limiter.hit(HUNDRED, "acme", cost=cost)


@pytest.mark.parametrize("uri", ["redis://localhost:6379/x", "redis://localhost:99999", "memory://?max_keys=many"])
def test_an_invalid_url_is_a_value_error(uri):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the store's
        storage_from_string(f"entitlements+{uri}")


@pytest.mark.parametrize("scheme", ["valkey", "redis+unix"])
def test_a_scheme_that_is_not_offered_is_unknown_to_limits(scheme):
    with pytest.raises(ConfigurationError):
        storage_from_string(f"entitlements+{scheme}://localhost:6379")


def test_a_storage_in_memory_cannot_be_pickled():
    with pytest.raises((TypeError, pickle.PicklingError), match="pickle"):
        pickle.dumps(storage_from_string("entitlements+memory://"))


def test_a_storage_and_its_store_say_what_they_are():
    storage = storage_from_string("entitlements+memory://?max_keys=7")

    assert ("entitlements.integrations.limits", "<MemoryStore of 0 records, 7 at most>") == (
        type(storage).__module__, repr(storage.storage),
    )  # fmt: skip
