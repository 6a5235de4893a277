"""Reviews and their triggers, read from the counters of enforcement."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, AsyncEnforcer, Change, Enforcer, FeatureRequests, Override, Policy, PolicyError, Trial
from entitlements.model.instants import to_instant
from entitlements.model.usage import Period
from entitlements.testing import FakeClock
from entitlements.tiering.reviews import FlagShare, combine_reviews, review
from entitlements.tiering.terms import term_faults, terms_of
from entitlements.tiering.triggers import Action, Cause, FeatureRequest, MeasuredUsage

POLICIES = Path(__file__).resolve().parents[2] / "policies"
CUSTOMER_TIERS = POLICIES / "customer-tiers"
POLICY = Policy.load(CUSTOMER_TIERS)
START = datetime(2026, 7, 10, 12, tzinfo=UTC)
VALUES = {"enterprise": 150_000, "mid-market": 50_000, "small-business": 12_000, "freemium": 0}
LIMITS = {"mid-market": 100_000, "small-business": 5_000, "freemium": 100}
PATHS = [("freemium", "small-business", 2), ("small-business", "mid-market", 3), ("mid-market", "enterprise", 1)]


def account(tier, **attributes):
    return Account("acme", tier, attributes={"annual-value": VALUES[tier], **attributes})


def months(acme, clock, used):
    """Consume the leads of each month in turn, and stop in the month after the last."""
    for leads in used:
        acme.set_usage("leads", leads)
        clock.set((clock.now.replace(day=1) + timedelta(days=32)).replace(day=10))


def reviewed(who, used=(), *, set_now=None, requests=(), events=()):
    """Return the review of an account after some months of usage."""
    clock = FakeClock(START)
    acme = Enforcer(POLICY, accounts={who.id: who}, clock=clock).account(who.id)
    months(acme, clock, used)
    for limit, total in (set_now or {}).items():
        acme.set_usage(limit, total)
    return acme.review(requests=requests, events=events)


def causes(found):
    """Return the cause and name of each reason of a review."""
    return [(reason.cause, reason.name) for reason in found.reasons]


# --- Upgrade triggers, path by path -----------------------------------------------------------------------------


@pytest.mark.parametrize(("tier", "to", "count"), PATHS)
def test_limits_exceeded_for_as_long_as_the_policy_says_are_an_upgrade(tier, to, count):
    found = reviewed(account(tier), [LIMITS[tier]] * count)

    assert (Action.UPGRADE, to) == (found.action, found.to)
    assert [(Cause.EXCEEDED, "leads")] == causes(found)
    assert count == len(found.reasons[0].evidence["months"])
    assert POLICY.tiers[tier].values["transition.upgrade.process"] == found.process


@pytest.mark.parametrize(("tier", "to", "count"), PATHS)
def test_a_month_less_is_not_enough(tier, to, count):
    found = reviewed(account(tier), [0, 0, *[LIMITS[tier]] * (count - 1), LIMITS[tier] // 2])

    assert Action.KEEP == found.action


@pytest.mark.parametrize("used", [[100, 0, 100], [100, 100, 0], [100, 0, 0, 100, 0]])
def test_consecutive_means_without_a_month_between(used):
    assert Action.KEEP == reviewed(account("freemium"), used).action


def test_months_under_the_smaller_limit_of_a_former_tier_say_nothing_of_the_present_one():
    clock = FakeClock(START)
    acme = Enforcer(POLICY, clock=clock)
    free = account("freemium")
    for _ in range(3):
        acme.set_usage(free, "leads", 100)
        assert not acme.consume(free, "leads").allowed
        clock.set((clock.now.replace(day=1) + timedelta(days=32)).replace(day=10))

    assert Action.UPGRADE is acme.review(free).action
    assert Cause.EXCEEDED not in [cause for cause, _ in causes(acme.review(account("small-business")))]


def test_a_denied_charge_in_each_month_is_exceeding():
    clock = FakeClock(START)
    acme = Enforcer(POLICY, accounts={"acme": account("small-business")}, clock=clock).account("acme")
    for _ in range(3):
        acme.set_usage("leads", 4_990)
        assert not acme.consume("leads", 20).allowed
        clock.set((clock.now.replace(day=1) + timedelta(days=32)).replace(day=10))

    assert (Action.UPGRADE, "mid-market") == (acme.review().action, acme.review().to)


def test_the_running_month_counts_as_soon_as_it_is_exceeded():
    assert Action.KEEP == reviewed(account("freemium"), [100], set_now={"leads": 50}).action
    assert Action.UPGRADE == reviewed(account("freemium"), [100], set_now={"leads": 100}).action


@pytest.mark.parametrize(
    ("tier", "used", "is_full"),
    [("freemium", 2, False), ("freemium", 3, True), ("small-business", 9, False), ("small-business", 12, True),
     ("mid-market", 100, True)],
)  # fmt: skip
def test_a_full_allocation_is_at_its_limit_and_moves_no_account(tier, used, is_full):
    """A freemium account with 3 of 3 agents is what the tier is for: being full is no excess."""
    found = reviewed(account(tier), set_now={"agents": used})

    assert (Action.KEEP, None, None) == (found.action, found.to, found.outreach)
    assert [(Cause.AT_LIMIT, "agents")] * is_full == causes(found)


def refusals(*months, limit=10):
    """Return an allocation's periods with refusals in the months of 2026 by number, newest first."""
    starts = [datetime(2026, month, 1, tzinfo=UTC) for month in sorted(months, reverse=True)]
    return tuple(Period(at, (at + timedelta(days=31)).replace(day=1), 0, 2, limit) for at in starts)


