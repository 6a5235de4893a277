"""Service levels: commitments, due dates on the support clock, breaches, and credits for downtime."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import AsyncEnforcer, Enforcer, Policy, PolicyError, UnknownFeature
from entitlements.model.instants import DAY, MINUTE, to_datetime, to_instant
from entitlements.tiering.support_clock import SupportClock

ROOT = Path(__file__).resolve().parents[2]
H, D = timedelta(hours=1), timedelta(days=1)
NEW_YORK = ZoneInfo("America/New_York")
ZONES = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "Pacific/Apia",
]


@pytest.fixture(scope="module")
def customers():
    tiers = ("enterprise", "mid-market", "small-business", "freemium")
    return Enforcer(Policy.load(ROOT / "policies" / "customer-tiers"), accounts={tier: tier for tier in tiers})


# -- the two tables of commitments, row by row ----------------------------------------

TABLE = {
    "p1": ((2 * H, 24 * H), (4 * H, 48 * H), (8 * H, 72 * H), ("N/A", "N/A")),
    "p2": ((4 * H, 48 * H), (8 * H, 72 * H), (24 * H, 7 * D), ("N/A", "N/A")),
    "p3": ((24 * H, 7 * D), (24 * H, 14 * D), (48 * H, 14 * D), ("48+ hours", "Best effort")),
    "p4": ((48 * H, 14 * D), (72 * H, 21 * D), (72 * H, 30 * D), ("72+ hours", "Best effort")),
}


@pytest.mark.parametrize("priority", TABLE)
def test_every_row_of_response_and_resolution_commitments(customers, priority):
    for tier, (response, resolution) in zip(
        ("enterprise", "mid-market", "small-business", "freemium"), TABLE[priority], strict=True
    ):
        level = customers.sla(tier, priority.upper())
        for commitment, said in ((level.response, response), (level.resolution, resolution)):
            if isinstance(said, timedelta):
                assert (said, "") == (commitment.within, commitment.label), (tier, priority)
            else:
                assert (None, said) == (commitment.within, commitment.label), (tier, priority)


def test_the_per_priority_table_governs_over_the_headline(customers):
    assert 24 * H == customers.value("small-business", "support.response")
    assert 8 * H == customers.sla("small-business", "P1").response.within


def test_hours_run_on_the_support_clock_but_enterprise_p1_and_days_run_always(customers):
    clocks = {
        (tier, priority, kind): getattr(customers.sla(tier, priority), kind).clock
        for tier in ("enterprise", "mid-market", "small-business")
        for priority in TABLE
        for kind in ("response", "resolution")
    }
    always = {key: clock for key, clock in clocks.items() if clock != "support-hours"}
    days = {(tier, p, "resolution") for tier in ("enterprise", "mid-market", "small-business") for p in ("p3", "p4")}

    assert {("enterprise", "p1", "response"), ("enterprise", "p1", "resolution")} == {
        k for k, c in always.items() if c == "24/7"
    }
    assert days | {("small-business", "p2", "resolution")} == {
        key for key, clock in always.items() if clock == "calendar"
    }


def test_a_text_instead_of_a_time_is_no_deadline(customers):
    level = customers.sla("freemium", "p3")
    ticket = level.ticket(datetime(2026, 1, 1, tzinfo=UTC), now=datetime(2030, 1, 1, tzinfo=UTC))

    assert (None, None, False) == (ticket.response.due, ticket.response.left, ticket.breached)
    assert "no commitment: 48+ hours" == str(level.response)


# -- the clock -------------------------------------------------------------------------


def test_less_than_24_hours_at_12_hours_a_day_is_two_working_days(customers):
    friday_noon = datetime(2026, 3, 6, 12, tzinfo=NEW_YORK)

    due = customers.sla("mid-market", "p3").response.due(friday_noon)

    assert datetime(2026, 3, 10, 12, tzinfo=NEW_YORK) == due  # Friday 8 h, Monday 12 h, Tuesday 4 h, over a DST change


def test_a_ticket_opened_at_night_starts_in_the_morning(customers):
    saturday = datetime(2026, 3, 7, 3, tzinfo=UTC)

    assert datetime(2026, 3, 9, 12, tzinfo=NEW_YORK) == customers.sla("mid-market", "p1").response.due(saturday)


def minute_by_minute(clock: SupportClock, start: int, minutes: int) -> int:
    """Return the end of the minute in which *minutes* open minutes have passed, by walking minute by minute."""
    at = start
    while minutes:
        local = at + offset(clock.zone, at // QUARTER * QUARTER)
        weekday = (local // DAY + 3) % 7  # 1970 began on a Thursday
        minutes -= weekday in clock.days and clock.opens <= local % DAY // MINUTE * MINUTE < clock.closes
        at += MINUTE
    return at


QUARTER = 15 * MINUTE
"""Offsets change at the beginning of a quarter of an hour, if at all."""


@cache
def offset(zone, at):
    """Return the offset of a zone from UTC at an instant, in microseconds."""
    return to_datetime(at).astimezone(zone).utcoffset() // timedelta(microseconds=1)


@st.composite
def clocks(draw):
    opens = draw(st.integers(0, 1438))
    return SupportClock(
        ZoneInfo(draw(st.sampled_from(ZONES))),
        opens * MINUTE,
        draw(st.integers(opens + 1, 1440)) * MINUTE,
        frozenset(draw(st.sets(st.integers(0, 6), min_size=1))),
    )


CHANGES = [  # days on which clocks of some of these zones change, or a day is left out (Apia, 2011-12-30)
    datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC),
    datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC), datetime(2011, 12, 29, tzinfo=UTC),
]  # fmt: skip


@given(clocks(), st.sampled_from(CHANGES), st.integers(-3 * 1440, 1440), st.integers(1, 300))
def test_due_times_agree_with_a_walk_minute_by_minute(clock, around, offset, minutes):
    """For random clocks and instants around changes of the zone's offset."""
    start = to_instant(around) + offset * MINUTE

    due = clock.add(start, minutes * MINUTE)

    assert minute_by_minute(clock, start, minutes) == due
    assert minutes * MINUTE == clock.open_time(start, due)


