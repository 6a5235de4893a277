"""Health scores: a tier's weights over the measured components, and no score without all of them."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, AccountError, AsyncEnforcer, Enforcer, Policy

ROOT = Path(__file__).resolve().parents[2]
POLICY = Policy.load(ROOT / "policies" / "customer-tiers")
COMPONENTS = ("engagement", "success", "satisfaction", "financial")
WEIGHTS = {"enterprise": (25, 35, 20, 20), "mid-market": (30, 30, 20, 20), "small-business": (40, 25, 20, 15)}
scores = st.integers(0, 100)


def measured(tier, **attributes):
    return Enforcer(POLICY, accounts={"x": Account("x", tier, attributes=attributes)})


@pytest.mark.parametrize("tier", WEIGHTS)
def test_every_row_of_the_health_score_components(tier):
    found = measured(tier).health("x")

    assert dict(zip(COMPONENTS, WEIGHTS[tier], strict=True)) == {each.name: each.weight for each in found.components}
    assert (None, None, set(COMPONENTS)) == (found.score, found.so_far, set(found.missing))
    assert all(each.measures for each in found.components)


@pytest.mark.parametrize(
    ("tier", "count", "some"),
    [("enterprise", 10, "Cost savings"), ("mid-market", 9, "NPS score"), ("small-business", 5, "User adoption")],
)
def test_every_tier_tracks_its_own_kpis(tier, count, some):
    kpis = measured(tier).health("x").kpis

    assert count == len(kpis)
    assert some in kpis


def test_tier_4_has_no_score():
    found = measured("freemium").health("x", {"engagement": 90})

    assert (None, None, (), ()) == (found.score, found.so_far, found.components, found.kpis)


@given(st.sampled_from(sorted(WEIGHTS)), st.tuples(scores, scores, scores, scores))
def test_a_complete_score_is_the_weighted_mean(tier, values):
    found = measured(tier).health("x", dict(zip(COMPONENTS, values, strict=True)))
    expected = sum(weight * value for weight, value in zip(WEIGHTS[tier], values, strict=True))

    assert abs(found.score * 100 - expected) <= 5  # to one decimal
    assert found.so_far == found.score
    assert min(values) <= found.score <= max(values)


@given(st.sampled_from(sorted(WEIGHTS)), st.dictionaries(st.sampled_from(COMPONENTS), scores, max_size=3))
def test_a_missing_component_is_reported_and_never_invented(tier, some):
    found = measured(tier).health("x", some)

    assert found.score is None
    assert set(COMPONENTS) - set(some) == set(found.missing)
    assert (found.so_far is None) == (not some)
    assert not some or min(some.values()) <= found.so_far <= max(some.values())


def test_scores_come_from_the_accounts_attributes():
    found = measured("enterprise", engagement="80", success=90, satisfaction="", financial=Decimal("70.5")).health("x")

    assert (("satisfaction",), {"engagement": 80, "success": 90, "satisfaction": None, "financial": Decimal("70.5")}) == (
        found.missing, {each.name: each.score for each in found.components},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scores_", "words"),
    [
        ({"engagement": 101}, "engagement 101 must be a number from 0 to 100"),
        ({"engagement": "good"}, "'good' must be a number"),
        ({"engagement": True}, "True must be"),
        ({"engagement": "8_5"}, "'8_5' must be"),
        ({"engagement": "٨٥"}, "'٨٥' must be"),
        ({"engagement": "1e1"}, "'1e1' must be"),
        ({"engagment": 5}, "did you mean 'engagement'"),
    ],
)
def test_a_score_that_cannot_be_is_named_with_account_and_component(scores_, words):
    with pytest.raises(AccountError, match=words) as raised:
        measured("enterprise").health("x", scores_)

    assert "account 'x'" in str(raised.value)


async def test_the_async_side_says_the_same():
    account = Account("x", "enterprise", attributes=dict.fromkeys(COMPONENTS, 50))
    async with AsyncEnforcer(POLICY, accounts={"x": account}) as ent:
        handle = await ent.account("x")
        assert 50 == (await ent.health("x")).score == (await handle.health()).score
    assert 50 == Enforcer(POLICY).account(account).health().score
