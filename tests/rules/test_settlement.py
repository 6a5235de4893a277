"""What is settled, refunded, released or set counts once, in the place that it was taken from."""

from __future__ import annotations

import pytest
from strategies import NOW, ends_around

from entitlements.model.answers import Line, Outdated, Settled, Status
from entitlements.model.charge import Charge, Part, Read, Refund, Settle, SetUsage, Verb
from entitlements.model.instants import DAY, HOUR, MINUTE
from entitlements.model.limits import UNLIMITED, Allocation, Quota, Rate
from entitlements.model.sequence import sequence_id
from entitlements.rules.ledger import Ledger, charge, invalidate, recall
from entitlements.rules.settlement import read, refund, release, set_usage, settle, unassign

_, START, END, NEXT = ends_around(None, NOW)
API = Part(Rate("api", HOUR), 10, 2)
LEADS = Part(Quota("leads"), 10, 3, (START, END, NEXT, NEXT + DAY))
SEATS = Part(Allocation("seats"), 10, 4)
TTL = MINUTE


@pytest.fixture
def ledger():
    """An empty ledger."""
    return Ledger()


def reserve(ledger, *parts, id="k:a", **named):
    """Reserve units for a minute."""
    order = Charge("acme", parts, Verb.RESERVE, operation=id, ttl=TTL, keyed=id.startswith("k:"), **named)
    assert charge(ledger, ledger, order, NOW).status is Status.ADMITTED
    return order


def counted(ledger, now=NOW):
    """Return what each limit counts, without ending what has lapsed."""
    rate = ledger.rates.get(API.limit.meter_name)
    quota, seats = ledger.quotas.get("leads"), ledger.allocations.get("seats")
    return rate and rate.peek(10, 1, now).used, quota and quota.periods[0].used, seats and seats.used


@pytest.mark.parametrize("callers", [1, 2, 3])
def test_a_reservation_is_kept_until_each_caller_that_was_given_it_has_given_it_up(ledger, callers):
    order = reserve(ledger, SEATS)
    for _ in range(callers - 1):
        assert recall(ledger, ledger, order, NOW).status is Status.REPLAYED

    give_up = Settle("acme", "k:a", (), given_up=True)
    left = [(settle(ledger, ledger, give_up, NOW), counted(ledger)[2]) for _ in range(callers)]

    assert [(Settled(True, "*", now=NOW), 4)] * (callers - 1) == left[:-1]
    assert (Settled(True, now=NOW), 0) == left[-1]


@pytest.mark.parametrize("do", [
    lambda ledger, now: settle(ledger, ledger, Settle("acme", "k:other"), now),
    lambda ledger, now: refund(ledger, ledger, Refund("acme", "k:other"), now),
    lambda ledger, now: release(ledger, "seats", 1, now),
    lambda ledger, now: unassign(ledger, "seats", "ada", now),
    lambda ledger, now: set_usage(ledger, SetUsage("acme", SEATS._replace(cost=0)), now),
    lambda ledger, now: read(ledger, ledger, Read("acme", (SEATS,)), now),
], ids=["settle", "refund", "release", "unassign", "set_usage", "read"])  # fmt: skip
def test_every_order_ends_the_reservations_that_have_lapsed(ledger, do):
    reserve(ledger, SEATS, LEADS)

    do(ledger, NOW + TTL - 1)
    assert (None, 3, 4) == counted(ledger)
    do(ledger, NOW + TTL)
    assert (None, 0, 0) == counted(ledger)


@pytest.mark.parametrize("do", [
    lambda *both: settle(*both, Settle("acme", "k:other"), NOW + TTL),
    lambda *both: refund(*both, Refund("acme", "k:other"), NOW + TTL),
], ids=["settle", "refund"])  # fmt: skip
def test_the_reservations_of_a_scope_end_with_those_of_the_account(ledger, do):
    scoped = Ledger()
    reserve(scoped, SEATS)

    do(ledger, scoped)

    assert 0 == counted(scoped)[2]


@pytest.mark.parametrize(
    ("amounts", "done"), [(0, True), (1, False), (None, False), ((), True), ((("seats", 0),), True)]
)
def test_only_a_commit_of_nothing_needs_no_reservation(ledger, amounts, done):
    assert Settled(done, now=NOW) == settle(ledger, ledger, Settle("acme", "k:a", amounts), NOW)