@pytest.mark.parametrize(
    ("tier", "limit", "months", "action"),
    [
        ("freemium", 3, (5, 6), Action.UPGRADE),
        ("freemium", 3, (6,), Action.KEEP),
        ("freemium", 3, (4, 6), Action.KEEP),
        ("freemium", 3, (6, 7), Action.UPGRADE),
        ("small-business", 10, (4, 5, 6), Action.UPGRADE),
        ("small-business", 10, (5, 6), Action.KEEP),
        ("small-business", 3, (4, 5, 6), Action.KEEP),
        ("mid-market", 100, (6,), Action.UPGRADE),
        ("mid-market", 100, (5,), Action.KEEP),
    ],
)
def test_an_allocation_is_exceeded_in_the_months_in_which_a_charge_was_refused(tier, limit, months, action):
    """The review is in July; refusals under the smaller limit of a former tier do not count."""
    measured = MeasuredUsage(history={"agents": refusals(*months, limit=limit)})
    found = review(POLICY, account(tier), now=to_instant(START), measured=measured)

    assert action is found.action
    assert [(Cause.EXCEEDED, "agents")] * (action is Action.UPGRADE) == causes(found)


def test_refusals_of_an_allocation_are_counted_by_month_in_every_store(any_store):
    """Refusals of consume, assign and reserve count in the month of the store's clock; a peek does not."""
    exceeded = {"exceeded": {"percent": 100, "months": 1, "of": 1}, "upgrade": {"to": "high"}}
    policy = Policy.parse({
        "policy": {"version": 1},
        "limits": {name: {"kind": "allocation", "deadline": "10 seconds"} for name in ("agents", "storage")},
        "tiers": {"low": {"rank": 1, "limits": {"agents": 100, "storage": 9}, "values": {"transition": exceeded}},
                  "high": {"rank": 2, "limits": {"agents": 1_000, "storage": 9}}},
    })  # fmt: skip
    who = Account("acme", "low")
    with Enforcer(policy, store=any_store) as acme:
        acme.set_usage(who, "agents", 100)
        acme.set_usage(who, "storage", 5)
        kept = acme.review(who)
        assert not acme.peek(who, "agents").allowed
        still = acme.review(who)
        refused = [acme.consume(who, {"agents": 1, "storage": 1}), acme.assign(who, "agents", "ann"),
                   acme.reserve(who, "agents", 2).decision]  # fmt: skip
        found = acme.review(who)
        (period,) = acme.history(who, "agents", refusals=True)
        with pytest.raises(ValueError, match="history works on a quota"):
            acme.history(who, "agents")

    assert [False] * 3 == [decision.allowed for decision in refused]
    assert [Action.KEEP] * 2 == [kept.action, still.action]
    assert [(Cause.EXCEEDED, "agents")] == causes(found)
    assert [4] == [month["denied"] for month in found.reasons[0].evidence["months"]]
    assert (0, 4, 100) == (period.used, period.denied, period.limit)