@given(clocks(), st.integers(0, 2 * 10**15), st.integers(1, 5 * DAY), st.integers(1, 5 * DAY))
def test_open_time_adds_up(clock, start, one, other):
    """Adding two durations in turn equals adding their sum, and no result is before its start plus the duration."""
    first = clock.add(start, one)

    assert clock.add(start, one + other) == clock.add(first, other)
    assert first >= start + one


BERLIN = ZoneInfo("Europe/Berlin")
WORKDAYS = frozenset(range(5))


def test_holidays_are_closed_once_or_every_year():
    christmas = (datetime(2026, 12, 25, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    clock = SupportClock(
        BERLIN, 9 * 60 * MINUTE, 18 * 60 * MINUTE, WORKDAYS, holidays=frozenset({christmas}), yearly=frozenset({(1, 1)})
    )

    due = clock.add(to_instant(datetime(2026, 12, 24, 17, tzinfo=BERLIN)), 2 * 60 * MINUTE)
    new_year = clock.add(to_instant(datetime(2026, 12, 31, 17, tzinfo=BERLIN)), 2 * 60 * MINUTE)

    assert datetime(2026, 12, 28, 10, tzinfo=BERLIN) == to_datetime(due)  # Friday is a holiday, then a weekend
    assert datetime(2027, 1, 4, 10, tzinfo=BERLIN) == to_datetime(new_year)


def test_breaks_do_not_count():
    clock = SupportClock(
        BERLIN, 9 * 60 * MINUTE, 18 * 60 * MINUTE, WORKDAYS, breaks=((12 * 60 * MINUTE, 13 * 60 * MINUTE),)
    )
    start = to_instant(datetime(2026, 3, 3, 11, 30, tzinfo=BERLIN))

    assert datetime(2026, 3, 3, 13, 30, tzinfo=BERLIN) == to_datetime(clock.add(start, 60 * MINUTE))
    assert 8 * 60 * MINUTE == clock.open_time(start - 6 * 60 * MINUTE, start + 12 * 60 * MINUTE)


def test_a_desk_past_midnight_belongs_to_the_day_on_which_it_opens():
    clock = SupportClock(BERLIN, 22 * 60 * MINUTE, 30 * 60 * MINUTE, frozenset({4}))
    saturday = to_instant(datetime(2026, 3, 7, 4, tzinfo=BERLIN))

    assert datetime(2026, 3, 7, 5, tzinfo=BERLIN) == to_datetime(clock.add(saturday, 60 * MINUTE))
    assert datetime(2026, 3, 13, 23, tzinfo=BERLIN) == to_datetime(clock.add(saturday, 3 * 60 * MINUTE))


@pytest.mark.parametrize(
    ("opens", "closes", "breaks"),
    [(9, 9, ()), (9, 34, ()), (25, 26, ()), (9, 18, ((8, 10),)), (9, 18, ((12, 13), (12, 14))), (9, 18, ((9, 18),))],
)
def test_hours_without_open_time_are_refused(opens, closes, breaks):
    hour = 60 * MINUTE
    with pytest.raises(ValueError, match=r"support|breaks"):
        SupportClock(BERLIN, opens * hour, closes * hour, WORKDAYS, tuple((a * hour, b * hour) for a, b in breaks))


# -- late or not -----------------------------------------------------------------------


def test_in_less_than_means_that_the_due_instant_is_too_late(customers):
    opened = datetime(2026, 3, 10, 12, tzinfo=UTC)
    level = customers.sla("enterprise", "p1")
    due = opened + 2 * H
    tick = timedelta(microseconds=1)

    in_time = level.ticket(opened, now=opened + 9 * H, responded=due - tick)
    late = level.ticket(opened, now=opened + 9 * H, responded=due)
    waiting = level.ticket(opened, now=due - H)
    overdue = level.ticket(opened, now=due + H)

    assert [False, True, False, True] == [each.response.breached for each in (in_time, late, waiting, overdue)]
    assert (H, H, -H, timedelta(0)) == (
        waiting.response.left, waiting.response.left_open, overdue.response.left, overdue.response.left_open,
    )  # fmt: skip
    assert (None, False) == (in_time.response.left, in_time.breached)
    assert 15 * H == in_time.resolution.left


def test_what_is_left_counts_open_hours_too(customers):
    opened, now = datetime(2026, 3, 6, 19, tzinfo=NEW_YORK), datetime(2026, 3, 6, 21, tzinfo=NEW_YORK)

    left = customers.sla("mid-market", "p1").response.progress(opened, now)

    assert (timedelta(hours=61), 3 * H) == (left.left, left.left_open)  # until Monday 11:00, an hour lost to DST


def test_a_ticket_solved_without_an_answer_was_answered_then(customers):
    opened = datetime(2026, 3, 10, 12, tzinfo=UTC)

    ticket = customers.sla("enterprise", "p1").ticket(opened, now=opened + 9 * H, resolved=opened + H)

    assert (opened + H, False) == (ticket.response.done, ticket.breached)


def test_a_paused_ticket_does_not_run_on_any_clock(customers):
    opened = datetime(2026, 3, 10, 12, tzinfo=UTC)
    pauses = [(opened + 3 * H, opened + 4 * H), (opened + H, opened + 3 * H), (opened - 2 * H, opened - H)]

    always = customers.sla("enterprise", "p1").response  # 2 hours on 24/7
    desk = customers.sla("mid-market", "p1").response  # 4 hours on the support clock, which opens at 12:00 UTC

    assert opened + 5 * H == always.due(opened, paused=pauses)
    assert opened + 7 * H == desk.due(opened, paused=pauses)
    progress = always.progress(opened, opened + 2 * H, paused=pauses)
    assert (3 * H, H, False) == (progress.left, progress.left_open, progress.breached)


def test_a_pause_that_has_not_ended_lasts_until_now(customers):
    opened = datetime(2026, 3, 10, 12, tzinfo=UTC)
    ticket = customers.sla("enterprise", "p1").ticket(opened, now=opened + 9 * H, paused=[(opened + H, None)])

    assert (False, opened + 10 * H, H) == (ticket.breached, ticket.response.due, ticket.response.left)
    with pytest.raises(ValueError, match="exchange the two"):
        customers.sla("enterprise", "p1").response.due(opened, paused=[(opened + H, opened)])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda ent: ent.sla("enterprise", "P5"), UnknownFeature, "there are p1, p2, p3, p4"),
        (lambda ent: ent.sla("enterprise", 1), UnknownFeature, "there is no priority 1"),
        (lambda ent: ent.sla("enterprise", "p1").response.due(datetime(2026, 1, 1)), ValueError, "aware"),  # noqa: DTZ001
        (
            lambda ent: ent.sla("enterprise", "p1").ticket(
                datetime(2026, 1, 2, tzinfo=UTC),
                now=datetime(2026, 1, 3, tzinfo=UTC),
                responded=datetime(2026, 1, 1, tzinfo=UTC),
            ),
            ValueError,
            "lies before opened",
        ),
    ],
)
def test_what_cannot_be_asked_is_named(customers, call, error, words):
    with pytest.raises(error, match=words):
        call(customers)


