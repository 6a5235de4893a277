"""Schedules: what is due for an account, on which day, and who sees to it."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements import Account, Change, Override, Policy, Trial, UnknownAccount
from entitlements.tiering.dates import is_day_first, read_date
from entitlements.tiering.engagements import Engagement, TierSpan, engagement_of
from entitlements.tiering.schedule import DueKind, schedule

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")
TIERS = ("enterprise", "mid-market", "small-business", "freemium")
NEW_YORK = ZoneInfo("America/New_York")
ZONES = dict.fromkeys(TIERS[:3], NEW_YORK) | {"freemium": UTC}


def due(tier, since, until, *, start="2026-01-05", **named):
    """Return (date, name) of the items of an account that started on a Monday."""
    account = Account("acme", tier, attributes={"start": start}, **named)
    return [(f"{each.date:%m-%d}", each.name) for each in schedule(POLICY, account, since, until, zones=ZoneInfo).items]


# --- Recomputed by hand -------------------------------------------------------------------------------------------


def test_the_first_weeks_of_a_mid_market_account():
    """
    It starts on Monday 2026-01-05. Check-ins of month 1 are bi-weekly: 19 January and 2 February; the next, 16
    February, is after day 30. The onboarding takes 30 to 40 days: 4 to 14 February.
    """
    found = due("mid-market", date(2026, 1, 5), date(2026, 3, 1))

    assert [("01-19", "Check-in (month 1)"), ("02-02", "Check-in (month 1)")] == [
        each for each in found if "month 1" in each[1]
    ]
    assert [("01-05", "Kick-off"), ("02-14", "Onboarding complete")] == [
        each for each in found if each[1] in {"Kick-off", "Onboarding complete"}
    ]
    (window,) = (
        each
        for each in schedule(POLICY, Account("a", "mid-market", attributes={"start": "2026-01-05"}),
                             date(2026, 2, 1), date(2026, 3, 1), zones=ZoneInfo).items
        if each.begins
    )  # fmt: skip
    assert (date(2026, 2, 4), date(2026, 2, 14)) == (window.begins, window.date)


def test_a_quarter_of_an_enterprise_account():
    """
    The weeks after 2026-01-05 begin on Mondays: 13 check-ins by 6 April. Business reviews on the 5th: Thursday 5
    February, Thursday 5 March, and Sunday 5 April, which is Monday the 6th. The strategic review too.
    """
    found = due("enterprise", date(2026, 1, 6), date(2026, 4, 7))
    count = {name: sum(each[1] == name for each in found) for name in {each[1] for each in found}}

    assert (13, 3, 1, 1, 91) == (
        count["Tactical check-in"], count["Business review"], count["Strategic review"], count["On-site visit"],
        count["health-score"],
    )  # fmt: skip
    assert ["02-05", "03-05", "04-06"] == [day for day, name in found if name == "Business review"]
    assert {"planning": 1, "opportunity": 3, "Review of the tier": 1}.items() <= count.items()


def test_a_touchpoint_has_its_audience_length_and_owner():
    account = Account("acme", "enterprise", attributes={"start": "2026-01-05"})
    items = {
        each.name: each for each in schedule(POLICY, account, date(2026, 7, 1), date(2027, 2, 1), zones=ZoneInfo).items
    }

    summit, planning, review = items["Executive summit"], items["Strategic planning"], items["Review of the tier"]
    assert ("C-level", timedelta(hours=2), "executive sponsor", DueKind.TOUCHPOINT) == (
        summit.audience, summit.duration, summit.owner, summit.kind,
    )  # fmt: skip
    assert ("Executives", "csm", DueKind.BUSINESS_REVIEW) == (planning.audience, planning.owner, planning.kind)
    assert ("customer success operations", None) == (review.owner, review.audience)


@pytest.mark.parametrize(("tier", "notice", "day"), [("enterprise", 90, "09-03"), ("mid-market", 60, "10-03"),
                                                     ("small-business", 30, "11-02")])  # fmt: skip
def test_notice_can_be_given_so_many_days_before_the_renewal(tier, notice, day):
    """A renewal on 2 December: 90 days before is 3 September, 60 days 3 October, 30 days 2 November."""
    account = Account("acme", tier, attributes={"start": "2025-12-02", "Renewal Date": "12/2/2026"})
    with pytest.raises(ValueError, match="Renewal Date: '12/2/2026' may be 2026-12-02 or 2026-02-12"):
        schedule(POLICY, account, date(2026, 1, 1), date(2027, 1, 1), zones=ZoneInfo)
    engaged = Engagement(date(2025, 12, 2), date(2026, 12, 2))
    items = schedule(POLICY, account, date(2026, 1, 1), date(2027, 1, 1), engagement=engaged, zones=ZoneInfo).items

    assert [(day, "notice"), ("12-02", "renewal")] == [
        (f"{each.date:%m-%d}", each.kind) for each in items if each.kind in {DueKind.NOTICE, DueKind.RENEWAL}
    ]
    assert timedelta(days=notice) == date(2026, 12, 2) - next(each.date for each in items if each.kind == "notice")


def test_a_renewal_comes_every_twelve_months():
    account = Account("acme", "small-business", attributes={"start": "2024-02-29", "renewal": "2024-02-29"})
    items = schedule(POLICY, account, date(2024, 3, 1), date(2028, 3, 1), zones=ZoneInfo).items

    assert ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"] == [
        str(each.date) for each in items if each.kind is DueKind.RENEWAL
    ]


def test_a_trial_and_a_downgrade_have_their_days():
    trying = Account("a", "freemium", trial=Trial("trial", None, datetime(2026, 3, 9, 3, 30, tzinfo=UTC)))
    leaving = Account("b", "mid-market", attributes={"start": "2025-01-06"},
                      changes=[Change("small-business", at=datetime(2026, 5, 1, 12, tzinfo=UTC))])  # fmt: skip
    since, until = date(2026, 1, 1), date(2026, 6, 1)
    ends = schedule(POLICY, trying, since, until, zones=ZoneInfo)
    moves = [
        each
        for each in schedule(POLICY, leaving, since, until, zones=ZoneInfo).items
        if each.kind in {"change", "notice"}
    ]

    assert [("2026-03-09", "Trial of trial ends", "sales")] == [(str(e.date), e.name, e.owner) for e in ends.items]
    assert ("start is not known",) == ends.unknown
    assert [("2026-03-02", "Last day of notice before the change to small-business"),
            ("2026-05-01", "Change to small-business")] == [(str(each.date), each.name) for each in moves]  # fmt: skip


def test_a_change_of_tier_changes_what_is_due():
    """Mid-market until 1 May 2026: then newsletters, no business reviews; and no second onboarding or month 1."""
    found = due("mid-market", date(2026, 4, 1), date(2026, 8, 1),
                changes=[Change("small-business", at=datetime(2026, 5, 1, 12, tzinfo=UTC))])  # fmt: skip

    assert ["04-06"] == [day for day, name in found if name == "Business review"]
    assert ["06-01", "07-01"] == [day for day, name in found if name == "Newsletter"]
    assert not {"Kick-off", "Onboarding webinar", "Check-in (month 1)"} & {name for _, name in found}


def test_what_the_account_agreed_on_is_due():
    rule = Override("activities.risk", "weekly", reason="contract", author="desk")
    every_month = due("mid-market", date(2026, 2, 2), date(2026, 3, 2))
    every_week = due("mid-market", date(2026, 2, 2), date(2026, 3, 2), overrides=[rule])

    assert (1, 4) == tuple(sum(name == "risk" for _, name in found) for found in (every_month, every_week))


def test_a_history_gives_each_day_its_tier():
    history = (TierSpan("tier-3", date(2025, 1, 6), date(2026, 1, 5)), TierSpan("mid-market", date(2026, 1, 5)))
    account = Account("acme", "mid-market")
    items = schedule(
        POLICY, account, date(2025, 12, 1), date(2026, 3, 1), engagement=Engagement(history=history), zones=ZoneInfo
    ).items

    assert {"small-business", "mid-market"} == {each.tier for each in items}
    assert all((each.tier == "mid-market") == (each.date >= date(2026, 1, 5)) for each in items)


# --- What cannot be -----------------------------------------------------------------------------------------------


def test_a_history_that_overlaps_is_named():
    spans = (TierSpan("mid-market", date(2026, 3, 1)), TierSpan("freemium", date(2025, 1, 1), date(2026, 4, 1)))
    with pytest.raises(
        ValueError, match="freemium from 2025-01-01 to 2026-04-01 and mid-market from 2026-03-01 overlap"
    ):
        Engagement(history=spans)
    with pytest.raises(ValueError, match="ends before it begins"):
        TierSpan("freemium", date(2026, 1, 1), date(2026, 1, 1))


@pytest.mark.parametrize(("text", "problem"), [("31.2.2026", "does not exist"), ("soon", "is not a date"),
                                               ("3/4/2026", "may be 2026-03-04 or 2026-04-03")])  # fmt: skip
def test_a_start_that_is_no_date_is_named(text, problem):
    with pytest.raises(ValueError, match=f"Customer since: '{text}' {problem}"):
        engagement_of({"Customer since": text})


@pytest.mark.parametrize(
    ("text", "day_first", "day"),
    [("2026-03-04", None, date(2026, 3, 4)), ("3/4/2026", False, date(2026, 3, 4)), ("3/4/2026", True, date(2026, 4, 3)),
     ("3.4.2026", None, date(2026, 4, 3)), ("1/22/2028", None, date(2028, 1, 22)), ("4 March 26", None, date(2026, 3, 4)),
     (datetime(2026, 3, 4, 5, tzinfo=UTC), None, date(2026, 3, 4)), ("5/5/2026", None, date(2026, 5, 5))],
)  # fmt: skip
def test_dates_are_read_as_spreadsheets_write_them(text, day_first, day):
    assert day == read_date(text, day_first=day_first)


def test_a_column_shows_the_order_of_day_and_month():
    assert [False, True, None, None] == [
        is_day_first(texts)
        for texts in (["3/4/2026", "1/22/2028"], ["22/1/2028"], ["3/4/2026"], ["22/1/2028", "1/22/2028"])
    ]


def test_an_unknown_tier_is_named():
    with pytest.raises(UnknownAccount, match="tier 'gold' is not in the policy"):
        schedule(
            POLICY,
            Account("a", "gold", attributes={"start": "2026-01-01"}),
            date(2026, 1, 1),
            date(2026, 2, 1),
            zones=ZoneInfo,
        )


# --- Against a walk day by day ------------------------------------------------------------------------------------

DAYS = {"daily": 1, "weekly": 7, "bi-weekly": 14}
MONTHS = {"monthly": 1, "quarterly": 3, "semi-annually": 6, "bi-annually": 6, "annually": 12}


def recurs(cadence, start, day):
    """Decide by one day alone whether something that began on *start* recurs on it."""
    if cadence in DAYS:
        return day > start and (day - start).days % DAYS[cadence] == 0
    months = (day.year - start.year) * 12 + day.month - start.month
    last = (date(day.year + day.month // 12, day.month % 12 + 1, 1) - timedelta(days=1)).day
    return months > 0 and months % MONTHS[cadence] == 0 and day.day == min(start.day, last)


def rows_of(tier):
    """Yield name, cadence, and whether people do it, from the policy's own table."""
    values = POLICY.tiers[tier].values
    exceptions = {each["item"]: each["owner"] for each in values.get("schedule.exceptions", ())}
    for each in values["touchpoints"]:
        owner = exceptions.get(each["activity"], values.get("schedule.owners.touchpoint", "csm"))
        yield each["activity"], each["frequency"], owner != "automation"
    for key in values:
        if key.startswith("activities."):
            yield key[11:], values[key], exceptions.get(key[11:]) != "automation"
    yield "Review of the tier", "quarterly", True
    if tier == "enterprise":
        yield "On-site visit", "quarterly", True
    if tier == "small-business":
        yield "Onboarding webinar", "weekly", True


