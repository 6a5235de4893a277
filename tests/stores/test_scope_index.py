"""The index of an account's scopes on a server: in order, complete, and mostly of scopes whose records live."""

import pytest
from histories import ACCOUNT, TIMES_MOVED, Clock, TimedRedis
from strategies import NOW

from entitlements.model.charge import Charge, Forget, Part, ReadScopes, Release, Verb
from entitlements.model.instants import DAY, MINUTE, SECOND
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.model.sequence import sequence_id
from entitlements.rules.periods import month_ends
from entitlements.stores.redis.keys import account_key, index_key, scope_key

LOGINS, SEATS, CALLS = Rate("logins", SECOND, per="user"), Allocation("seats", per="user"), Quota("calls", per="user")
CALL = Part(CALLS, 10**6, 1, month_ends(None, NOW))


@pytest.fixture
def timed(server):
    """The scripts on an injected clock, with an empty server."""
    with server.client() as client:
        client.flushdb()
        yield TimedRedis(client, Clock())


def charge(timed, scope, *parts, **named):
    return timed.execute(Charge(ACCOUNT, parts, scope=scope, **named))


def size_of(timed):
    return timed._client.zcard(index_key("ent", ACCOUNT))


@pytest.mark.parametrize(
    "names", [lambda at: f"{at:06}", lambda at: f"{at * 7919 % 100_003:06}"], ids=["rising", "mixed"]
)
def test_scopes_that_have_expired_leave_the_index_as_others_come(timed, names):
    for at in range(1_500):
        timed._clock.now += SECOND // 100
        charge(timed, names(at), Part(LOGINS, 5))

    alive = 4 * 100  # a record of a rate lives for four windows at most
    assert size_of(timed) <= 2 * alive
    assert len(timed.execute(ReadScopes(ACCOUNT, most=1_000)).scopes) <= alive


def test_a_page_says_where_the_next_begins_whatever_has_expired(timed):
    for at in range(50):
        charge(timed, f"{at:02}", Part(LOGINS, 5))
    timed._clock.now += MINUTE
    charge(timed, "49", Part(SEATS, 5), operation="o:1")

    found, after, trips = [], "", 0
    while after is not None:
        page = timed.execute(ReadScopes(ACCOUNT, after, 7))
        found += page.scopes
        after, trips = page.after, trips + 1
    assert ["49"] == found
    assert trips <= 8


def test_the_index_stays_while_a_scope_holds_units_and_goes_with_the_last(timed):
    client, index = timed._client, index_key("ent", ACCOUNT)
    charge(timed, "ann", Part(SEATS, 5, 2), operation="o:1")
    charge(timed, "bob", CALL, operation=sequence_id("0" * 16, 1))
    assert (-1, -1) == (client.pttl(index), client.pttl(scope_key("ent", ACCOUNT, "ann")))

    timed.execute(Release(ACCOUNT, "seats", 2, "ann"))
    assert client.pttl(index) >= client.pttl(scope_key("ent", ACCOUNT, "bob")) - 60_000 > 365 * 86_400_000
    assert ("bob",) == timed.execute(ReadScopes(ACCOUNT)).scopes

    timed.execute(Forget(ACCOUNT, ("bob", "never")))
    assert [] == sorted(set(client.scan_iter()) - {account_key("ent", ACCOUNT)})


def test_a_reservation_in_a_scope_lapses_there_and_leaves_its_record_to_expire(timed):
    reserved = Charge(ACCOUNT, (Part(SEATS, 5, 2),), Verb.RESERVE, "ann", "o:1", ttl=MINUTE)
    timed.execute(reserved)
    assert timed._client.pttl(scope_key("ent", ACCOUNT, "ann")) > 0
    timed._clock.now += 2 * MINUTE

    assert 1 == charge(timed, "ann", Part(SEATS, 5, 1), operation="o:2").lines[0].used
    assert -1 == timed._client.pttl(scope_key("ent", ACCOUNT, "ann"))


def test_the_sequences_of_an_account_that_counts_in_scopes_alone_are_kept_for_ten_minutes(timed):
    """So a repeat is recognised and a message that comes late is refused, as for an account that counts itself."""
    client, key = timed._client, account_key("ent", ACCOUNT)
    for number in range(1, 120):
        timed._clock.now += (number % 7) * 20 * SECOND
        charge(timed, "ann", CALL, operation=sequence_id("0" * 16, number))
        seconds, rest = client.time()
        left = seconds * 1000 + rest // 1000 + client.pttl(key) - TIMES_MOVED - timed._clock.now // 1000
        assert 10 * 60_000 <= left + 1_000 <= 41 * 60_000


def test_a_scope_is_kept_for_13_periods_after_its_last_charge(timed):
    charge(timed, "ann", CALL, operation=sequence_id("0" * 16, 1))
    key = scope_key("ent", ACCOUNT, "ann")
    seconds, rest = timed._client.time()
    left = (seconds * 1000 + rest // 1000 + timed._client.pttl(key) - TIMES_MOVED) * 1000 - CALL.ends[2]

    assert 365 * DAY <= left <= 367 * DAY
