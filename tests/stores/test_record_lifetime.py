"""A record on a server stays while an allocation is in use; otherwise it expires, and never before it is idle."""

import pytest
from histories import ACCOUNT, Clock, TimedRedis, check_lifetime

from entitlements.model.calendars import UTC_CALENDAR
from entitlements.model.charge import Charge, Part, Release, Settle, SetUsage, Unassign, Verb
from entitlements.model.instants import DAY, HOUR, MINUTE, NEVER, SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, PeriodLength, Quota, Rate
from entitlements.rules.periods import month_ends, period_ends
from entitlements.stores import MemoryStore
from entitlements.stores.redis import RedisStore
from entitlements.stores.redis.keys import account_key

LONG = 10 * SECOND
API = Rate("api", MINUTE, deadline=LONG)
LEADS, AGENTS, ROOMS = (
    Quota("leads", deadline=LONG),
    Allocation("agents", deadline=LONG),
    Allocation("rooms", deadline=LONG),
)
THIRTEEN_PERIODS = 397 * DAY + SECOND  # a server counts in milliseconds


@pytest.fixture
def records(server):
    """A store on each kind of server; `left()` tells how long the record of its account lives, `now()` the time."""
    with server.client() as client:
        client.flushdb()
        yield Records(server.url, client)


class Records:
    """One account on a server."""

    def __init__(self, url, client):
        self._store, self._client, self._number = RedisStore(url), client, 0

    def now(self):
        seconds, rest = self._client.time()
        return seconds * SECOND + rest

    def left(self):
        """Return the microseconds for which the record lives; None if it does not expire."""
        left = self._client.pttl(account_key("ent", ACCOUNT))
        assert left != -2
        return None if left == -1 else left * 1000

    def __call__(self, order):
        return self._store.execute(order)

    def reserve(self, limit, ttl=HOUR):
        """Reserve a unit, and return the name of the reservation."""
        self.charge(limit, verb=Verb.RESERVE, ttl=ttl)
        return f"o:{self._number}"

    def charge(self, limit, cost=1, verb=Verb.CONSUME, **named):
        self._number += 1
        ends = month_ends(None, self.now()) if isinstance(limit, Quota) else None
        operation = None if isinstance(limit, Rate) else f"o:{self._number}"
        return self(Charge(ACCOUNT, (Part(limit, 100, cost, ends),), verb, operation=operation, **named))


def test_a_quota_expires_thirteen_periods_after_its_last_charge_and_not_before_its_history(records):
    for charged in (LEADS, LEADS, API, LEADS):
        records.charge(charged)

    end = month_ends(None, records.now())[2]
    shown = month_ends(None, end + 366 * DAY)[1]
    assert shown - records.now() - SECOND <= records.left() <= THIRTEEN_PERIODS


@pytest.mark.parametrize("length", [PeriodLength.YEAR, PeriodLength.LIFETIME])
def test_a_long_period_outlives_an_allocation_that_is_used_and_given_back(records, length):
    """A record that holds units does not expire; from the release on it must live for as long as the period."""
    now = records.now()
    ends = period_ends(length, UTC_CALENDAR, now)
    for limit, part in ((AGENTS, None), (Quota("long", length, deadline=LONG), ends), (AGENTS, None)):
        records(Charge(ACCOUNT, (Part(limit, 10, 1, part),), operation=f"o:{limit.name}{part}"))
    assert records.left() is None

    records(Release(ACCOUNT, "agents", 2))

    assert (
        min(ends[2] + 366 * DAY, NEVER) - now - MINUTE
        <= records.left()
        <= max(ends[2] - now + 366 * DAY, THIRTEEN_PERIODS)
    )


def test_a_total_of_a_quota_expires_too(records):
    records(SetUsage(ACCOUNT, Part(LEADS, 10, 7, month_ends(None, records.now()))))

    assert DAY < records.left() <= THIRTEEN_PERIODS


HELD = {
    "units": (lambda records: records.charge(AGENTS, 2), Release(ACCOUNT, "agents", 2)),
    "a total": (
        lambda records: records(SetUsage(ACCOUNT, Part(AGENTS, 10, 3))), SetUsage(ACCOUNT, Part(AGENTS, 10, 0)),
    ),
    "a holder": (
        lambda records: records.charge(AGENTS, verb=Verb.ASSIGN, holder="ann"), Unassign(ACCOUNT, "agents", "ann"),
    ),
    "a committed seat": (
        lambda records: records(Settle(ACCOUNT, records.reserve(AGENTS), None)), Release(ACCOUNT, "agents", 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HELD)
def test_a_record_that_holds_something_stays_until_it_is_back(records, what):
    hold, back = HELD[what]
    hold(records)
    records.charge(API)
    assert records.left() is None

    records(back)

    assert MINUTE < records.left() <= THIRTEEN_PERIODS


@pytest.mark.parametrize("limit", [LEADS, AGENTS], ids=lambda limit: limit.name)
@pytest.mark.parametrize("ttl", [HOUR, 500 * DAY])
def test_a_record_outlives_its_reservations_and_expires_if_nothing_ends_them(records, limit, ttl):
    records.reserve(limit, ttl)
    records.charge(API)

    assert ttl - MINUTE < records.left() <= max(2 * ttl, THIRTEEN_PERIODS) + SECOND


def test_a_record_that_stayed_outlives_its_longest_reservation(records):
    records.charge(AGENTS)
    for days in (1, 900, 2):
        records.reserve(LEADS, days * DAY)
    records(Release(ACCOUNT, "agents", 1))

    assert 899 * DAY < records.left() <= 900 * DAY + SECOND


def test_a_record_stays_while_any_of_its_allocations_holds_something(records):
    records.charge(AGENTS, 2)
    records.charge(ROOMS, 2)
    records(Release(ACCOUNT, "agents", 2))
    assert records.left() is None

    records(Release(ACCOUNT, "rooms", 1))
    assert records.left() is None
    records(Release(ACCOUNT, "rooms", 1))
    assert records.left() <= THIRTEEN_PERIODS

    records.charge(ROOMS)
    assert records.left() is None


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=str)
def test_a_rate_that_is_charged_for_years_never_expires_before_it_is_idle(valkey, algorithm):
    """Also after the record has held seats for a while, as it did not expire then."""
    rate = Rate("api", 28 * DAY, algorithm, deadline=LONG)
    with valkey.client() as client:
        client.flushdb()
        clock = Clock()
        memory, server = MemoryStore(clock), TimedRedis(client, clock)
        for day in range(0, 1_500, 15):
            clock.now += 15 * DAY
            orders = [Charge(ACCOUNT, (Part(rate, 10**6),))]
            if day % 600 == 0:
                orders.insert(0, Charge(ACCOUNT, (Part(AGENTS, UNLIMITED),), operation=f"o:{day}"))
            if day % 600 == 150:
                orders.append(Release(ACCOUNT, "agents", 1))
            for order in orders:
                assert memory.execute(order) == server.execute(order)
                check_lifetime(memory, client, clock)
