"""Refused again without asking: only what the server would refuse, and not for longer than a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from deadlines import patient
from histories import Clock, TimedRedis
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.clock import monotonic
from entitlements.model.answers import Outcome, Status
from entitlements.model.charge import Charge, Forget, Part, Read, Refund, Verb
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Algorithm, Allocation, Mode, Quota, Rate
from entitlements.rules.periods import month_ends
from entitlements.stores import MemoryStore
from entitlements.stores.deny_cache import MAX_TTL, AsyncDenyCache, Denials, DenyCache
from entitlements.stores.errors import Broken
from entitlements.stores.outage import AsyncOutage
from entitlements.stores.transport import TaskTransport

RATES = (
    Rate("api", 10 * SECOND),
    Rate("api", 10 * SECOND, Algorithm.FIXED),
    Rate("api", 10 * SECOND, Algorithm.TOKEN_BUCKET, burst=3),
    Rate("ip", 2 * SECOND, per="ip"),
)
LEADS, AGENTS = Quota("leads"), Allocation("agents")
API = RATES[0]
ANY_SERVER = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


class Counted(MemoryStore):
    """A store that counts what it is asked."""

    asked = 0

    def execute(self, order, /):
        self.asked += 1
        return super().execute(order)


@dataclass(frozen=True)
class Move:
    """One charge, refund or look, after so many microseconds, by this process or by another."""

    kind: str
    wait: int
    parts: tuple[tuple[int, int, int], ...] = ()
    scope: str = "here"
    elsewhere: bool = False


waits = st.sampled_from([0, 0, 0, 0, 1, SECOND // 6, SECOND // 2, SECOND - 1, SECOND, 2 * SECOND, 10 * SECOND])


@st.composite
def histories(draw):
    """Draw moves about one or two limits, small enough to be used up again and again."""
    limits = draw(st.lists(
        st.integers(0, len(RATES)), min_size=1, max_size=2,
        unique_by=lambda which: RATES[which].name if which < len(RATES) else "leads",
    ))  # fmt: skip
    part = st.tuples(st.sampled_from(limits), st.sampled_from([1, 1, 1, 2]), st.sampled_from([1, 1, 1, 2]))
    parts = st.lists(part, min_size=1, max_size=2, unique_by=lambda part: part[0]).map(tuple)
    kinds = st.sampled_from(["charge"] * 8 + ["refund", "read", "forget"])
    scopes, elsewhere = st.sampled_from(["here", "here", "there"]), st.sampled_from([False, False, False, True])
    return draw(st.lists(st.builds(Move, kinds, waits, parts, scopes, elsewhere), min_size=10, max_size=40))


def charge(asked, scope, number, now):
    """Return a charge; that of a quota has an operation, as an enforcer gives it one."""
    made = tuple(
        Part(RATES[which], size, cost) if which < len(RATES) else Part(LEADS, 5, cost, month_ends(None, now))
        for which, size, cost in asked
    )
    operation = f"o{number}" if any(part.limit is LEADS for part in made) else None
    return Charge("acme", made, scope=scope, operation=operation)


def refund(order, outcome):
    """Return the order that gives back what *order* took of rates."""
    taken = tuple(
        (part, line)
        for part, line in zip(order.parts, outcome.lines, strict=True)
        if line.taken and isinstance(part.limit, Rate)
    )
    return Refund("acme", order.operation, True, taken, order.scope)


class Far:
    """A store whose answers come a moment after they were asked for, by a clock that nobody else moves."""

    via = "store"

    def __init__(self, store, clock, trip):
        self._store, self._clock, self._trip = store, clock, trip

    def execute(self, order, /):
        self._clock.now += self._trip // 2
        answer = self._store.execute(order)
        self._clock.now += self._trip - self._trip // 2
        return answer


class Loop:
    """The cache of an event loop, called by a thread."""

    def __init__(self, store, clock):
        class Awaited:
            via = "store"

            async def execute(self, order, /):
                return store.execute(order)

        denials = Denials(clock)
        transport = TaskTransport(Awaited(), clock=lambda: clock() / SECOND)
        inner = AsyncOutage(transport, processes=1, on_refused=denials.record)
        inner.policy.clock = clock
        self._cache = AsyncDenyCache(inner, denials)

    def execute(self, order, /):
        return asyncio.run(self._cache.execute(order))


CACHES = {
    "threads": lambda store, clock: DenyCache(store, clock=clock),
    "loop": Loop,
}
trips = st.sampled_from([0, 2, SECOND // 7])


def check(history, store, clock, *, kind="threads", trip=0):
    """
    Play a history past the cache, and beside it what this server says of each charge that the cache refuses.

    What other processes give back, or another size, may be seen late by as long as a second, and only so
    that something is refused.
    """
    cache, admitted, excused = CACHES[kind](Far(store, clock, trip), clock), [], -MAX_TTL
    for number, move in enumerate(history):
        clock.now += move.wait
        where = store if move.elsewhere else cache
        if move.kind == "read":
            where.execute(Read("acme", (Part(API, 3),)))
        elif move.kind == "forget":
            where.execute(Forget("acme"))
            excused = clock.now if move.elsewhere else excused
        elif move.kind == "refund" and admitted:
            where.execute(refund(*admitted.pop()))
            excused = clock.now if move.elsewhere else excused
        elif move.kind == "charge":
            order = charge(move.parts, move.scope, number, clock.now)
            answer = where.execute(order)
            excused = clock.now if move.elsewhere else excused  # by its size, it may have made room
            if answer.via == "deny-cache":
                event("refused from memory")
                truth = store.execute(order)
                assert truth.status is Status.REFUSED or clock.now - excused < MAX_TTL
                if truth.status is Status.REFUSED and clock.now - excused >= MAX_TTL:
                    check_line(order, answer, truth, trip)
            elif answer.status is Status.ADMITTED:
                admitted.append((order, answer))


def check_line(order, answer, truth, trip):
    """Check that what was remembered of each rate is true, and its instants those of the server, or a trip before."""
    assert truth.now - trip <= answer.now <= truth.now
    assert not all(line.fits for line in answer.lines)
    for ours, its in zip(answer.lines, truth.lines, strict=True):
        if ours.fits:
            assert ours.used is None  # it was not asked
            continue
        assert not its.fits
        assert (ours.retry_at is None) == (its.retry_at is None)
        assert ours.retry_at is None or ours.retry_at <= its.retry_at


BUCKET = 2
SIZES_IN_TURN = [(2_000_000, 1, 2), (999_999, 1, 1), (0, 1, 1), (10_000_000, 1, 2), (166_666, 2, 1), (166_666, 1, 2)]
MORE_IN_TURN = [
    (4_900_000, 2, 1),
    (0, 1, 2),
    (9_500_000, 1, 1),
    (0, 1, 2),
    (5_000_000, 1, 2),
    (999_999, 2, 1),
    (0, 1, 2),
]


def of_bucket(moves):
    """Return charges of the token bucket, of one size and another."""
    return [Move("charge", wait, ((BUCKET, size, cost),)) for wait, size, cost in moves]


@pytest.mark.parametrize("kind", CACHES)
@given(history=histories(), trip=trips)
@example(history=of_bucket(SIZES_IN_TURN), trip=0)
@example(history=of_bucket(MORE_IN_TURN), trip=0)
def test_nothing_is_refused_that_the_store_would_admit(kind, history, trip):
    clock = Clock()
    check(history, MemoryStore(clock), clock, kind=kind, trip=trip)


@settings(suppress_health_check=ANY_SERVER, max_examples=60)
@given(history=histories())
def test_nothing_is_refused_that_a_server_would_admit(valkey, history):
    with valkey.client() as client:
        client.flushdb()
        clock = Clock()
        check(history, TimedRedis(client, clock), clock)


@pytest.mark.slow
@settings(suppress_health_check=ANY_SERVER)
@given(history=histories())
def test_nothing_is_refused_that_any_server_would_admit(server, history):
    with server.client() as client:
        client.flushdb()
        clock = Clock()
        check(history, TimedRedis(client, clock), clock)


# --- What is remembered, and for how long ---------------------------------------------------------------------------


def filled(rate=API, size=1, **more):
    """Return a cache whose rate is used up and has been refused once, its store and its clock."""
    clock = Clock()
    store = Counted(clock)
    cache, order = DenyCache(store, clock=clock), Charge("acme", (Part(rate, size),), **more)
    assert [Status.ADMITTED, Status.REFUSED] == [cache.execute(order).status for _ in range(2)]
    store.asked = 0
    return cache, store, clock


def again(cache, size=1, cost=1, rate=API, **more):
    """Return what a charge gets."""
    return cache.execute(Charge("acme", (Part(rate, size, cost),), **more))


def test_a_refusal_is_repeated_without_asking_and_says_when_to_come_back():
    cache, store, clock = filled()
    clock.now += SECOND // 2
    answer = again(cache)

    assert (Status.REFUSED, "deny-cache", clock.now, 0) == (answer.status, answer.via, answer.now, store.asked)
    assert answer.lines[0].retry_at == store.execute(Charge("acme", (Part(API, 1),))).lines[0].retry_at


@pytest.mark.parametrize("wait", [MAX_TTL, MAX_TTL + 1, HOUR])
def test_after_a_second_the_store_is_asked_again(wait):
    cache, store, clock = filled()
    clock.now += wait - 1 if wait == MAX_TTL else 0
    assert again(cache).via == "deny-cache"
    clock.now += 1 if wait == MAX_TTL else wait
    assert (again(cache).via, store.asked) == ("", 1)


def test_a_rate_that_frees_sooner_is_asked_for_sooner():
    quick = Rate("api", SECOND // 10)
    cache, _, clock = filled(quick)
    clock.now += SECOND // 5
    assert again(cache, rate=quick).status is Status.ADMITTED


def test_it_counts_from_when_the_charge_was_sent():
    clock, late = Clock(), SECOND // 4

    cache = DenyCache(Far(MemoryStore(clock), clock, late), clock=clock)
    assert [Status.ADMITTED, Status.REFUSED] == [again(cache).status for _ in range(2)]
    clock.now += MAX_TTL - late - 1
    assert again(cache).via == "deny-cache"
    clock.now += 1
    assert not again(cache).via


@pytest.mark.parametrize("more", [{"size": 2}, {"cost": 2}, {"rate": Rate("api", 10 * SECOND)}, {"scope": "elsewhere"}])
def test_another_size_cost_definition_or_scope_is_asked_for(more):
    rate = Rate("ip", 10 * SECOND, per="ip") if "scope" in more else API
    cache, store, _ = filled(rate, **({"scope": "here"} if "scope" in more else {}))
    assert not again(cache, **({"rate": rate} | more)).via
    assert store.asked == 1


def test_charges_with_a_key_peeks_and_reservations_pass_it_by():
    cache, store, _ = filled()
    assert not again(cache, operation="k:mine", keyed=True).via
    assert not again(cache, verb=Verb.PEEK).via
    assert store.asked == 2


def test_a_shadow_rate_is_never_refused():
    soft = Rate("api", 10 * SECOND, mode=Mode.SHADOW)
    cache = DenyCache(MemoryStore(Clock()))
    assert {Status.ADMITTED} == {again(cache, rate=soft).status for _ in range(5)}


def test_quotas_and_allocations_always_reach_the_store():
    clock = Clock()
    store = Counted(clock)
    cache = DenyCache(store, clock=clock)
    for limit, ends in ((LEADS, month_ends(None, clock.now)), (AGENTS, None)):
        for number in range(3):
            cache.execute(Charge("acme", (Part(limit, 1, 1, ends),), operation=f"{limit.name}{number}"))
    assert store.asked == 6


def test_a_rate_refuses_a_mixed_charge_alone_and_the_rest_is_not_asked():
    cache, store, clock = filled()
    leads = Part(LEADS, 5, 1, month_ends(None, clock.now))
    answer = cache.execute(Charge("acme", (leads, Part(API, 1)), operation="o"))

    assert (Status.REFUSED, 0) == (answer.status, store.asked)
    assert [(True, None), (False, 1)] == [(line.fits, line.used) for line in answer.lines]


def test_every_rate_that_is_known_to_refuse_says_how_long():
    slow = Rate("calls", HOUR)
    cache, store, clock = filled()
    cache.execute(Charge("acme", (Part(slow, 1, 1),)))
    cache.execute(Charge("acme", (Part(slow, 1, 1),)))
    store.asked = 0
    answer = cache.execute(Charge("acme", (Part(API, 1), Part(slow, 1))))

    assert (Status.REFUSED, 0) == (answer.status, store.asked)
    assert [False, False] == [line.fits for line in answer.lines]
    assert answer.lines[1].retry_at - clock.now > answer.lines[0].retry_at - clock.now > 0


def test_a_charge_that_a_quota_refuses_as_well_hears_of_it_every_time():
    cache, store, clock = filled()
    leads = Part(LEADS, 1, 2, month_ends(None, clock.now))
    clock.now += MAX_TTL
    store.asked = 0
    answers = [cache.execute(Charge("acme", (leads, Part(API, 1)), operation=f"o{number}")) for number in range(3)]

    assert [[False, False]] * 3 == [[line.fits for line in answer.lines] for answer in answers]
    assert store.asked == 3


@pytest.mark.parametrize("order", [Forget("acme"), Refund("acme", None, True)])
def test_what_this_process_gives_back_shows_at_once(order):
    cache, store, _ = filled()
    cache.execute(order)
    store.asked = 0
    assert not again(cache).via
    assert store.asked == 1


def test_a_refusal_that_was_on_its_way_while_units_came_back_is_not_kept():
    cache, store, clock = filled()
    clock.now += MAX_TTL

    class Late:
        """A store whose refusal comes after somebody else has given the units back."""

        via = "store"

        def execute(self, order):
            answer = store.execute(order)
            cache._store = store
            cache.execute(Forget("acme"))
            return answer

    cache._store = Late()
    assert again(cache).status is Status.REFUSED
    assert again(cache).status is Status.ADMITTED


def test_a_refund_of_which_nobody_knows_whether_it_was_done_shows_at_once():
    cache, store, clock = filled()

    class Lossy:
        """A store whose reply is lost."""

        via = "store"

        def execute(self, order):
            store.execute(order)
            raise Broken("the reply is lost")

    cache._store = Lossy()
    with pytest.raises(Broken):
        cache.execute(Forget("acme"))
    cache._store = store
    clock.now += 1
    assert again(cache).status is Status.ADMITTED


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr("entitlements.stores.deny_cache.CAPACITY", 100)
    denials = Denials(Clock())
    refused = MemoryStore(Clock()).execute(Charge("x", (Part(API, 1, 2),)))
    for number in range(1_000):
        denials.record(Charge(f"a{number}", (Part(API, 1, 2),)), refused, 0)
        denials.record(Charge("one", (Part(API, 1, 2 + number),)), refused, 0)

    kept = [*denials.recent.values(), *denials._previous.values()]
    assert 100 <= sum(len(meter.costs) for meters in kept for meter in meters.values()) <= 200


def test_many_scopes_of_one_account_are_refused_without_asking():
    per_ip, clock = Rate("ip", HOUR, per="ip"), Clock()
    store = Counted(clock)
    cache = DenyCache(store, clock=clock)
    for _ in range(4):
        for number in range(1_000):
            again(cache, rate=per_ip, scope=f"10.0.0.{number}")

    assert 2_000 == store.asked


def test_a_wait_is_told_as_the_server_would_tell_it_by_now():
    clock, trip = Clock(), SECOND // 2
    store = MemoryStore(clock)
    cache = DenyCache(Far(store, clock, trip), clock=clock)
    told = [again(cache) for _ in range(3)]

    assert ("", "deny-cache") == (told[1].via, told[2].via)
    assert told[1].lines[0].retry_at - told[1].now == told[2].lines[0].retry_at - told[2].now


def test_an_event_loop_gets_the_same_at_once_and_awaited():
    async def ask():
        clock = Clock()
        inner = Counted(clock)

        class Later:
            via = "store"

            async def execute(self, order, /):
                return inner.execute(order)

        denials = Denials(clock)
        transport = TaskTransport(Later(), clock=lambda: clock() / SECOND)
        later = AsyncOutage(transport, processes=1, on_refused=denials.record)
        cache, order = AsyncDenyCache(later, denials), Charge("acme", (Part(API, 1),))
        assert cache.try_now(order) is None
        answers = [await cache.execute(order) for _ in range(3)]
        assert [Status.ADMITTED, Status.REFUSED, Status.REFUSED] == [answer.status for answer in answers]
        assert cache.try_now(order) == answers[2]
        assert isinstance(answers[2], Outcome)
        assert inner.asked == 2

    asyncio.run(ask())


# --- Through an enforcer --------------------------------------------------------------------------------------------

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": patient({"api": {"kind": "rate"}, "leads": {"kind": "quota"}}),
    "tiers": {
        "small": {"rank": 1, "limits": {"api": "2 per hour", "leads": 5}},
        "large": {"rank": 2, "limits": {"api": "9 per hour", "leads": 5}},
    },
})  # fmt: skip


def freeze(enforcer):
    """Stop the clock of the cache, which forgets after a second."""
    cache, now = enforcer._store, monotonic()
    cache._clock = cache._denials._clock = lambda: now


def evals(client):
    """Return how many script calls the server has answered."""
    stats = client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name.startswith("cmdstat_evalsha"))


def test_a_refused_account_costs_the_server_nothing_and_a_larger_tier_shows_at_once(valkey):
    tiers = {"acme": "small"}

    class Directory:
        def find(self, id):
            from entitlements import Account

            return Account(id, tiers[id])

    with valkey.client() as client, Enforcer(POLICY, accounts=Directory(), store=valkey.url) as enforcer:
        client.flushdb()
        freeze(enforcer)
        first = [enforcer.consume("acme", "api") for _ in range(3)]
        before = evals(client)
        later = [enforcer.consume("acme", "api") for _ in range(50)]
        mixed = enforcer.consume("acme", {"api": 1, "leads": 1})

        assert [True, True, False] == [decision.allowed for decision in first]
        assert {(False, "deny-cache", "rate-limited", 0, 2)} == {
            (each.allowed, each.via, each.reason.value, each.remaining, each.used) for each in later
        }
        assert later[-1].retry_after <= first[-1].retry_after
        assert (False, "api", "deny-cache") == (mixed.allowed, mixed.feature, mixed.via)
        assert evals(client) == before

        tiers["acme"] = "large"
        enforcer.refresh("acme")
        assert enforcer.consume("acme", "api").allowed


async def test_a_refused_account_costs_an_event_loop_no_trip(valkey):
    with valkey.client() as client:
        client.flushdb()
        async with AsyncEnforcer(POLICY, accounts={"acme": "small"}, store=valkey.url) as enforcer:
            freeze(enforcer)
            for _ in range(3):
                await enforcer.consume("acme", "api")
            before = evals(client)
            assert {"deny-cache"} == {(await enforcer.consume("acme", "api")).via for _ in range(50)}
            assert evals(client) == before


def test_who_counts_strictly_wraps_the_store_himself(valkey):
    from entitlements.stores.outage import Outage
    from entitlements.stores.redis import RedisStore

    with valkey.client() as client:
        client.flushdb()
    with Enforcer(POLICY, accounts={"acme": "small"}, store=Outage(RedisStore(valkey.url))) as enforcer:
        assert {"store"} == {enforcer.consume("acme", "api").via for _ in range(5)}
