"""Account caches: time to live, stale-if-error, and one load for all callers."""

import asyncio
import gc
import logging
import sys
import threading
from concurrent.futures import CancelledError as FutureCancelled
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.accounts import AsyncCachedAccounts, CachedAccounts
from entitlements.errors import AccountError, AccountsUnavailable
from entitlements.model.account import Account
from entitlements.model.redaction import digest

SECOND = 1_000_000
MINUTE = 60 * SECOND
STALE = 5 * MINUTE + 30 * SECOND
"""Age from which a stale account is no longer used: 5 minutes after its 30 seconds."""


class Clock:
    now = 0

    def __call__(self):
        return self.now


class Source:
    """A source that records its calls, and raises `error` if it is set."""

    def __init__(self, **tiers):
        self.tiers = tiers
        self.asked = []
        self.error = None
        self.meanwhile = lambda: None

    def find(self, id):
        self.asked.append(id)
        tier = self.tiers.get(id)
        self.meanwhile()
        if self.error:
            raise self.error
        return Account(id, tier) if isinstance(tier, str) else tier


class AsyncSource(Source):
    async def find(self, id):
        await asyncio.sleep(0)
        return super().find(id)


class Blocking:
    """A cache with its clock and source, and the same interface for both kinds."""

    cache, kind = CachedAccounts, Source

    def __init__(self, **named):
        self.clock = Clock()
        self.source = self.kind(acme="pro")
        self.cached = self.cache(self.source, clock=self.clock, **named)

    def load(self, id="acme"):
        return self.cached.load(id)

    def tier(self, id="acme"):
        account = self.load(id).account
        return account and account.tier


class Asynchronous(Blocking):
    cache, kind = AsyncCachedAccounts, AsyncSource

    def load(self, id="acme"):
        return asyncio.run(self.cached.load(id))


@pytest.fixture(params=[Blocking, Asynchronous])
def make(request):
    return request.param


# -- how long an answer is believed ----------------------------------------------------


def test_an_account_is_believed_for_its_ttl(make):
    """30 seconds; then it is asked for again."""
    it = make()
    first = it.load()
    it.source.tiers["acme"] = "max"
    it.clock.now = 30 * SECOND - 1
    second = it.load()

    it.clock.now += 1

    assert (Account("acme", "pro"), 30 * SECOND) == (first.account, first.fresh_for)
    assert (first.account, 1) == (second.account, second.fresh_for)
    assert ("max", 2) == (it.tier(), len(it.source.asked))


def test_the_absence_of_an_account_is_believed_for_less(make):
    """5 seconds: a new account does not wait long."""
    it = make()
    absent = it.load("new")
    it.source.tiers["new"] = "free"
    it.clock.now = 5 * SECOND - 1
    still = it.tier("new")

    it.clock.now += 1

    assert (None, 5 * SECOND, None) == (absent.account, absent.fresh_for, still)
    assert ("free", 2) == (it.tier("new"), len(it.source.asked))


def test_the_ttl_counts_from_the_beginning_of_the_load(make):
    """The answer of a slow source was true when it was asked, and may not be later."""
    it = make()

    def slowly():
        it.clock.now += 20 * SECOND

    it.source.meanwhile = slowly

    assert [10 * SECOND, 10 * SECOND] == [it.load().fresh_for, it.load().fresh_for]
    it.clock.now = 30 * SECOND
    assert 10 * SECOND == it.load().fresh_for


def test_a_load_that_takes_longer_than_the_ttl_is_answered_and_old_at_once(make):
    """It may not be kept at all."""
    it = make(ttl=timedelta(seconds=1))
    it.source.meanwhile = lambda: setattr(it.clock, "now", it.clock.now + 9 * SECOND)

    assert [0, 0] == [it.load().fresh_for, it.load().fresh_for]
    assert 2 == len(it.source.asked)


def test_a_ttl_of_nothing_caches_nothing(make):
    """Every question reaches the source."""
    it = make(ttl=timedelta(0), max_stale=timedelta(0))

    assert [0, 0] == [it.load().fresh_for, it.load().fresh_for]
    assert 2 == len(it.source.asked)


def test_the_least_recently_used_make_room(make):
    """No more than `max_size` are kept."""
    it = make(max_size=2)
    it.source.tiers |= {"b": "free", "c": "free"}

    for id in ("acme", "b", "acme", "c", "acme", "b"):
        it.load(id)

    assert ["acme", "b", "c", "b"] == it.source.asked