@pytest.mark.parametrize(
    ("sla", "path"),
    [
        ({"p1": {"response": "soon", "resolution": "4 hours"}}, "sla.p1.response"),
        ({"p1": {"response": "4 hours", "response-clock": "lunch"}}, "sla.p1.response-clock"),
        (
            {"clock": {"zone": "Mars/Olympus", "opens": "08:00", "closes": "20:00", "days": ["monday"]}},
            "sla.clock.zone",
        ),
        ({"clock": {"zone": "UTC", "opens": "8am", "closes": "20:00", "days": ["monday"]}}, "sla.clock.opens"),
        ({"clock": {"zone": "UTC", "opens": "20:00", "closes": "08:00", "days": ["monday"]}}, "sla.clock.closes"),
        ({"clock": {"zone": "UTC", "opens": "08:00", "closes": "20:00", "days": ["someday"]}}, "sla.clock.days[0]"),
    ],
)
def test_values_that_make_no_commitment_are_named_with_their_path(sla, path):
    whole = {"p1": {"response": "4 hours", "response-clock": "support-hours"}} | sla
    with pytest.raises(PolicyError) as raised:
        Policy.parse({"policy": {"version": "1"}, "tiers": {"one": {"rank": 1, "values": {"sla": whole}}}})

    assert f"tiers.one.values.{path}" == raised.value.problems[0].path