def test_rates_do_not_count():
    clock = FakeClock(START)
    acme = Enforcer(POLICY, accounts={"acme": account("small-business")}, clock=clock).account("acme")
    assert [True] * 100 + [False] == [acme.consume("api").allowed for _ in range(101)]

    assert Action.KEEP == acme.review().action


@pytest.mark.parametrize(
    ("tier", "feature", "having"),
    [
        ("freemium", "api-access", "small-business"),
        ("freemium", "sso", "enterprise"),
        ("small-business", "team-collaboration", "mid-market"),
        ("small-business", "integrations:standard", "mid-market"),
        ("mid-market", "sso", "enterprise"),
        ("mid-market", "analytics:advanced", "enterprise"),
    ],
)
def test_a_request_for_a_feature_of_a_higher_tier_is_an_upgrade(tier, feature, having):
    found = reviewed(account(tier), requests=[FeatureRequest(feature, 3)])

    assert Action.UPGRADE is found.action
    assert [(Cause.REQUESTED, feature)] == causes(found)
    assert {"times": 3, "tier": having} == found.reasons[0].evidence


def test_a_request_for_what_the_account_has_meanwhile_is_none():
    """An override satisfies a request; a trial does not, because it ends."""
    sso = Override("sso", value=True, reason="contract", author="deal-desk")
    has = Account("acme", "mid-market", attributes={"annual-value": 50_000}, overrides=(sso,))
    tries = Account("acme", "mid-market", attributes={"annual-value": 50_000},
                    trial=Trial("enterprise", None, START + timedelta(days=9)))  # fmt: skip

    assert Action.KEEP is reviewed(has, requests=[FeatureRequest("sso")]).action
    assert Action.UPGRADE is reviewed(tries, requests=[FeatureRequest("sso")]).action


def test_a_request_for_what_the_tier_has_is_none():
    assert Action.KEEP is reviewed(account("mid-market"), requests=[FeatureRequest("team-collaboration")]).action


@pytest.mark.parametrize(
    ("tier", "attribute", "below", "above"),
    [
        ("small-business", "potential", 25_000, 25_001),
        ("mid-market", "potential_arr", "$100,000", "$100,000.01"),
    ],
)
def test_potential_value_beyond_the_bound_is_an_upgrade(tier, attribute, below, above):
    assert Action.KEEP is reviewed(account(tier, **{attribute: below})).action
    found = reviewed(account(tier, **{attribute: above}))
    assert (Action.UPGRADE, [Cause.ABOVE]) == (found.action, [cause for cause, _ in causes(found)])


@pytest.mark.parametrize("attribute", ["locations", "departments"])
def test_several_locations_or_departments_support_an_upgrade_and_never_decide(attribute):
    """Mid-market itself is "single region or multiple states": alone they are an opportunity."""
    alone = reviewed(account("mid-market", **{attribute: 3}))
    beside = reviewed(account("mid-market", potential=130_000, **{attribute: 3}))
    single = reviewed(account("mid-market", potential=130_000, **{attribute: 1}))

    assert (Action.KEEP, [(Cause.SUPPORTING, attribute)]) == (alone.action, causes(alone))
    assert f"upgrade opportunity: {attribute} 3 is above 1" == alone.reasons[0].text
    assert (Action.UPGRADE, "enterprise") == (beside.action, beside.to)
    assert {(Cause.ABOVE, "potential"), (Cause.SUPPORTING, attribute)} == set(causes(beside))
    assert [(Cause.ABOVE, "potential")] == causes(single)


@pytest.mark.parametrize(("used", "cause"), [(79, None), (80, Cause.APPROACHING), (99, Cause.APPROACHING)])
def test_approaching_a_limit_is_a_conversion_signal_of_tier_4(used, cause):
    found = reviewed(account("freemium"), set_now={"leads": used})

    assert [(cause, "leads")] * (cause is not None) == causes(found)


def test_sales_gets_in_touch_within_24_hours():
    assert timedelta(hours=24) == reviewed(account("freemium"), set_now={"leads": 90}).outreach


