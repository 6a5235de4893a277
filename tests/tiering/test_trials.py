"""Trials: start, state, extension and end; and conversion metrics of free accounts."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, AccountError, Change, Enforcer, Policy, Trial
from entitlements.model.instants import to_instant
from entitlements.testing import FakeClock
from entitlements.tiering.conversion import Journey, conversion_metrics
from entitlements.tiering.trials import Phase, end_trial, extend_trial, start_trial, trial_state

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")
START = datetime(2026, 11, 2, tzinfo=UTC)
NOW = to_instant(START)


def days(n):
    return timedelta(days=n)


def at(moment):
    return to_instant(moment)


def test_a_trial_lasts_as_long_as_its_plan_says_where_nothing_else_is_said():
    trying = start_trial(POLICY, Account("acme", "freemium"), "trial", NOW)

    assert Trial("trial", START, START + days(14)) == trying.trial


@pytest.mark.parametrize("length", [14, 20, 30])
def test_a_trial_may_last_14_to_30_days(length):
    trying = start_trial(POLICY, Account("acme", "freemium"), "trial", NOW, length=days(length))

    assert START + days(length) == trying.trial.ends


@pytest.mark.parametrize("length", [days(13), days(31), days(14) - timedelta(microseconds=1), days(0), days(-1)])
def test_a_trial_may_not_last_less_than_14_or_more_than_30_days(length):
    with pytest.raises(AccountError, match="a trial of 'trial' lasts 14 days to 30 days"):
        start_trial(POLICY, Account("acme", "freemium"), "trial", NOW, length=length)


def test_a_trial_of_a_paid_tier_has_no_bounds_and_needs_a_length():
    assert days(90) == start_trial(POLICY, Account("a", "freemium"), "tier-1", NOW, length=days(90)).trial.ends - START
    with pytest.raises(ValueError, match="'enterprise' is no trial plan, so nothing says how long"):
        start_trial(POLICY, Account("a", "freemium"), "enterprise", NOW)


def test_a_trial_takes_nothing_away():
    with pytest.raises(AccountError, match="'freemium' is below its own tier 'mid-market'"):
        start_trial(POLICY, Account("acme", "mid-market"), "freemium", NOW, length=days(20))


def test_one_trial_at_a_time():
    trying = start_trial(POLICY, Account("acme", "freemium"), "trial", NOW)

    with pytest.raises(AccountError, match="a trial of 'trial' is running until"):
        start_trial(POLICY, trying, "trial", NOW)
    assert start_trial(POLICY, trying, "trial", at(START + days(14))).trial.ends == START + days(28)


def test_a_tier_that_there_is_not_cannot_be_tried():
    with pytest.raises(ValueError, match="did you mean 'trial'"):
        start_trial(POLICY, Account("acme", "freemium"), "trail", NOW)


@pytest.mark.parametrize(
    ("passed", "phase", "left"),
    [
        (days(-1), Phase.AHEAD, 14),
        (days(0), Phase.RUNNING, 14),
        (timedelta(microseconds=1), Phase.RUNNING, 14),
        (days(13), Phase.RUNNING, 1),
        (days(14) - timedelta(microseconds=1), Phase.RUNNING, 1),
        (days(14), Phase.OVER, 0),
        (days(99), Phase.OVER, 0),
    ],
)
def test_the_days_that_are_left_count_begun_ones(passed, phase, left):
    state = trial_state(POLICY, start_trial(POLICY, Account("a", "freemium"), "trial", NOW), at(START + passed))

    assert (phase, left, days(14), START + days(30)) == (state.phase, state.days_left, state.length, state.longest)


def test_an_account_without_a_trial_has_no_state():
    assert trial_state(POLICY, Account("acme", "freemium"), NOW) is None


def test_a_trial_without_a_start_is_not_measured():
    state = trial_state(POLICY, Account("a", "freemium", trial=Trial("trial", None, START + days(300))), NOW)

    assert (None, None, Phase.RUNNING, 300) == (state.length, state.longest, state.phase, state.days_left)


def test_a_trial_over_a_paid_tier_ends_in_it_or_in_what_a_change_made_of_it():
    account = Account("a", "small-business", changes=(Change("mid-market", at=START + days(10)),))
    trying = start_trial(POLICY, account, "enterprise", NOW, length=days(20))

    assert "mid-market" == trial_state(POLICY, trying, NOW).then
    clock = FakeClock(START)
    acme = Enforcer(POLICY, clock=clock)
    assert acme.can(trying, "sso")
    clock.set(START + days(20))
    assert "mid-market" == acme.entitlements(trying).tier


def test_a_trial_is_prolonged_within_the_bounds_of_its_plan():
    trying = start_trial(POLICY, Account("acme", "freemium"), "trial", NOW)

    assert START + days(30) == extend_trial(POLICY, trying, NOW, by=days(16)).trial.ends
    with pytest.raises(AccountError, match="would last 31 days; it can be prolonged by 16 days"):
        extend_trial(POLICY, trying, NOW, by=days(17))
    with pytest.raises(ValueError, match="prolongs nothing"):
        extend_trial(POLICY, trying, NOW, by=days(0))


def test_what_is_over_is_neither_prolonged_nor_ended():
    trying = start_trial(POLICY, Account("acme", "freemium"), "trial", NOW)

    for late in (START + days(14), START + days(99)):
        with pytest.raises(AccountError, match="the trial of 'trial' ended"):
            extend_trial(POLICY, trying, at(late), by=days(1))
        with pytest.raises(AccountError, match="the trial of 'trial' ended"):
            end_trial(POLICY, trying, at(late))
    with pytest.raises(AccountError, match="has no trial"):
        end_trial(POLICY, Account("acme", "freemium"), NOW)


def test_a_trial_may_end_early():
    trying = start_trial(POLICY, Account("acme", "freemium"), "mid-market", NOW, length=days(5))

    assert Account("acme", "freemium") == end_trial(POLICY, trying, NOW)


@given(passed=st.timedeltas(timedelta(0), days(40)), length=st.timedeltas(days(14), days(30)))
def test_the_state_says_what_enforcement_does(passed, length):
    clock = FakeClock(START)
    trying = start_trial(POLICY, Account("a", "freemium"), "trial", NOW, length=length)
    clock.advance(passed)
    state = trial_state(POLICY, trying, clock())

    assert ("trial" if state.phase is Phase.RUNNING else state.then) == Enforcer(POLICY, clock=clock).entitlements(
        trying
    ).tier
    assert timedelta(days=state.days_left) >= state.left > timedelta(days=state.days_left - 1)
    json.dumps(state.to_dict())


# --- Conversion metrics -----------------------------------------------------------------------------------------


def test_the_seven_conversion_metrics_of_tier_4():
    journeys = [
        Journey("a", "trial", START, activated=START + days(1), converted=START + days(9), features=("leads", "leads")),
        Journey("b", "trial", START, last_seen=START + days(4), left_at="import of leads"),
        Journey(
            "c", "trial", START, activated=START + days(2), last_seen=START + days(6), features=("leads", "reports")
        ),
        Journey("d", "freemium", START, converted=START + days(80), last_seen=START + days(90)),
        Journey("e", "tier-4", START, left_at="import of leads"),
        Journey("f", "freemium", START, left_at="second log-in"),
    ]
    metrics = conversion_metrics(POLICY, journeys)

    assert 7 == len(POLICY.tiers["freemium"].values["conversion-metrics"]) == len(metrics.to_dict())
    assert (3, Decimal("33.3"), Decimal("33.3")) == (
        metrics.trial_sign_ups,
        metrics.trial_to_paid,
        metrics.free_to_paid,
    )
    assert (Decimal("33.3"), days(6)) == (metrics.activation, metrics.engagement)
    assert [("leads", Decimal("33.3")), ("reports", Decimal("16.7"))] == list(metrics.feature_usage.items())
    assert [("import of leads", 2), ("second log-in", 1)] == list(metrics.drop_offs.items())


def test_nothing_measured_is_no_rate_of_zero():
    metrics = conversion_metrics(POLICY, [])

    assert (0, None, None, None, None) == (
        metrics.trial_sign_ups, metrics.trial_to_paid, metrics.free_to_paid, metrics.activation, metrics.engagement,
    )  # fmt: skip


def test_a_journey_that_cannot_be_is_named():
    with pytest.raises(AccountError, match=r"account 'a': converted .* lies before started"):
        Journey("a", "trial", START, converted=START - days(1))
    with pytest.raises(AccountError, match="account 'a': plan 'gold' is no tier"):
        conversion_metrics(POLICY, [Journey("a", "gold", START)])