def test_what_is_known_can_be_seen_without_asking(make):
    """`known` is what a caller may use who must not wait."""
    it = make()
    before = it.cached.known("acme")
    it.load()
    known = it.cached.known("acme")
    it.clock.now = 30 * SECOND

    assert (None, "pro", None, 1) == (before, known.account.tier, it.cached.known("acme"), len(it.source.asked))


def test_a_clock_that_is_set_back_makes_nothing_last_longer(make):
    """Against the rules, and harmless: the account is asked for again."""
    it = make()
    it.clock.now = 10 * MINUTE
    it.load()
    it.clock.now = 0
    it.load()

    assert 2 == len(it.source.asked)


@pytest.mark.parametrize(
    "named",
    [
        {"ttl": timedelta(seconds=-1)},
        {"ttl": 30},
        {"negative_ttl": timedelta(seconds=-1)},
        {"max_stale": None},
        {"max_size": 0},
        {"max_size": 1.5},
        {"max_size": True},
        {"when_down": ""},
        {"when_down": None},
    ],
)
def test_settings_that_cannot_be_are_refused(make, named):
    """Durations are timedeltas of 0 or more, and there is room for at least one account."""
    with pytest.raises(ValueError, match=next(iter(named))):
        make(**named)


# -- when the source fails -------------------------------------------------------------


def test_an_error_reaches_the_caller_where_nothing_is_known(make):
    """It is not cached: the next call asks again."""
    it = make()
    it.source.error = ConnectionError("gone")
    for _ in range(2):
        with pytest.raises(AccountsUnavailable, match=r"'acme' cannot be loaded.*: ConnectionError: gone") as caught:
            it.load()
        assert it.source.error is caught.value.__cause__
    it.source.error = None

    assert ("pro", 3) == (it.tier(), len(it.source.asked))


def test_what_was_last_known_stands_in(make):
    """For a second at a time, so that a failing source gets a rest, and for 5 minutes in all."""
    it = make()
    it.load()
    it.source.error = ConnectionError("gone")

    it.clock.now = 30 * SECOND
    assert [("pro", SECOND), ("pro", SECOND)] == [(it.tier(), it.load().fresh_for) for _ in range(2)]
    it.clock.now += SECOND - 1
    assert ("pro", 2) == (it.tier(), len(it.source.asked))
    it.clock.now += 1
    assert ("pro", 3) == (it.tier(), len(it.source.asked))
    it.clock.now = STALE - 1
    assert ("pro", 1) == (it.tier(), it.load().fresh_for)
    it.clock.now = STALE
    with pytest.raises(AccountsUnavailable):
        it.load()


def test_a_source_that_is_well_again_is_believed_again(make):
    """The stand-in ends with the first answer."""
    it = make()
    it.load()
    it.source.error = ConnectionError("gone")
    it.clock.now = MINUTE
    it.load()
    it.source.error = None
    it.source.tiers["acme"] = "max"

    it.clock.now += SECOND

    assert ("max", 30 * SECOND) == (it.tier(), it.load().fresh_for)


def test_an_absence_never_stands_in(make):
    """An account that was unknown once is not refused for it: the error is raised."""
    it = make()
    it.load("new")
    it.source.error = ConnectionError("gone")
    it.clock.now = 5 * SECOND

    with pytest.raises(AccountsUnavailable):
        it.load("new")


def test_an_account_that_is_gone_does_not_stand_in_for_itself(make):
    """The last answer was that it no longer exists."""
    it = make()
    it.load()
    del it.source.tiers["acme"]
    it.clock.now = 30 * SECOND
    it.load()
    it.source.error = ConnectionError("gone")
    it.clock.now = 40 * SECOND

    with pytest.raises(AccountsUnavailable):
        it.load()


def test_a_failing_source_is_logged_once_and_so_is_its_recovery(make, caplog):
    """Whatever the number of accounts and questions."""
    caplog.set_level(logging.INFO, "entitlements.accounts")
    it = make()
    it.source.tiers["b"] = "free"
    it.load(), it.load("b")
    it.source.error = ConnectionError("gone")
    for second in range(30, 40):
        it.clock.now = second * SECOND
        it.load(), it.load("b")
    it.source.error = None
    it.clock.now = MINUTE
    it.load(), it.load("b")

    meanwhile = "those loaded within 0:05:30 stand in, for others AccountsUnavailable is raised"
    assert [
        ("WARNING", f"accounts cannot be loaded; {meanwhile}: ConnectionError: gone"),
        ("INFO", "accounts are loaded again"),
    ] == [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_bad_account_is_the_trouble_of_that_account(make, caplog):
    """It is logged by its digest, once, while others are loaded; one that is not known is the caller's to see."""
    it = make()
    it.source.tiers["b"] = "free"
    it.load()
    it.source.tiers["acme"] = 7
    for second in (30, 31, 32):
        it.clock.now = second * SECOND
        assert "pro" == it.tier()
        it.cached.refresh("b")
        assert "free" == it.tier("b")
    it.source.tiers["new"] = 7
    with pytest.raises(AccountError, match=r"'new'.*7 \(of type int\)"):
        it.load("new")

    assert 1 == len(caplog.records)
    assert f"account {digest('acme')} failed to load; serving the stale entry" in caplog.text
    assert "acme" not in caplog.text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Account("globex", "max"), r"account 'acme': \w+ holds account 'globex' under this id"),
        ({"tier": "pro"}, "account 'acme': .*of type dict.; give an Account"),
    ],
)
def test_a_source_must_give_the_account_that_was_asked_for(make, value, problem):
    """An account with another id is never used."""
    it = make()
    it.source.tiers["acme"] = value

    with pytest.raises(AccountError, match=problem):
        it.load()