def test_a_trial_is_reviewed_as_the_tier_below_it():
    trying = Account("acme", "freemium", trial=Trial("trial", START, START + timedelta(days=14)))
    found = reviewed(trying, requests=[FeatureRequest("api-access")])

    assert ("freemium", Action.UPGRADE, "small-business") == (found.tier, found.action, found.to)


# --- Downgrades, and staying ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "event", "to", "notice"),
    [
        ("enterprise", "renewal-with-less", "mid-market", 90),
        ("enterprise", "downsizing", "mid-market", 90),
        ("mid-market", "renewal-with-less", "small-business", 60),
        ("mid-market", "less-usage", "small-business", 60),
        ("mid-market", "budget-constraints", "small-business", 60),
        ("small-business", "non-renewal", "freemium", 30),
        ("small-business", "other-business-model", "freemium", 30),
    ],
)
def test_a_downgrade_trigger_moves_down_after_its_notice(tier, event, to, notice):
    found = reviewed(account(tier), events=[event])

    assert (Action.DOWNGRADE, to, timedelta(days=notice)) == (found.action, found.to, found.notice)
    assert [(Cause.EVENT, event)] == causes(found)
    assert POLICY.tiers[tier].values["transition.process"] == found.process


@pytest.mark.parametrize("tier", VALUES)
def test_a_closed_business_is_closed_and_not_moved_to_freemium(tier):
    found = reviewed(account(tier), events=["business-closed", "expansion"])

    assert (Action.CLOSE, None) == (found.action, found.to)


@pytest.mark.parametrize("event", ["merger", "acquisition"])
def test_a_merger_asks_for_a_new_look_and_moves_nobody(event):
    found = reviewed(account("mid-market"), events=[event])

    assert (Action.KEEP, [(Cause.EVENT, event)]) == (found.action, causes(found))


@pytest.mark.parametrize("event", ["expansion", "strategic-partnership"])
def test_an_expansion_and_a_partnership_speak_for_an_upgrade(event):
    assert (Action.UPGRADE, "enterprise") == (
        reviewed(account("mid-market"), events=[event]).action,
        reviewed(account("mid-market"), events=[event]).to,
    )


def test_a_brand_ambassador_gets_benefits_and_keeps_the_tier():
    found = reviewed(account("freemium"), events=["brand-ambassador"])

    assert Action.KEEP is found.action
    assert "a grant or an override" in found.reasons[0].text


def test_an_event_that_the_policy_does_not_know_is_named():
    with pytest.raises(ValueError, match="'mergre' is no event that the policy knows; did you mean 'merger'"):
        reviewed(account("freemium"), events=["mergre"])


def test_an_event_that_means_nothing_for_the_tier_is_told():
    found = reviewed(account("freemium"), events=["merger"])

    assert Action.KEEP is found.action
    assert any(text.startswith("merger means nothing for freemium, which knows") for text in found.unknown)


@pytest.mark.parametrize(
    ("tier", "value", "action", "to"),
    [
        ("small-business", 130_000, Action.UPGRADE, "enterprise"),
        ("freemium", 6_000, Action.UPGRADE, "small-business"),
        ("enterprise", 50_000, Action.DOWNGRADE, "mid-market"),
        ("mid-market", 4_000, Action.DOWNGRADE, "freemium"),
        ("mid-market", 25_000, Action.KEEP, None),
    ],
)
def test_revenue_that_belongs_in_another_tier_moves_there(tier, value, action, to):
    found = reviewed(account(tier, **{"annual-value": value}))

    assert (action, to) == (found.action, found.to)


def test_who_announces_a_smaller_commitment_moves_down_even_when_limits_are_exceeded():
    found = reviewed(account("small-business"), [5_000] * 3, events=["non-renewal"])

    assert Action.DOWNGRADE is found.action
    assert [Cause.EXCEEDED] == [other.cause for other in found.others]