@pytest.mark.parametrize(("until", "done"), [(None, True), (NOW + 1, True), (NOW, False)])
def test_a_lapsed_reservation_is_charged_again_until_its_record_may_have_expired(ledger, until, done):
    again = Charge("acme", (LEADS, SEATS), operation="k:a", keyed=True)

    answer = settle(ledger, ledger, Settle("acme", "k:a", recharge=again, recharge_until=until), NOW)

    assert done == answer.done
    assert [("leads", 3), ("seats", 4)] * done == [(each.limit, each.kept) for each in answer.units]
    assert ((None, 3, 4) if done else (None, None, None)) == counted(ledger)


def test_orders_of_an_older_version_are_outdated(ledger):
    version = invalidate(ledger, NOW).version
    again = Charge("acme", (SEATS,), operation="k:a", version=version - 1)

    assert Outdated(version, NOW) == settle(ledger, ledger, Settle("acme", "k:a", recharge=again), NOW)
    assert Outdated(version, NOW) == read(ledger, ledger, Read("acme", (SEATS,), version=version - 1), NOW)
    assert Status.ADMITTED is read(ledger, ledger, Read("acme", (SEATS,), version=version), NOW).status


def take(ledger, *parts, operation=None):
    """Consume units; return the parts with their lines."""
    order = Charge("acme", parts, operation=operation, keyed=(operation or "").startswith("k:"))
    return tuple(zip(parts, charge(ledger, ledger, order, NOW).lines, strict=True))


IDS = ["k:a", "o:a", sequence_id("0" * 16, 7)]


@pytest.mark.parametrize("id", IDS)
def test_a_charge_is_refunded_once_whole(ledger, id):
    taken = take(ledger, API, LEADS, SEATS, operation=id)
    refunds = [Refund("acme", id, rates, taken) for rates in (False, True)]

    assert (2, 3, 4) == counted(ledger)
    assert [True, False, False] == [refund(ledger, ledger, refunds[at], NOW) for at in (0, 0, 1)]
    assert (2, 0, 0) == counted(ledger)


@pytest.mark.parametrize("id", IDS)
def test_a_refund_that_finds_some_of_its_units_released_returns_the_others(ledger, id):
    taken = take(ledger, LEADS, SEATS, operation=id)
    assert 4 == release(ledger, "seats", 9, NOW)

    assert refund(ledger, ledger, Refund("acme", id, True, taken), NOW)
    assert (None, 0, 0) == counted(ledger)


@pytest.mark.parametrize("id", IDS)
def test_a_refund_finds_nothing_in_counters_that_are_gone(ledger, id):
    taken = take(ledger, LEADS, SEATS, operation=id)
    ledger.quotas.clear()
    ledger.allocations.clear()

    assert not refund(ledger, ledger, Refund("acme", id, True, taken), NOW)
    assert 0 == release(ledger, "seats", 1, NOW)


def test_a_key_is_free_after_a_refund(ledger):
    taken = take(ledger, LEADS, operation="k:a")
    order = Refund("acme", "k:a", False, taken, charged_at=NOW)

    assert refund(ledger, ledger, order, NOW)
    take(ledger, LEADS, operation="k:a")
    assert (None, 3, None) == counted(ledger)
    assert not refund(ledger, ledger, Refund("acme", "k:a", False, taken, charged_at=NOW - 1), NOW)
    assert not refund(ledger, ledger, Refund("acme", "k:unknown"), NOW)


def test_a_refund_of_rates_alone_returns_what_each_of_them_took(ledger):
    other, free = Part(Rate("calls", HOUR), 10, 2), Part(Rate("free", HOUR), UNLIMITED, 2)
    taken = take(ledger, API)
    nothing = [(other, Line(True, 0)), (free, Line(True, None, taken=2)), (LEADS, Line(True, 3, taken=3))]

    assert not refund(ledger, ledger, Refund("acme", None, True, tuple(nothing)), NOW)
    assert refund(ledger, ledger, Refund("acme", None, True, (*nothing, *taken)), NOW)
    assert (0, None, None) == counted(ledger)