def test_a_coroutine_from_a_blocking_source_is_an_error_with_the_cure():
    """A `find` that returns the coroutine of an async client must be an `async def`."""

    class Passing:
        def find(self, id):
            return AsyncSource(acme="pro").find(id)

    with pytest.raises(AccountsUnavailable, match="write it as async def find"):
        CachedAccounts(Passing()).find("acme")


def test_each_cache_takes_its_own_kind_of_source():
    """The cures name what to do instead."""
    with pytest.raises(TypeError, match="use AsyncCachedAccounts"):
        CachedAccounts(AsyncSource())
    with pytest.raises(TypeError, match=r"wrap it: ThreadedAccounts\(source\)"):
        AsyncCachedAccounts(Source())


# -- refresh ---------------------------------------------------------------------------


def test_a_refresh_forgets_the_account(make):
    """The next question is the source's, and nothing old stands in for it."""
    it = make()
    it.load()
    it.source.tiers["acme"] = "max"
    it.cached.refresh("acme")
    it.cached.refresh("never seen")
    new = it.tier()
    it.cached.refresh("acme")
    it.source.error = ConnectionError("gone")

    assert "max" == new
    with pytest.raises(AccountsUnavailable):
        it.load()


def test_what_was_being_loaded_at_a_refresh_is_not_kept(make):
    """It may be from before the change: those who waited get it, the next one asks again."""
    it = make()

    def once():
        it.source.meanwhile = lambda: None
        it.source.tiers["acme"] = "max"
        it.cached.refresh("acme")

    it.source.meanwhile = once

    assert ["pro", "max", "max"] == [it.tier(), it.tier(), it.tier()]
    assert 2 == len(it.source.asked)


def test_what_fails_after_a_refresh_does_not_touch_what_came_since(make):
    """The newer answer stays, and even stands in."""
    it = make()

    def once():
        it.source.meanwhile = lambda: None
        it.cached.refresh("acme")
        it.cached._entries.succeeded(
            it.cached._entries.fresh_or_load("acme", "another loop", object)[0], Account("acme", "max")
        )
        raise ConnectionError("gone")

    it.source.meanwhile = once

    assert [("max", 30 * SECOND)] * 2 == [(it.tier(), it.load().fresh_for) for _ in range(2)]
    assert 1 == len(it.source.asked)


async def test_who_asks_after_a_refresh_does_not_wait_for_the_load_before_it():
    """Two loads are under way, and only the second is kept."""
    gates = [asyncio.Event(), asyncio.Event()]
    answers = iter(("pro", "max"))

    class Gated:
        async def find(self, id):
            gate, tier = gates[len(begun)], next(answers)
            begun.append(id)
            await gate.wait()
            return Account(id, tier)

    begun = []
    cached = AsyncCachedAccounts(Gated())
    before = asyncio.create_task(cached.find("acme"))
    await settled()
    cached.refresh("acme")
    after = asyncio.create_task(cached.find("acme"))
    await settled()
    gates[1].set()
    second = await after
    gates[0].set()
    first = await before

    assert ("pro", "max", "max") == (first.tier, second.tier, (await cached.find("acme")).tier)
    assert 2 == len(begun)


# -- one load for all: threads ---------------------------------------------------------


def together(n, ask):
    """Call *ask* in *n* threads that start together; return each result or exception."""
    results, start = [], threading.Barrier(n)

    def run():
        start.wait()
        try:
            results.append(ask())
        except BaseException as error:  # noqa: BLE001 - it is looked at
            results.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