def walked(tiers, start, since, until):
    """Walk every day of *tiers* ((tier, first day), …) and collect what falls on it."""
    found = set()
    day = start
    while day < until:
        tier, begun = next((tier, begun) for tier, begun in reversed(tiers) if begun <= day)
        end = next((other for _, other in tiers if other > begun), date.max)
        for name, cadence, by_people in rows_of(tier):
            longest = {"Check-in (month 1)": 30, "Onboarding webinar": 30}.get(name)
            is_over = longest is not None and (begun != start or (day - start).days > longest)
            if cadence in (*DAYS, *MONTHS) and not is_over and recurs(cadence, begun, day):
                due = day
                while by_people and tier != "freemium" and due.weekday() >= 5:
                    due += timedelta(days=1)
                if since <= due < until and due < end:
                    found.add((due, name, tier))
        day += timedelta(days=1)
    return found


def instants(first, last):
    """Draw an instant from the second day of one year to the begin of another."""
    begin, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (first, last))
    return st.integers(86_400, int((end - begin).total_seconds())).map(lambda at: begin + timedelta(seconds=at))


RECURRING = {DueKind.TOUCHPOINT, DueKind.BUSINESS_REVIEW, DueKind.ACTIVITY, DueKind.TIER_REVIEW, DueKind.VISIT}