@pytest.mark.parametrize(
    ("used", "agents", "action"),
    [
        ([1_250, 1_000, 0], 2, Action.OPTIMISE),
        ([1_251, 1_000, 0], 2, Action.KEEP),
        ([1_250, 1_000], 2, Action.KEEP),
        ([1_250, 1_000, 0], 3, Action.KEEP),
    ],
)
def test_a_quarter_or_less_of_every_limit_for_three_months_is_underused(used, agents, action):
    found = reviewed(account("small-business"), used, set_now={"agents": agents})

    assert action is found.action
    assert [(Cause.UNDERUSED, "usage")] * (action is Action.OPTIMISE) == causes(found)


def test_votes_beside_the_tier_are_told_and_move_nobody():
    found = reviewed(account("mid-market", agents=500, leads=10))

    assert Action.KEEP is found.action
    assert {"upgrade opportunity", "optimisation hint"} == {reason.name for reason in found.reasons}


def test_what_nobody_knows_is_told():
    found = review(POLICY, Account("acme", "freemium", attributes={"agents": 0}), now=0)

    assert "usage was not looked at" in found.unknown
    assert any("annual-value is not known" in text for text in found.unknown)
    assert any(text.startswith("account 'acme': agents: 0 is below 1") for text in found.unknown)


def test_nobody_is_moved_above_the_highest_tier():
    found = reviewed(account("enterprise", locations=38, potential=900_000), events=["expansion"])

    assert (Action.KEEP, None) == (found.action, found.to)


def test_an_agreed_notice_is_the_notice():
    who = Account("acme", "mid-market", attributes={"annual-value": 50_000},
                  overrides=(Override("transition.notice", "7 days", reason="contract", author="legal"),))  # fmt: skip

    assert timedelta(days=7) == reviewed(who, events=["less-usage"]).notice


@pytest.mark.parametrize(("to", "action"), [("freemium", Action.DOWNGRADE), ("enterprise", Action.UPGRADE)])
def test_a_change_that_has_been_decided_stands(to, action):
    who = Account("acme", "small-business", attributes={"annual-value": 60_000},
                  changes=(Change(to, at=START + timedelta(days=9)), Change("mid-market", at=START)))  # fmt: skip
    clock = FakeClock(START - timedelta(days=1))
    found = Enforcer(POLICY, clock=clock).review(who)

    assert (Action.UPGRADE, "mid-market") == (found.action, found.to)
    clock.set(START)
    found = Enforcer(POLICY, clock=clock).review(who)
    assert ("mid-market", action, to) == (found.tier, found.action, found.to)


# --- A whole base -----------------------------------------------------------------------------------------------


def test_a_base_is_counted_and_compared_by_tier():
    whole = combine_reviews(
        POLICY,
        [
            reviewed(Account("a", "mid-market", attributes={"annual-value": 60_000, "agents": 30})),
            reviewed(Account("b", "mid-market", attributes={"annual-value": 30_000, "agents": 10})),
            reviewed(Account("c", "enterprise", attributes={"annual-value": 30_000})),
        ],
    )

    assert {"enterprise": {"downgrade": 1}, "mid-market": {"keep": 2}} == whole.actions
    spread = whole.compared["mid-market"]["annual-value"]
    assert (2, 30_000, 30_000, 60_000) == (spread.count, spread.least, spread.middle, spread.most)
    assert "agents" not in whole.compared["enterprise"]
    json.dumps(whole.to_dict())


def test_flags_are_compared_by_the_share_that_has_them():
    """Of two accounts of tier 1 one renewed on time: 50 %. Of those of tier 3, none is known."""
    policy = Policy.load(POLICIES / "second-funnel")
    rows = [("tier-1", True), ("tier-1", "no"), ("tier-1", None), ("tier-2", "yes"), ("tier-3", None)]
    accounts = [
        Account(f"a{at}", tier, attributes={"arr": 5, **({} if flag is None else {"Renewed on time": flag})})
        for at, (tier, flag) in enumerate(rows)
    ]
    whole = combine_reviews(policy, [review(policy, each, now=0) for each in accounts])

    assert FlagShare(2, 1, Decimal("50.0")) == whole.compared["tier-1"]["renewed-on-time"]
    assert FlagShare(1, 1, Decimal("100.0")) == whole.compared["tier-2"]["renewed-on-time"]
    assert "renewed-on-time" not in whole.compared["tier-3"]