class Crowded(Source):
    """A source that answers only once *n* callers are waiting at the cache."""

    def __init__(self, n, **tiers):
        super().__init__(**tiers)
        self.waiting = threading.Semaphore(0)
        self.meanwhile = lambda: all(self.waiting.acquire(timeout=60) for _ in range(n))

    def cached(self, **named):
        cached = CachedAccounts(self, **named)
        ask = cached._entries.fresh_or_load

        def counted(*what):
            answer = ask(*what)
            self.waiting.release()
            return answer

        cached._entries.fresh_or_load = counted
        return cached


def test_a_thousand_threads_that_miss_cause_one_load():
    """All of them are waiting before the source answers, and all get the same object."""
    source = Crowded(1000, acme="pro")
    cached = source.cached()

    found = together(1000, lambda: cached.find("acme"))

    assert (["acme"], 1000, 1) == (source.asked, len(found), len({id(account) for account in found}))


def test_a_failed_load_fails_all_who_wait_and_is_not_kept():
    """One call of the source, one error for all waiters; the next call asks again."""
    source = Crowded(50, acme="pro")
    source.error = ConnectionError("gone")
    cached = source.cached()

    found = together(50, lambda: cached.find("acme"))
    source.error, source.meanwhile = None, lambda: None

    assert (["acme"], {AccountsUnavailable}, 50) == (source.asked, {type(each) for each in found}, len(found))
    assert "pro" == cached.find("acme").tier


def test_different_accounts_do_not_wait_for_each_other():
    """While one load hangs, another goes through."""
    cached = CachedAccounts(source := Source(slow="pro", quick="free"))
    hanging, over = threading.Event(), threading.Event()

    def hang():
        if source.asked[-1] == "slow":
            hanging.set()
            over.wait(60)

    source.meanwhile = hang
    thread = threading.Thread(target=cached.find, args=("slow",))
    thread.start()
    hanging.wait(60)
    quick = cached.find("quick")
    over.set()
    thread.join()

    assert "free" == quick.tier


def test_an_interrupted_load_makes_those_who_wait_ask_again():
    """A KeyboardInterrupt belongs to the thread that it hit; the others get their account."""
    source = Crowded(5, acme="pro")
    cached = source.cached()
    wait = source.meanwhile

    def interrupted():
        wait()
        source.meanwhile = lambda: None
        raise KeyboardInterrupt

    source.meanwhile = interrupted

    found = together(5, lambda: cached.find("acme").tier)

    assert ["KeyboardInterrupt", *["pro"] * 4] == sorted(
        each if isinstance(each, str) else type(each).__name__ for each in found
    )
    assert 2 == len(source.asked)


def test_a_source_may_raise_the_cancellation_of_a_future_of_its_own():
    """It is an error like any other, and no reason to ask for ever."""
    it = Blocking()
    it.source.error = FutureCancelled()

    with pytest.raises(AccountsUnavailable, match="CancelledError"):
        it.load()
    assert 1 == len(it.source.asked)


# -- one load for all: event loops -----------------------------------------------------


class Gated(AsyncSource):
    """An async source that answers when its gate opens."""

    def __init__(self, **tiers):
        super().__init__(**tiers)
        self.gate = asyncio.Event()

    async def find(self, id):
        self.asked.append(id)
        await self.gate.wait()
        if self.error:
            raise self.error
        return Account(id, self.tiers[id])


