"""Embedded store: correct under threads and forks, and never larger than `max_keys`."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from strategies import NOW, ends_around
from trade import policy

from entitlements import Enforcer
from entitlements.errors import StoreError
from entitlements.model.answers import Outdated, Status
from entitlements.model.charge import (
    Charge,
    Forget,
    Invalidate,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    Settle,
    SetUsage,
    Unassign,
    Verb,
)
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND
from entitlements.model.limits import Allocation, Limit, Quota, Rate, Size
from entitlements.model.prepared import Derived
from entitlements.stores import AsyncMemoryStore, MemoryStore

API = Rate("api", MINUTE)
DAILY = Rate("daily", DAY)
BY_ADDRESS = Rate("by-address", MINUTE, per="ip")
LEADS = Quota("leads")
AGENTS = Allocation("agents")
THREADS = 8


@dataclass
class Clock:
    """A clock that a test moves, in microseconds."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def part(limit: Limit, cost: int = 1, size: Size = 10) -> Part:
    return Part(limit, size, cost, ends_around(None, NOW) if isinstance(limit, Quota) else None)


def consume(store: MemoryStore, account: str, *parts: Part, scope: str | None = None) -> Status:
    """Charge *account*; rates alone keep no record of it."""
    operation = None if all(isinstance(each.limit, Rate) for each in parts) else "o:1"
    return store.execute(Charge(account, parts, scope=scope, operation=operation)).status


def used(store: MemoryStore, account: str, limit: Limit, scope: str | None = None) -> int:
    return store.execute(Read(account, (part(limit),), scope)).lines[0].used


def test_a_store_shows_how_full_it_is(clock):
    store = MemoryStore(clock, max_keys=5)
    consume(store, "acme", part(API))

    assert "<MemoryStore of 1 records, 5 at most>" == repr(store)
    assert f"<AsyncMemoryStore around {store!r}>" == repr(AsyncMemoryStore(store))


# --- Threads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hurried():
    """Let the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], None]) -> None:
    """Run *work* in eight threads that start together; raise what any of them raised."""
    together, raised = threading.Barrier(THREADS), []

    def run(number: int) -> None:
        together.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == raised


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("limit", [API, LEADS, AGENTS], ids=lambda limit: limit.name)
def test_eight_threads_take_exactly_a_limit(clock, limit):
    store, admitted = MemoryStore(clock), []

    def work(number: int) -> None:
        for turn in range(200):
            order = Charge("acme", (part(limit, 1, 500),), operation=f"o:{number}-{turn}")
            admitted.append(store.execute(order).status is Status.ADMITTED)

    in_threads(work)

    assert (500, 500) == (sum(admitted), used(store, "acme", limit))


@pytest.mark.usefixtures("hurried")
def test_eight_threads_that_take_and_release_never_hold_more_than_an_allocation(clock):
    store, seen, kept = MemoryStore(clock), [], []

    def work(number: int) -> None:
        mine = 0
        for turn in range(150):
            operation = f"o:{number}-{turn}"
            outcome = store.execute(Charge("acme", (part(AGENTS, 2, 9),), operation=operation))
            mine += 2 * (outcome.status is Status.ADMITTED)
            seen.append(outcome.lines[0].used)
            if turn % 3:
                mine -= store.execute(Release("acme", "agents", mine)) if mine else 0
        kept.append(mine)

    in_threads(work)

    assert max(seen) <= 9
    assert sum(kept) == used(store, "acme", AGENTS)


@pytest.mark.usefixtures("hurried")
def test_eight_threads_with_one_key_take_once(clock):
    store, statuses = MemoryStore(clock), []

    def work(_: int) -> None:
        for turn in range(40):
            order = Charge("acme", (part(LEADS, 1, 1000),), operation=f"k:{turn}", keyed=True)
            statuses.append(store.execute(order).status)

    in_threads(work)

    assert (40, 40) == (statuses.count(Status.ADMITTED), used(store, "acme", LEADS))
    assert 40 * (THREADS - 1) == statuses.count(Status.REPLAYED)


@pytest.mark.usefixtures("hurried")
def test_eight_threads_of_newcomers_leave_no_more_records_than_there_may_be(clock):
    store, admitted = MemoryStore(clock, max_keys=20), []

    def work(number: int) -> None:
        admitted.extend(1 for turn in range(40) if consume(store, f"{number}-{turn}", part(API)) is Status.ADMITTED)

    in_threads(work)

    assert (20, 20) == (len(admitted), len(store))


# --- Forks --------------------------------------------------------------------------------------------------------


class StandingClock:
    """A clock that blocks every thread but the main one."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def __call__(self) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.asked.set()
            self.go.wait()
        return NOW


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_child_uses_a_store_whose_lock_another_thread_held_at_the_fork():
    clock = StandingClock()
    store = MemoryStore(clock)
    consume(store, "acme", part(API, 7))
    thread = threading.Thread(target=consume, args=(store, "acme", part(API)))
    thread.start()
    clock.asked.wait()

    child = os.fork()
    if child == 0:
        os._exit(3 if consume(store, "acme", part(API, 3)) is Status.ADMITTED else 4)
    code = exit_code(child)
    clock.go.set()
    thread.join()

    assert 3 == code
    assert 8 == used(store, "acme", API)