def test_the_async_enforcer_and_the_bound_handles_say_the_same():
    who = account("small-business", potential=30_000)

    async def reviews():
        async with AsyncEnforcer(POLICY, accounts={"acme": who}, clock=FakeClock(START)) as awaited:
            bound = await awaited.account("acme")
            return await awaited.review("acme", events=["merger"]), await bound.review(events=["merger"])

    assert [reviewed(who, events=["merger"])] * 2 == list(asyncio.run(reviews()))


# --- Feature requests, opt-in -----------------------------------------------------------------------------------


def test_denied_questions_are_requests_where_somebody_listens():
    clock, written = FakeClock(START), []
    requests = FeatureRequests(clock=clock, on_request=lambda id, request: written.append((id, request.times)))
    acme = Enforcer(POLICY, accounts={"acme": "small-business"}, clock=clock, hooks=[requests])
    acme.can("acme", "sso")
    clock.advance(timedelta(days=1))
    acme.decide("acme", "sso")
    acme.can("acme", "integrations:standard")
    acme.can("acme", "api-access")
    acme.consume("acme", "custom-dashboards")

    assert (
        FeatureRequest("sso", 2, START, START + timedelta(days=1)),
        FeatureRequest("custom-dashboards", 1, clock.now, clock.now),
        FeatureRequest("integrations:standard", 1, clock.now, clock.now),
    ) == requests.of("acme")
    assert [("acme", 1), ("acme", 2), ("acme", 1), ("acme", 1)] == written
    found = acme.review(account("small-business"), requests=requests.of("acme"))
    assert {"sso", "custom-dashboards", "integrations:standard"} == {reason.name for reason in found.reasons}


def test_what_is_refused_for_another_reason_is_no_request():
    requests = FeatureRequests()
    acme = Enforcer(POLICY, accounts={"acme": Account("acme", "freemium", status="suspended"), "b": "freemium"},
                    hooks=[requests])  # fmt: skip
    acme.can("acme", "sso")
    acme.can("nobody", "sso")
    acme.consume("b", "leads", 101)

    assert ((), (), ()) == (requests.of("acme"), requests.of("nobody"), requests.of("b"))


def test_requests_are_bounded_and_can_be_forgotten():
    requests = FeatureRequests(max_accounts=2)
    acme = Enforcer(POLICY, accounts=dict.fromkeys("abc", "freemium"), hooks=[requests])
    for id in "abc":
        acme.can(id, "sso")

    assert (0, 1, 1) == tuple(len(requests.of(id)) for id in "abc")
    requests.forget("b")
    assert () == requests.of("b")


# --- The policy's side ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transition", "problem"),
    [
        ({"notice": "soon"}, "transition.notice: 'soon' is not what it should be; write a duration"),
        ({"downgrade-to": "hihg"}, "transition.downgrade-to: there is no tier 'hihg'; did you mean 'high'?"),
        ({"downgrade-to": "high"}, "transition.downgrade-to: 'high' is not below 'low'"),
        ({"upgrade": {"to": "low"}}, "transition.upgrade.to: 'low' is not above 'low'"),
        (
            {"upgrade": {"to": "high", "seats-above": 5}},
            "transition.upgrade.seats-above: there is no criterion 'seats'",
        ),
        ({"upgrade": {"to": "high", "kind-above": 5}}, "upgrade.kind-above: 'kind' is a word; compare numbers only"),
        ({"upgrade": {"to": "high", "value-above": "x"}}, "upgrade.value-above: 'x' is not what it should be"),
        ({"exceeded": {"percent": 100, "months": 4, "of": 3}}, "exceeded.months: 4 of 3 months cannot be"),
        ({"underused": {"percent": 25, "months": 0}}, "underused.months: 0 is not what it should be"),
        (
            {"events": {"merger": "panic"}},
            "transition.events.merger: 'panic' is not what it should be; write one of up",
        ),
        (
            {"upgrade": {"to": "high", "supporting": ["value"]}},
            "'value' has no bound to be above; write its bound: value-above: 1",
        ),
        ({"process": "by hand"}, "transition.process: 'by hand' is not what it should be; write a list of texts"),
    ],
)
def test_terms_that_cannot_be_are_told_when_the_policy_is_loaded(transition, problem):
    criteria = {"value": {"kind": "amount"}, "kind": {"kind": "word"}}
    with pytest.raises(PolicyError) as caught:
        Policy.parse(
            {
                "policy": {"version": 1},
                "tiers": {"low": {"rank": 1, "values": {"transition": transition}}, "high": {"rank": 2}},
                "assignment": {"binding": "value", "criteria": criteria, "rules": [{"tier": "low"}]},
            }
        )
    (found,) = caught.value.problems

    assert problem in str(found)
    assert found.path.startswith("tiers.low.values.transition")