async def settled():
    """Let every task go on until it waits for something that does not come by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


async def gathered(cached, n):
    """Return *n* tasks that are all waiting for the same account."""
    tasks = [asyncio.create_task(cached.find("acme")) for _ in range(n)]
    await settled()
    return tasks


async def test_a_thousand_tasks_that_miss_cause_one_load():
    """And get the same object."""
    cached = AsyncCachedAccounts(source := Gated(acme="pro"))
    tasks = await gathered(cached, 1000)
    source.gate.set()

    found = await asyncio.gather(*tasks)

    assert (["acme"], 1) == (source.asked, len({id(account) for account in found}))


async def test_a_failed_load_fails_all_tasks_that_wait_and_is_not_kept():
    """The next call asks again."""
    cached = AsyncCachedAccounts(source := Gated(acme="pro"))
    source.error = ConnectionError("gone")
    tasks = await gathered(cached, 10)
    source.gate.set()

    found = await asyncio.gather(*tasks, return_exceptions=True)
    source.error = None

    assert {AccountsUnavailable} == {type(each) for each in found}
    assert ("pro", 2) == ((await cached.find("acme")).tier, len(source.asked))


@pytest.mark.parametrize("cancelled", [[0], [1, 2], [0, 1, 2, 3]])
async def test_the_cancellation_of_a_waiter_is_its_own(cancelled):
    """Neither the first nor the last to wait takes the load along: the others get it, and it is kept."""
    cached = AsyncCachedAccounts(source := Gated(acme="pro"))
    tasks = await gathered(cached, 4)
    for at in cancelled:
        tasks[at].cancel()
    await asyncio.sleep(0)
    source.gate.set()

    found = await asyncio.gather(*tasks, return_exceptions=True)
    await settled()

    expected = ["CancelledError" if at in cancelled else "Account" for at in range(4)]
    assert expected == [type(each).__name__ for each in found]
    assert ("pro", ["acme"]) == ((await cached.find("acme")).tier, source.asked)


async def test_a_failure_that_nobody_is_left_to_see_is_no_complaint():
    """asyncio would report it as an exception that was never retrieved."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    cached = AsyncCachedAccounts(source := Gated(acme="pro"))
    source.error = ConnectionError("gone")
    tasks = await gathered(cached, 2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    source.gate.set()
    await settled()
    tasks.clear()
    source.error = None  # its traceback holds the future
    gc.collect()

    assert [] == complaints


async def test_a_load_that_is_cancelled_makes_those_who_wait_ask_again():
    """A waiter may cancel every task of the loop but its own."""
    cached = AsyncCachedAccounts(source := Gated(acme="pro"))
    tasks = await gathered(cached, 3)
    for load in list(cached._tasks):
        load.cancel()
    source.gate.set()

    assert ["pro"] * 3 == [account.tier for account in await asyncio.gather(*tasks)]
    assert 2 == len(source.asked)


def test_each_event_loop_loads_for_itself_and_all_share_what_is_known():
    """A future belongs to its loop; a loaded account is shared."""
    cached = AsyncCachedAccounts(source := AsyncSource(acme="pro"))
    begun = threading.Barrier(4, timeout=60)
    source.meanwhile = begun.wait

    found = together(4, lambda: asyncio.run(cached.find("acme")))
    again = asyncio.run(cached.find("acme"))

    assert (4, {"pro"}, "pro") == (len(source.asked), {account.tier for account in found}, again.tier)


def test_a_loop_that_ends_during_a_load_leaves_nothing_behind():
    """The next loop begins a load of its own, and does not wait for the lost task."""
    cached = AsyncCachedAccounts(source := Source_that_hangs_once())

    async def leave():
        asyncio.create_task(cached.find("acme"))  # noqa: RUF006 - it is left behind on purpose
        await settled()

    asyncio.run(leave())

    assert "pro" == asyncio.run(cached.find("acme")).tier
    assert (2, 1) == (source.questions, len(cached._entries._loads))
    assert set() == cached._tasks


class Source_that_hangs_once:  # noqa: N801 - reads as what it is
    questions = 0

    async def find(self, id):
        self.questions += 1
        if self.questions == 1:
            await asyncio.Event().wait()
        return Account(id, "pro")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_eager_tasks_load_as_well():
    """A task that runs before it is scheduled does not find the books locked."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    class Eager:
        async def find(self, id):
            return Account(id, "pro")

    assert "pro" == (await AsyncCachedAccounts(Eager()).find("acme")).tier


# -- the promise -----------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(0, 40 * SECOND) | st.integers(0, 7 * MINUTE)),
        st.tuples(st.sampled_from(["change", "remove", "fail", "heal", "refresh", "load"]), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_answer_is_older_than_promised(steps):
    """A healthy source is believed for its TTL; a failing one for 5 minutes more; an absence for 5 seconds."""
    it = Blocking()
    versions, since = ["pro"], [0]
    refreshed = rest = 0
    for step, by in [*steps, ("load", None)]:
        if step == "advance":
            it.clock.now += by
        elif step in {"change", "remove"}:
            versions.append(f"v{len(versions)}" if step == "change" else None)
            since.append(it.clock.now)
            it.source.tiers["acme"] = versions[-1]
        elif step == "fail":
            it.source.error = ConnectionError("gone")
        elif step == "heal":
            it.source.error = None
        elif step == "refresh":
            it.cached.refresh("acme")
            refreshed = len(versions) - 1
        else:
            if it.source.error:
                rest = it.clock.now + SECOND
            try:
                loaded = it.load()
            except AccountsUnavailable:
                assert it.source.error
                continue
            tier = loaded.account and loaded.account.tier
            at = len(versions) - 1 - versions[::-1].index(tier)
            over = since[at + 1] if at + 1 < len(versions) else it.clock.now + 1
            bound = 5 * SECOND if tier is None else STALE if it.clock.now < rest else 30 * SECOND
            assert it.clock.now + max(loaded.fresh_for, 1) <= over + bound
            assert tier is None or at >= refreshed