def exit_code(child: int) -> int:
    """Return the exit code of *child*; wait at most ten seconds."""
    for _ in range(1000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# --- Room ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("when_full", "status"), [("deny", Status.UNAVAILABLE), ("allow", Status.WAIVED)])
def test_a_newcomer_without_room_gets_what_when_full_says_and_is_not_counted(clock, when_full, status):
    store = MemoryStore(clock, max_keys=1, when_full=when_full)
    consume(store, "acme", part(API))

    assert status is consume(store, "globex", part(API))
    assert (1, 0) == (len(store), used(store, "globex", API))


def test_those_who_are_known_are_served_by_a_full_store(clock):
    store = MemoryStore(clock, max_keys=1)
    consume(store, "acme", part(API))

    assert Status.ADMITTED is consume(store, "acme", part(API), part(LEADS))


def test_an_idle_rate_makes_room(clock):
    store = MemoryStore(clock, max_keys=2)
    consume(store, "acme", part(API))
    clock.now += 2 * MINUTE
    consume(store, "globex", part(API, 4))

    assert Status.ADMITTED is consume(store, "initech", part(API))
    assert (2, 4) == (len(store), used(store, "globex", API))


@pytest.mark.parametrize("limit", [API, LEADS, AGENTS], ids=lambda limit: limit.name)
def test_a_live_counter_is_never_evicted(clock, limit):
    store = MemoryStore(clock, max_keys=3)
    for account in ("acme", "globex", "initech"):
        consume(store, account, part(limit, 7))
    clock.now += 30 * SECOND if limit is API else 20 * DAY

    newcomers = [consume(store, f"newcomer-{number}", part(API)) for number in range(20)]

    assert {Status.UNAVAILABLE} == set(newcomers)
    assert [7, 7, 7] == [used(store, account, limit) for account in ("acme", "globex", "initech")]


def test_a_rate_is_live_to_the_last_microsecond_in_which_it_counts(clock):
    store = MemoryStore(clock, max_keys=1)
    outcome = store.execute(Charge("acme", (part(API, 10),)))

    clock.now = outcome.lines[0].resets_at - 1
    assert Status.UNAVAILABLE is consume(store, "globex", part(API))
    clock.now += 1
    assert Status.ADMITTED is consume(store, "globex", part(API))


def test_a_record_of_a_rate_is_live_while_a_key_of_it_is(clock):
    store = MemoryStore(clock, max_keys=1)
    order = Charge("acme", (part(API, 10),), operation="k:1", keyed=True)
    store.execute(order)

    clock.now += DAY - 1
    assert Status.UNAVAILABLE is consume(store, "globex", part(API))
    assert Status.REPLAYED is store.execute(order).status
    clock.now += 1
    assert Status.ADMITTED is consume(store, "globex", part(API))


def test_a_record_is_live_while_any_of_its_rates_is(clock):
    store = MemoryStore(clock, max_keys=1)
    consume(store, "acme", part(API), part(DAILY, 7))
    clock.now += HOUR

    assert Status.UNAVAILABLE is consume(store, "globex", part(API))
    assert 7 == used(store, "acme", DAILY)


def test_idle_records_make_room_although_live_ones_are_older(clock):
    store = MemoryStore(clock, max_keys=100)
    for number in range(40):
        consume(store, f"live-{number}", part(DAILY, 3))
    for number in range(60):
        consume(store, f"idle-{number}", part(API))
    clock.now += HOUR

    newcomers = [consume(store, f"newcomer-{number}", part(DAILY)) for number in range(80)]

    assert 60 == newcomers.count(Status.ADMITTED)
    assert [3] * 40 == [used(store, f"live-{number}", DAILY) for number in range(40)]


def test_a_record_that_came_to_hold_more_than_rates_is_never_evicted(clock):
    store = MemoryStore(clock, max_keys=2)
    consume(store, "acme", part(API, 4))
    consume(store, "acme", part(AGENTS, 4))
    assert 1 == len(store)
    clock.now += HOUR
    consume(store, "globex", part(API))

    assert Status.UNAVAILABLE is consume(store, "initech", part(API))
    assert 4 == used(store, "acme", AGENTS)


@pytest.mark.parametrize("months", [1, 6, 14, 36])
def test_a_quota_whose_period_is_over_makes_room(clock, months):
    store = MemoryStore(clock, max_keys=3)
    for account in ("acme", "globex", "initech"):
        consume(store, account, part(LEADS, 7), part(API))
    for _ in range(months):
        clock.now = ends_around(None, clock.now)[2]

    newcomers = [
        store.execute(
            Charge(f"newcomer-{number}", (Part(LEADS, 10, 1, ends_around(None, clock.now)),), operation="o:1")
        )
        for number in range(4)
    ]

    assert [Status.ADMITTED] * 3 + [Status.UNAVAILABLE] == [each.status for each in newcomers]
    assert 3 == len(store)


def test_a_quota_is_live_to_the_last_microsecond_of_its_period(clock):
    store = MemoryStore(clock, max_keys=1)
    consume(store, "acme", part(LEADS))

    clock.now = ends_around(None, NOW)[2] - 1
    assert Status.UNAVAILABLE is consume(store, "globex", part(API))
    clock.now += 1
    assert Status.ADMITTED is consume(store, "globex", part(API))


HOLDING = {
    "units": Charge("acme", (part(AGENTS, 2),), operation="o:1"),
    "a holder": Charge("acme", (part(AGENTS),), Verb.ASSIGN, operation="o:1", holder="ann"),
    "a reservation": Charge("acme", (part(LEADS, 2), part(AGENTS)), Verb.RESERVE, operation="o:1", ttl=900 * DAY),
}
RETURNING = {
    "units": Release("acme", "agents", 2),
    "a holder": Unassign("acme", "agents", "ann"),
    "a reservation": Settle("acme", "o:1", ()),
}


@pytest.mark.parametrize("what", HOLDING)
def test_a_record_stays_while_it_holds_units_and_goes_when_they_are_back(clock, what):
    store = MemoryStore(clock, max_keys=1)
    store.execute(HOLDING[what])
    clock.now += 800 * DAY

    assert Status.UNAVAILABLE is consume(store, "globex", part(API))
    store.execute(RETURNING[what])
    clock.now += 200 * DAY
    assert Status.ADMITTED is consume(store, "globex", part(API))


def test_a_reservation_that_has_lapsed_makes_room(clock):
    store = MemoryStore(clock, max_keys=1)
    store.execute(Charge("acme", (part(AGENTS, 2),), Verb.RESERVE, operation="o:1", ttl=HOUR))

    clock.now += HOUR - 1
    assert Status.UNAVAILABLE is consume(store, "globex", part(API))
    clock.now += 1
    assert Status.ADMITTED is consume(store, "globex", part(API))


def test_periods_that_are_over_make_room_although_live_records_are_older(clock):
    store = MemoryStore(clock, max_keys=100)
    for number in range(40):
        consume(store, f"live-{number}", part(AGENTS, 3))
    for number in range(60):
        consume(store, f"over-{number}", part(LEADS))
    clock.now += 60 * DAY

    newcomers = [consume(store, f"newcomer-{number}", part(AGENTS)) for number in range(80)]

    assert 60 == newcomers.count(Status.ADMITTED)
    assert [3] * 40 == [used(store, f"live-{number}", AGENTS) for number in range(40)]


def test_a_newcomer_of_an_account_and_a_scope_needs_room_for_both(clock):
    store = MemoryStore(clock, max_keys=2)
    consume(store, "acme", part(API))

    assert Status.UNAVAILABLE is consume(store, "globex", part(BY_ADDRESS), part(API), scope="10.0.0.1")
    assert Status.ADMITTED is consume(store, "acme", part(BY_ADDRESS), part(API), scope="10.0.0.1")
    assert 2 == len(store)


def test_a_scope_alone_needs_room_for_itself_alone(clock):
    store = MemoryStore(clock, max_keys=1)

    assert [Status.ADMITTED] * 2 == [consume(store, "acme", part(BY_ADDRESS), scope="10.0.0.1") for _ in range(2)]
    assert Status.UNAVAILABLE is consume(store, "acme", part(BY_ADDRESS), scope="10.0.0.2")
    assert (1, 2) == (len(store), used(store, "acme", BY_ADDRESS, "10.0.0.1"))


def test_a_charge_does_not_make_room_out_of_its_own_account(clock):
    store = MemoryStore(clock, max_keys=2)
    consume(store, "acme", part(API))
    clock.now += HOUR
    consume(store, "globex", part(API))

    consume(store, "acme", part(BY_ADDRESS), part(API), scope="10.0.0.1")

    assert len(store) <= 2


def test_a_forgotten_account_makes_room(clock):
    store = MemoryStore(clock, max_keys=1)
    consume(store, "acme", part(AGENTS))
    store.execute(Forget("acme"))

    assert 0 == len(store)
    assert Status.ADMITTED is consume(store, "globex", part(API))


def test_a_total_finds_no_room_in_a_full_store(clock):
    store = MemoryStore(clock, max_keys=1)
    consume(store, "acme", part(AGENTS))

    assert store.execute(SetUsage("globex", part(AGENTS, 5))).full
    assert 0 == used(store, "globex", AGENTS)


def test_a_commit_that_must_charge_again_finds_no_room_in_a_full_store(clock):
    store = MemoryStore(clock, max_keys=1)
    consume(store, "acme", part(AGENTS))
    recharge = Charge("globex", (part(AGENTS),), operation="o:recharge")

    assert not store.execute(Settle("globex", "o:r", None, recharge)).done
    assert 1 == len(store)


# --- What leaves no record ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order",
    [
        Charge("acme", (part(API), part(LEADS), part(AGENTS)), Verb.PEEK),
        Charge("acme", (part(BY_ADDRESS), part(API)), Verb.PEEK, scope="10.0.0.1"),
        Charge("acme", (part(API, 11),)),
        Charge("acme", (part(BY_ADDRESS, 11), part(API)), scope="10.0.0.1"),
        Charge("acme", (part(AGENTS, 11),), operation="o:1"),
        Read("acme", (part(API), part(LEADS), part(AGENTS))),
        Read("acme", (part(BY_ADDRESS),), "10.0.0.1"),
        ReadHistory("acme", part(LEADS)),
        ReadHolders("acme", "agents"),
        Recall(Charge("acme", (part(LEADS),), operation="k:1", keyed=True)),
        Refund("acme", "o:1"),
        Release("acme", "agents", 1),
        Unassign("acme", "agents", "ada"),
        Settle("acme", "o:1"),
        Settle("acme", "o:1", ()),
        Forget("acme"),
    ],
    ids=lambda order: f"{type(order).__name__}-{getattr(order, 'verb', '')}",
)
def test_what_takes_nothing_creates_no_record(clock, order):
    store = MemoryStore(clock)

    store.execute(order)

    assert 0 == len(store)