def test_exceeded_and_underused_are_values_of_the_policy():
    tiers = {
        "low": {"rank": 1, "limits": {"leads": 10}, "values": {"transition": {
            "exceeded": {"percent": Decimal(50), "months": 1, "of": 2}, "upgrade": {"to": "high"}}}},
        "high": {"rank": 2, "limits": {"leads": 100}},
    }  # fmt: skip
    policy = Policy.parse({"policy": {"version": 1}, "limits": {"leads": {"kind": "quota"}}, "tiers": tiers})
    clock = FakeClock(START)
    acme = Enforcer(policy, clock=clock)
    acme.set_usage(Account("a", "low"), "leads", 5)
    clock.advance(timedelta(days=62))

    assert (Action.UPGRADE, "high") == (acme.review(Account("a", "low")).action, acme.review(Account("a", "low")).to)
    clock.advance(timedelta(days=31))
    assert Action.KEEP is acme.review(Account("a", "low")).action


# --- Total ------------------------------------------------------------------------------------------------------

EVENTS = sorted({event for tier in POLICY.tiers.values() for event in terms_of(tier.values).events})
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["annual-value", "agents", "leads", "industry", "potential", "locations", "evaluating"]),
    st.one_of(st.integers(-5, 300_000), st.sampled_from(["", "carrier", "yes", "-3", "$7,000"])),
)


@given(
    tier=st.sampled_from(sorted(VALUES)),
    attributes=ATTRIBUTES,
    used=st.lists(st.integers(0, 120_000), max_size=4),
    agents=st.integers(0, 120),
    events=st.lists(st.sampled_from(EVENTS), max_size=3),
    feature=st.sampled_from(["sso", "api-access", "analytics:standard", "leads"]),
)
def test_every_account_comes_to_one_action_with_its_reasons(tier, attributes, used, agents, events, feature):
    """Upgrades lead to a higher tier, downgrades to a lower one, and every reason is for the action."""
    who = Account("acme", tier, attributes=attributes)
    found = reviewed(who, used, set_now={"agents": agents}, requests=[FeatureRequest(feature)], events=events)

    assert {reason.speaks_for for reason in found.reasons} <= {found.action}
    assert found.reasons or found.action is Action.KEEP
    assert found.action not in {other.speaks_for for other in found.others}
    rank = POLICY.tiers[found.to].rank - POLICY.tiers[tier].rank if found.to else 0
    assert {Action.UPGRADE: rank > 0, Action.DOWNGRADE: rank < 0}.get(found.action, rank == 0)
    json.dumps(found.to_dict())


# --- The cost of a review ---------------------------------------------------------------------------------------


def calls_of(function, work):
    """Return the number of calls of *function* during *work*."""
    seen = []
    sys.setprofile(lambda frame, event, _: seen.append(1) if event == "call" and frame.f_code is function else None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(seen)


def test_the_terms_of_a_tier_are_checked_once_for_all_of_its_accounts():
    policy = Policy.load(CUSTOMER_TIERS)
    who = [Account(f"a{n}", tier, attributes={"annual-value": 12_000}) for n in range(3) for tier in VALUES]

    checks = calls_of(term_faults.__code__, lambda: [review(policy, each, now=to_instant(START)) for each in who])

    assert checks == len(VALUES)


def test_an_override_of_a_term_is_read_for_its_account_alone():
    notice = Override("transition.notice", timedelta(days=7), reason="promise", author="Ann")
    plain, special = account("mid-market"), account("mid-market")
    special = replace(special, overrides=[notice])
    downgraded = [
        review(POLICY, each, now=to_instant(START), events=["less-usage"]) for each in (plain, special, plain)
    ]

    assert [each.notice.days for each in downgraded] == [60, 7, 60]
