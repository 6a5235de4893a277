"""Shared counters are exact to the unit, for any client and any client clock."""

from __future__ import annotations

import pytest
from contests import MEASURED, hammered, last_seat, skewed
from histories import TimedRedis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import NOW
from trade import policy

from entitlements import Account, Enforcer
from entitlements.model.instants import DAY, HOUR, MINUTE
from entitlements.rules.periods import month_ends
from entitlements.stores.redis import AsyncRedisStore, RedisStore
from entitlements.testing import store_compliance
from entitlements.testing.compliance import BlockingStore

# --- Many processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processes", "tasks", "left"), [(2, 16, 300), pytest.param(8, 64, 10_000, marks=pytest.mark.slow)]
)
def test_exactly_what_is_left_is_admitted_to_many_processes(server, processes, tasks, left):
    admitted, _ = hammered(server.url, left, processes=processes, tasks=tasks)

    assert left == admitted


def test_the_last_seat_has_one_winner_among_200_claims(server):
    outcomes, taken = last_seat(server.url, processes=4, claims=200)

    assert {"ALLOCATION_FULL": 199} == {name: many for name, many in outcomes.items() if name.isupper()}
    assert (1, 3) == (sum(many for name, many in outcomes.items() if name.islower()), taken)


# --- Clocks that are wrong ----------------------------------------------------------------------------------------


def test_processes_whose_clocks_are_an_hour_off_share_exactly_what_there_is(server):
    assert MEASURED == skewed(server.url, [-HOUR, 0, HOUR])


SKEWS = st.integers(-HOUR, HOUR) | st.sampled_from([-HOUR, HOUR])
ASKED = st.tuples(
    st.sampled_from(["consume", "peek", "reserve", "set_usage", "usage", "history"]),
    st.sampled_from(["api", "fixed", "bucket", "leads", "agents"]),
    st.integers(1, 4),
    st.sampled_from([0, 1, MINUTE, 20 * MINUTE, HOUR, DAY]),
)


def answer(enforcer, verb, name, n):
    """Return a decision as text without operation ids."""
    if verb == "reserve":
        name = "leads" if name in {"api", "fixed", "bucket"} else name
        decision = enforcer.reserve("petra", name, n, ttl=1800).decision
    elif verb == "set_usage":
        return enforcer.set_usage("petra", "leads", 10 + n)
    elif verb == "usage":
        return enforcer.usage("petra")
    elif verb == "history":
        return enforcer.history("petra", "leads")
    else:
        decision = getattr(enforcer, verb)("petra", name, n)
    said = ("allowed", "reason", "limit", "used", "remaining", "retry_after", "resets_at")
    return tuple(getattr(decision, each) for each in said)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    anchor=st.none() | st.integers(1, 31),
    begins=st.integers(-2 * HOUR, 2 * HOUR),
    asked=st.lists(st.tuples(ASKED, SKEWS), min_size=1, max_size=15),
)
def test_a_client_clock_that_is_up_to_an_hour_off_changes_no_answer(valkey, anchor, begins, asked):
    """The server's clock passes the end of a period; the clients' clocks are early, late, or right."""
    now = month_ends(anchor, NOW)[2] + begins
    petra = {"petra": Account("petra", "pro", anchor=anchor)}
    skew = 0

    with valkey.client() as client:
        client.flushdb()
        stores = [TimedRedis(client, lambda: now, namespace=namespace) for namespace in ("right", "wrong")]
        right = Enforcer(policy(), accounts=petra, store=stores[0], clock=lambda: now)
        wrong = Enforcer(policy(), accounts=petra, store=stores[1], clock=lambda: now + skew)
        for (verb, name, n, move), by in asked:
            now, skew = now + move, by
            assert answer(right, verb, name, n) == answer(wrong, verb, name, n)


# --- Two kinds of store -------------------------------------------------------------------------------------------


class Alternating:
    """One store over both: every other order goes through an event loop."""

    via = "store"

    def __init__(self, url, clock):
        self._next, self._other = RedisStore(url), BlockingStore(lambda _: AsyncRedisStore(url), clock)

    def execute(self, order):
        self._next, self._other = self._other, self._next
        return self._next.execute(order)

    def close(self):
        self._next.close()
        self._other.close()


def test_a_blocking_store_and_one_for_an_event_loop_are_one_store(server):
    case = store_compliance(lambda clock: Alternating(server.url, clock))
    case.settings = settings(case.settings, max_examples=settings().max_examples // 4)
    case().runTest()