def test_a_denied_quota_is_counted_and_so_has_a_record(clock):
    store = MemoryStore(clock)

    consume(store, "acme", part(LEADS, 11))

    assert 1 == len(store)
    assert 11 == store.execute(ReadHistory("acme", part(LEADS))).counts[0].denied


# --- What it refuses ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transfer:
    """An order of an unknown kind."""

    account: str


def test_an_unknown_order_is_a_store_error_that_names_it(clock):
    with pytest.raises(StoreError, match=r"Transfer\(account='acme'\)"):
        MemoryStore(clock).execute(Transfer("acme"))


def test_an_order_that_raises_leaves_the_lock_free(clock):
    store = MemoryStore(clock)
    with pytest.raises(StoreError):
        store.execute(Transfer("acme"))

    assert Status.ADMITTED is consume(store, "acme", part(API))


@pytest.mark.parametrize("wrong", [{"max_keys": 0}, {"max_keys": -1}, {"when_full": "raise"}], ids=str)
def test_a_store_without_room_or_answer_cannot_be_built(clock, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MemoryStore(clock, **wrong)


def test_a_full_store_says_so_once_and_claims_nothing(caplog):
    """The usage of a new account is unknown then, no tier is recommended, and the log says so once."""
    ent = Enforcer(policy(), accounts={"a": "pro", "b": "pro"}, store=MemoryStore(max_keys=1))
    ent.consume("a", "leads")

    refused, _ = ent.consume("b", "leads"), ent.consume("b", "leads")

    assert (False, "store-unavailable", None, None) == (
        refused.allowed, refused.reason.value, refused.remaining, refused.remedy,
    )  # fmt: skip
    assert 1 == caplog.text.count("is full; raise max_keys")


def test_a_charge_of_an_old_version_is_outdated_though_one_for_any_version_shares_its_parts():
    store, parts = MemoryStore(lambda: NOW), (Part(LEADS, 10, 1, ends_around(None, NOW)),)
    first = Charge("acme", parts, operation="s:0000000000000001:1")
    assert store.execute(first).status is Status.ADMITTED
    store.execute(Invalidate("acme"))
    old = replace(first, operation="s:0000000000000001:2", version=1)
    shared = Derived()
    object.__setattr__(first, "derived", Derived(shared))
    assert store.execute(first).status is Status.ADMITTED
    assert shared.takes
    object.__setattr__(old, "derived", Derived(shared))
    assert isinstance(store.execute(old), Outdated)