@pytest.mark.parametrize(("later", "done"), [(10 * MINUTE - 1, True), (10 * MINUTE, False)])
def test_a_numbered_charge_is_refunded_within_ten_minutes(ledger, later, done):
    taken = take(ledger, API, SEATS, operation=IDS[2])
    order = Refund("acme", IDS[2], False, taken, charged_at=NOW)
    rate_only = Refund("acme", IDS[2], False, taken[:1])

    assert not refund(ledger, ledger, rate_only, NOW)
    assert [done, False] == [refund(ledger, ledger, order, NOW + later) for _ in range(2)]
    assert (0 if done else 4) == counted(ledger)[2]


def test_a_numbered_charge_that_was_promised_without_the_store_is_refunded_to_its_period(ledger):
    take(ledger, LEADS, operation="o:a")
    promised = ((LEADS, Line(True, None, taken=3)),)

    assert refund(ledger, ledger, Refund("acme", IDS[2], False, promised, charged_at=NOW - 1), NOW)
    assert (None, 0, None) == counted(ledger)


@pytest.mark.parametrize("part", [LEADS, SEATS], ids=["quota", "allocation"])
def test_a_total_that_is_set_takes_what_is_above_the_one_before(ledger, part):
    taken = [set_usage(ledger, SetUsage("acme", part._replace(cost=total)), NOW).line for total in (3, 5, 5, 2)]

    assert [(3, 3), (5, 2), (5, 0), (2, 0)] == [(line.used, line.taken) for line in taken]


@pytest.mark.parametrize(("kept", "lines"), [
    ((("api", 1), ("leads", 2), ("seats", 3)), [(True, 1, 0), (True, 2, 0), (True, 3, 0)]),
    (None, [(True, 2, 0), (True, 3, 0), (True, 4, 0)]),
    ((("api", 5), ("leads", 5), ("seats", 5)), [(True, 5, 3), (True, 5, 2), (True, 5, 1)]),
    ((("api", 2**32), ("leads", 0), ("seats", 0)), [(True, 2**32 - 1, 2**32 - 3), (True, 0, 0), (True, 0, 0)]),
])  # fmt: skip
def test_what_is_committed_counts_all_of_it(ledger, kept, lines):
    reserve(ledger, API, LEADS, SEATS)

    answer = settle(ledger, ledger, Settle("acme", "k:a", kept), NOW)

    assert lines == [(unit.line.fits, unit.line.used, unit.line.taken) for unit in answer.units]
    assert [(None, None), (END, START), (None, 0)] == [
        (None, None) if unit.limit == "api" else (unit.line.resets_at, unit.line.mark) for unit in answer.units
    ]
    assert answer._replace(replayed=True) == settle(ledger, ledger, Settle("acme", "k:a", kept), NOW + 1)


@pytest.mark.parametrize("size", [UNLIMITED, 10])
@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_commit_of_an_unlimited_rate_counts_nothing(ledger, size, kept):
    reserve(ledger, API._replace(size=size), SEATS)

    line = settle(ledger, ledger, Settle("acme", "k:a", (("api", kept),)), NOW).units[0].line

    if size is UNLIMITED:
        assert Line(True, None) == line
    else:
        assert (True, kept, None, max(0, kept - 2)) == (line.fits, line.used, line.retry_at, line.taken)


def test_a_commit_to_a_period_that_is_gone_counts_nothing(ledger):
    reserve(ledger, LEADS)
    ledger.quotas["leads"].periods.clear()

    assert Line(True, None) == settle(ledger, ledger, Settle("acme", "k:a"), NOW).units[0].line


def test_a_numbered_charge_of_rates_is_refunded_with_its_rates(ledger):
    taken = take(ledger, API, operation=IDS[2])

    assert refund(ledger, ledger, Refund("acme", IDS[2], True, taken), NOW)
    assert (0, None, None) == counted(ledger)


def test_a_commit_counts_in_a_rate_up_to_the_most_that_a_rate_counts(ledger):
    most, more = 2**32 - 1, (("api", 2**32),)
    for id in ("k:a", "k:b"):
        reserve(ledger, API, id=id)
    brief = Part(Rate("brief", MINUTE // 60), 10, 2)
    reserve(ledger, brief, id="k:c")

    first, second = (settle(ledger, ledger, Settle("acme", id, more), NOW).units[0].line for id in ("k:a", "k:b"))
    late = settle(ledger, ledger, Settle("acme", "k:c", (("brief", 2**33),)), NOW + MINUTE - 1).units[0].line

    assert [(most, most - 4), (most, 0), (most, most)] == [(each.used, each.taken) for each in (first, second, late)]