@settings(max_examples=40)
@given(
    tiers=st.tuples(st.sampled_from(TIERS), st.sampled_from(TIERS)),
    start=st.one_of(st.dates(date(2023, 1, 1), date(2025, 1, 1)), st.sampled_from([date(2024, 2, 29), date(2024, 1, 31)])),
    moved=instants(2025, 2028),
    near_dst=st.sampled_from([None, "2026-03-08T04:59Z", "2026-11-01T04:00Z", "2027-03-14T05:00Z"]),
    skipped=st.integers(-60, 900),
    length=st.integers(0, 1_827),
)  # fmt: skip
def test_a_schedule_agrees_with_a_walk_day_by_day(tiers, start, moved, near_dst, skipped, length):
    """Five years at most: month ends, leap days, weekends, a change of tier, and the change of clocks."""
    at = datetime.fromisoformat(near_dst) if near_dst else moved
    account = Account("acme", tiers[0], attributes={"start": start}, changes=[Change(tiers[1], at=at)])
    since = start + timedelta(days=skipped)
    until = since + timedelta(days=length)
    day = at.astimezone(ZONES[tiers[0]]).date()
    steps = [(tiers[0], start)] if tiers[0] == tiers[1] else [(tiers[0], start), (tiers[1], day)]
    items = schedule(POLICY, account, since, until, zones=ZoneInfo).items
    found = {(each.date, each.name, each.tier) for each in items
             if each.kind in RECURRING or each.name == "Onboarding webinar"}  # fmt: skip

    assert walked(steps, start, since, until) == found
    assert [each.date for each in items] == sorted(each.date for each in items)


