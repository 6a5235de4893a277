"""Capacity: the people that a base needs, recomputed by hand."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, CsvAccounts, Policy, Trial
from entitlements.model.instants import to_instant
from entitlements.tiering.capacity import PlanFit, capacity
from entitlements.tiering.engagements import Engagement
from entitlements.tiering.numbers import as_whole

ROOT = Path(__file__).resolve().parents[2]
POLICY = Policy.load(ROOT / "policies" / "customer-tiers")
NOW = to_instant(datetime(2026, 11, 2, 12, tzinfo=UTC))
TIERS = ("enterprise", "mid-market", "small-business", "freemium")


def base(**counts):
    names = {"ent": "enterprise", "mid": "mid-market", "small": "small-business", "free": "freemium"}
    return [Account(f"{short}-{at}", names[short]) for short, count in counts.items() for at in range(count)]


def test_the_portfolio_needs_32_managers_and_is_beyond_all_three_plans():
    """
    14 / 1 + 52 / 5 + 122 / 20 = 14 + 11 (10.4) + 7 (6.1) = 32 managers; 14 accounts of tier 1 for 1 to 5 planned, 52 for 10
    to 20, 122 for 50 to 100. Each of the 14 has a technical account manager and a sponsor.
    """
    accounts = CsvAccounts(ROOT / "examples" / "portfolio" / "accounts.csv", id="Account ID", policy=POLICY)
    found = capacity(POLICY, accounts, now=NOW)

    assert [("enterprise", 14, 14), ("mid-market", 52, 11), ("small-business", 122, 7), ("freemium", 112, 0)] == [
        (each.tier, each.customers, each.csms) for each in found.tiers
    ]
    assert (32, 14, 14) == (found.csms, found.technical_account_managers, found.executive_sponsors)
    assert [PlanFit.ABOVE] * 3 + [PlanFit.UNPLANNED] == [each.fit for each in found.tiers]
    assert [(1, 5), (10, 20), (50, 100), (None, None)] == [each.planned for each in found.tiers]
    assert "enterprise has 14 customers, more than the planned 1 to 5" == found.warnings[0]
    json.dumps(found.to_dict())


def test_hours_of_meetings_follow_from_the_touchpoints():
    """
    Enterprise: 52 x 30 min + 12 x 60 + 4 x 90 + 2 x 120 + 1 x 120 = 1,560 + 720 + 360 + 240 + 120 = 3,000 min = 50 h.
    Mid-market: 12 x 45 + 4 x 60 + 2 x 60 = 900 min = 15 h; month 1 does not count. Small business: 4 x 60 + 2 x 30 = 300
    min = 5 h; a newsletter has no length.
    """
    found = capacity(POLICY, base(ent=1, mid=1, small=1), now=NOW)

    assert [50, 15, 5] == [each.meeting_hours for each in found.tiers]
    assert 70 == found.meeting_hours


def test_specialists_follow_from_the_accounts_in_their_onboarding_window():
    """
    On 2 November 2026 a tier-1 account of 18 September is in day 45, its last; one of 17 September is over. A mid-market
    account has 40 days: 23 September. Five of those need 2 specialists, 4 accounts each.
    """
    accounts = base(ent=2, mid=6)
    starts = {"ent-0": date(2026, 9, 18), "ent-1": date(2026, 9, 17), "mid-5": date(2026, 9, 22)}
    starts |= {f"mid-{at}": date(2026, 9, 23) for at in range(5)}
    found = capacity(POLICY, accounts, now=NOW, engagements={id: Engagement(day) for id, day in starts.items()})

    assert [(1, 1), (5, 2)] == [(each.onboarding, each.specialists) for each in found.tiers[:2]]
    assert 3 == found.specialists


def test_a_planned_base_counts_after_its_moves():
    """Six mid-market accounts need two managers; with one moved to tier 1 it is 5 / 5 + 1 / 1, again two."""
    now, then = (capacity(POLICY, base(mid=6), now=NOW, moves=moves) for moves in (None, {"mid-0": "tier-1"}))

    assert [("enterprise", 0), ("mid-market", 2)] == [(each.tier, each.csms) for each in now.tiers[:2]]
    assert [("enterprise", 1), ("mid-market", 1)] == [(each.tier, each.csms) for each in then.tiers[:2]]


def test_a_trial_asks_for_no_more_people():
    trying = Account("a", "freemium", trial=Trial("enterprise", None, datetime(2027, 1, 1, tzinfo=UTC)))

    assert 0 == capacity(POLICY, [trying], now=NOW).csms


def test_a_ratio_in_words_is_read():
    """The long tail: one manager for 1,000 accounts, so 1,001 need two."""
    policy = Policy.load(ROOT / "policies" / "second-funnel")
    accounts = [Account(str(at), "tier-3") for at in range(1001)]

    assert [("tier-3", 1000, 2)] == [
        (each.tier, each.per_csm, each.csms) for each in capacity(policy, accounts, now=NOW).tiers
    ]


@pytest.mark.parametrize(("text", "number"), [
    ("0", 0), ("12", 12), ("9" * 9, 999_999_999),
    *dict.fromkeys(["", "9" * 10, "9" * 5000, "-1", " 1", "1_0", "1.0", "\u0662", "\u00b2"]).items(),
])  # fmt: skip
def test_a_whole_number_is_written_in_ascii_digits(text, number):
    assert number == as_whole(text)


@pytest.mark.parametrize(
    ("moves", "problem"),
    [
        ({"nobody": "enterprise"}, "'nobody' is to move and is not in the base"),
        ({"mid-0": "gold"}, "'gold' is no tier"),
    ],
)
def test_moves_that_cannot_be_are_named(moves, problem):
    with pytest.raises(ValueError, match=problem):
        capacity(POLICY, base(mid=1), now=NOW, moves=moves)


@given(
    counts=st.tuples(*[st.integers(0, 60)] * 4), moved=st.lists(st.tuples(st.integers(0, 239), st.sampled_from(TIERS)))
)
def test_every_account_has_a_manager_and_no_manager_has_too_many(counts, moved):
    accounts = [Account(f"{tier}-{at}", tier) for tier, count in zip(TIERS, counts, strict=True) for at in range(count)]
    moves = {accounts[at % len(accounts)].id: tier for at, tier in moved} if accounts else {}
    found = capacity(POLICY, accounts, now=NOW, moves=moves)

    assert len(accounts) == sum(each.customers for each in found.tiers)
    for each in found.tiers:
        if each.per_csm:
            assert each.csms * each.per_csm >= each.customers > (each.csms - 1) * each.per_csm or not each.customers
        assert each.meeting_hours == each.customers * {"enterprise": 50, "mid-market": 15, "small-business": 5}.get(
            each.tier, 0
        )
    assert found.meeting_hours == sum((each.meeting_hours for each in found.tiers), Decimal(0))