def test_a_policy_without_service_levels_says_so():
    policy = Policy.parse({"policy": {"version": "1"}, "tiers": {"one": {"rank": 1}}})

    with pytest.raises(UnknownFeature, match=r"write sla\.p1\.response"):
        Enforcer(policy, accounts={"x": "one"}).sla("x", "p1")


# -- uptime ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "guarantee", "credits_"),
    [
        ("enterprise", "99.95", [("99.95", 0), ("99.94", 10), ("99.9", 10), ("99.89", 25), ("99.5", 25), ("99.2", 50)]),
        ("mid-market", "99.9", [("99.9", 0), ("99.89", 10), ("99.5", 10), ("99.49", 25), ("99", 25), ("98.99", 50)]),
        ("small-business", "99.5", [("99.5", 0), ("99.49", 10), ("99", 10), ("98.9", 25), ("0", 25)]),
        ("freemium", None, [("100", 0), ("0", 0)]),
    ],
)
def test_every_row_of_the_uptime_commitments(customers, tier, guarantee, credits_):
    up = customers.uptime(tier)

    assert (guarantee and Decimal(guarantee)) == up.guarantee
    for measured, percent in credits_:
        assert (percent, 10 * percent) == (up.credit(measured, 1000).percent, up.credit(measured, 1000).amount)


def test_credits_are_money_to_the_cent(customers):
    credit = customers.uptime("enterprise").credit(99.2, Decimal("100.01"))

    assert (50, Decimal("50.01"), Decimal("99.5")) == (credit.percent, credit.amount, credit.below)


@pytest.mark.parametrize("values", [("101", 1), (-1, 1), ("much", 1), (99, -5), (99, "nan"), (True, 1)])
def test_a_measurement_that_cannot_be_is_refused(customers, values):
    with pytest.raises(ValueError, match="must be a number from 0"):
        customers.uptime("enterprise").credit(*values)


async def test_the_async_side_says_the_same(customers):
    async with AsyncEnforcer(customers._cache.policy, accounts={"x": "enterprise"}) as ent:
        handle = await ent.account("x")
        assert customers.sla("enterprise", "p1") == await ent.sla("x", "P1") == await handle.sla("p1")
        assert customers.uptime("enterprise") == await ent.uptime("x") == await handle.uptime()
    assert customers.account("enterprise").sla("p1") == customers.sla("enterprise", "p1")