@given(instants(2026, 2031))
def test_a_trial_ends_on_the_day_of_the_tiers_zone(ends):
    """Midnight in New York is 04:00 or 05:00 UTC, by the time of the year."""
    account = Account("acme", "mid-market", trial=Trial("enterprise", None, ends))
    midnight = datetime.combine(ends.date(), time(), NEW_YORK)
    day = ends.date() if ends >= midnight else ends.date() - timedelta(days=1)
    items = schedule(POLICY, account, date(2025, 12, 1), date(2031, 2, 1), zones=ZoneInfo).items

    assert [day] == [each.date for each in items]
    json.dumps([each.to_dict() for each in items])


@given(
    renewal=st.dates(date(2024, 1, 1), date(2026, 1, 1)), tier=st.sampled_from(TIERS[:3]), length=st.integers(1, 1_827)
)
def test_renewals_and_notices_agree_with_a_walk_day_by_day(renewal, tier, length):
    notice = {"enterprise": 90, "mid-market": 60, "small-business": 30}[tier]
    until = date(2025, 1, 1) + timedelta(days=length)
    days = [date(2024, 1, 1) + timedelta(days=at) for at in range(366 * 8)]
    renews = [day for day in days if day == renewal or recurs("annually", renewal, day)]
    engaged = Engagement(date(2023, 1, 2), renewal)
    items = schedule(POLICY, Account("a", tier), date(2025, 1, 1), until, engagement=engaged, zones=ZoneInfo).items

    for kind, shift in ((DueKind.RENEWAL, 0), (DueKind.NOTICE, notice)):
        walked_days = [day - timedelta(days=shift) for day in renews]
        assert [day for day in walked_days if date(2025, 1, 1) <= day < until] == [
            each.date for each in items if each.kind is kind
        ]
