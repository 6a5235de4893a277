"""Services: their section in a policy, entitlement, and cost in relation to payment."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Enforcer, Override, Policy, PolicyError, Trial, UnknownFeature
from entitlements.model.instants import to_instant
from entitlements.model.services import Service
from entitlements.testing import FakeClock
from entitlements.tiering.service_costs import ServiceFit, serve, serve_base
from entitlements.tiering.services import cost_of, in_variant, tier_lines, value_of

START = datetime(2026, 11, 2, 15, tzinfo=UTC)
NOW = to_instant(START)
D = Decimal

ASSIGNMENT = {
    "binding": "arr",
    "criteria": {"arr": {"kind": "amount", "least": 0}, "trade": {"kind": "word"}},
    "rules": [{"tier": "high", "when": {"arr": {"from": 1000}}}, {"tier": "low"}],
}
SERVICES = {
    "margin": D("0.3"),
    "over": 50,
    "under": 5,
    "catalogue": {
        "review": {"name": "Review", "about": "We look at it", "cost": 100},
        "visit": {"about": "We come", "cost": 250, "margin": D("0.5"), "times": 1},
        "faq": {"name": "FAQ", "about": "Answers", "cost": 1, "self-service": True},
    },
    "variants": {
        "now": {"low": {"faq": "yearly"}, "high": {"review": "quarterly", "faq": 0}},
        "later": {"low": {"faq": 12}, "high": {"review": 1, "visit": 2}},
    },
    "variant": "now",
}
TIERS = {"low": {"rank": 1}, "high": {"rank": 2, "extends": "low"}}


def policy(services=SERVICES, **sections):
    written = {"policy": {"version": "s1"}, "tiers": TIERS, "assignment": ASSIGNMENT, "services": services}
    return Policy.parse(written | sections)


def problems(services, **sections):
    with pytest.raises(PolicyError) as error:
        policy(services, **sections)
    return [str(each).removeprefix("<mapping>: ") for each in error.value.problems]


POLICY = policy()


def account(tier, arr=None, **named):
    return Account("acme", tier, attributes={} if arr is None else {"ARR": arr}, **named)


# --- Who is entitled ------------------------------------------------------------------------------------------------


def test_a_service_is_a_feature():
    enforcer = Enforcer(POLICY, clock=FakeClock(START))
    decision = enforcer.decide(account("low"), "service.review")

    assert enforcer.can(account("high"), "service.review")
    assert (False, "not-included", "high") == (decision.allowed, decision.reason, decision.remedy.tier)
    assert "We look at it" == POLICY.features["service.review"].about


def test_an_unknown_service_is_an_unknown_feature_with_the_nearest():
    with pytest.raises(UnknownFeature, match=r"did you mean 'service\.review'"):
        Enforcer(POLICY).can(account("low"), "service.reviews")


def test_a_tier_gets_what_it_inherits_unless_it_is_0_times():
    heirs = policy(tiers=TIERS | {"middle": {"rank": 1, "extends": "low"}})

    assert [["faq"], ["review"], ["faq"]] == [
        [line.service.id for line in tier_lines(heirs, tier)] for tier in ("low", "high", "middle")
    ]


def test_another_variant_changes_who_is_entitled_and_how_often():
    later = in_variant(POLICY, "later")

    assert [("review", 1), ("visit", 2), ("faq", 12)] == [
        (line.service.id, line.times) for line in tier_lines(later, "high")
    ]
    assert Enforcer(later).can(account("high"), "service.visit")
    assert not Enforcer(POLICY).can(account("high"), "service.visit")
    with pytest.raises(TypeError, match="read-only"):
        later.tiers["high"] = later.tiers["low"]
    with pytest.raises(ValueError, match=r"no variant of services 'latter'; did you mean 'later'"):
        in_variant(POLICY, "latter")


def test_an_add_on_or_an_override_gives_a_service_as_often_as_the_catalogue_says():
    sold = policy(add_ons={"on-site": {"features": ["service.visit"], "price": "400 per year"}})
    bought = serve(sold, account("low", 5000, add_ons={"on-site": 1}), now=NOW)
    promised = Override("service.visit", True, reason="a promise", author="sales", expires=START + timedelta(days=9))
    granted = account("low", 5000, overrides=(promised,))

    assert {"faq": 1, "visit": 1} == {line.service.id: line.times for line in bought.lines}
    assert (D(251), D(1) * D("1.3") + D(250) * D("1.5")) == (bought.cost, bought.value)
    assert D(251) == serve(POLICY, granted, now=NOW).cost
    assert D(1) == serve(POLICY, granted, now=NOW + 10 * 86_400 * 10**6).cost


def test_a_trial_is_served_as_its_tier_while_it_runs():
    trying = account("low", 5000, trial=Trial("high", START - timedelta(days=1), START + timedelta(days=1)))

    assert ("high", D(400)) == (serve(POLICY, trying, now=NOW).tier, serve(POLICY, trying, now=NOW).cost)


# --- What it costs, and what is paid --------------------------------------------------------------------------------

amounts = st.decimals(0, 10**6, places=2)


@given(cost=amounts, margin=st.decimals(0, 5, places=3), times=st.integers(0, 365).map(Decimal))
def test_assessed_value_is_a_mark_up_on_cost_a_year(cost, margin, times):
    service = Service("x", "X", "", cost, margin)

    assert cost * times == cost_of(service, times)
    assert cost * times * (1 + margin) == value_of(service, times)


@pytest.mark.parametrize(
    ("arr", "servicing", "share"),
    [
        (799, ServiceFit.OVER, D("50.1")),
        (800, ServiceFit.FITTING, D("50.0")),
        (8000, ServiceFit.FITTING, D("5.0")),
        (8001, ServiceFit.UNDER, D("5.0")),
        (0, ServiceFit.OVER, None),
    ],
)
def test_over_and_under_servicing_are_named_beyond_the_bounds(arr, servicing, share):
    served = serve(POLICY, account("high", arr), now=NOW)

    assert (servicing, share, D(400)) == (served.servicing, served.share, served.cost)
    assert served.because


def test_a_payment_next_to_nothing_is_still_a_figure():
    served = serve(POLICY, account("high", "0." + "0" * 36 + "1"), now=NOW)

    assert (ServiceFit.OVER, False) == (served.servicing, served.covered)
    assert served.share == D(400) * 100 * D(10) ** 37


def test_without_bounds_over_servicing_is_what_is_not_paid_for():
    plain = policy({name: each for name, each in SERVICES.items() if name not in {"over", "under"}})

    assert [("over-serviced", False), ("fitting", True)] == [
        (served.servicing, served.covered)
        for served in (serve(plain, account("high", arr), now=NOW) for arr in (399, 400))
    ]


@pytest.mark.parametrize(
    ("arr", "told"), [(None, "arr is not known"), ("-5", "-5 is below 0"), ("many", "not a number")]
)
def test_what_an_account_pays_is_known_or_named_and_never_guessed(arr, told):
    served = serve(POLICY, account("high", arr), now=NOW)

    assert (ServiceFit.UNKNOWN, None, None) == (served.servicing, served.share, served.covered)
    assert told in served.because


def test_a_missing_cost_margin_or_interval_is_named_and_adds_nothing():
    gaps = SERVICES | {"margin": None, "catalogue": {
        "review": {"about": "x"}, "visit": {"about": "y", "cost": 10}, "faq": {"about": "z", "cost": 1}
    }}  # fmt: skip
    del gaps["margin"]
    odd = Override("service.visit", True, reason="a promise", author="sales")
    served = serve(policy(gaps), account("high", 8000, overrides=(odd,)), now=NOW)

    assert (ServiceFit.UNKNOWN, 0) == (served.servicing, served.cost)
    assert ("what 'review' costs is not said", "how often 'visit' is given is not said") == served.unknown[:2]
    assert "the margin of 'visit' is not said" in served.unknown


def test_what_was_given_beyond_or_short_of_what_is_due_is_told_by_service():
    served = serve(POLICY, account("high", 1000), now=NOW, given={"review": 3, "visit": 1})

    assert {"review": -1, "visit": 1} == {line.service.id: line.beyond for line in served.lines}
    assert (D(400), D(550), ServiceFit.OVER) == (served.cost, served.given_cost, served.servicing)
    with pytest.raises(ValueError, match="'revue' is no service; did you mean 'review'"):
        serve(POLICY, account("high"), now=NOW, given={"revue": 1})
    with pytest.raises(ValueError, match="'review' given -1 times"):
        serve(POLICY, account("high"), now=NOW, given={"review": -1})


def test_a_base_is_added_up_by_tier():
    base = [
        Account("a", "high", attributes={"arr": 500}),
        Account("b", "high", attributes={"arr": 100}),
        Account("c", "low", attributes={"arr": 10}),
        Account("d", "low"),
        Account("e", "high", attributes={"arr": 100_000}),
    ]
    served = serve_base(POLICY, base, now=NOW)

    assert [("high", 3, 100_600, 1200), ("low", 2, 10, 2)] == [
        (each.tier, each.accounts, each.against, each.cost) for each in served.tiers
    ]
    assert (("b", "a"), ("e",), ()) == (served.tiers[0].over, served.tiers[0].under, served.tiers[0].unknown)
    assert (("d",), D(100_610), D(1202)) == (served.whole.unknown, served.whole.against, served.whole.cost)
    json.dumps(served.to_dict())


@given(st.lists(st.tuples(st.sampled_from(["low", "high"]), st.none() | st.integers(0, 10**6)), max_size=12))
def test_the_whole_is_the_sum_of_its_tiers(rows):
    base = [account(tier, arr) for tier, arr in rows]
    served = serve_base(POLICY, base, now=NOW)

    for figure in ("accounts", "against", "cost", "value"):
        assert getattr(served.whole, figure) == sum(getattr(each, figure) for each in served.tiers)
    kinds = served.whole.over + served.whole.under + served.whole.unknown
    assert len(kinds) + sum(each.servicing is ServiceFit.FITTING for each in served.accounts) == len(rows)


def test_a_policy_without_services_says_so():
    with pytest.raises(ValueError, match=r"policy s1 has no services; write a section `services`"):
        serve(Policy.parse({"policy": {"version": "s1"}, "tiers": TIERS}), account("low"), now=NOW)


# --- What is wrong with a section -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"variant": "then"}, "services.variant: there is no variant 'then'; there are: now, later"),
        ({"variant": None}, "services.variant: there are several variants, and none is chosen; write variant: now"),
        ({"variants": {"now": {"top": {}}}}, "services.variants.now.top: there is no tier 'top'"),
        (
            {"variants": {"now": {"low": {"reviews": 1}}}},
            "services.variants.now.low.reviews: there is no service 'reviews'; did you mean 'review'?",
        ),
        (
            {"variants": {"now": {"low": {"review": "hourly"}}}},
            "services.variants.now.low.review: 'hourly' does not say how often a year; write a number such as 4",
        ),
        ({"variants": {"now": {"low": {"review": -1}}}}, "services.variants.now.low.review: -1 does not say how often"),
        ({"catalogue": {"review": {"cost": 1}}}, "services.catalogue.review.about: nobody can tell what 'review' is"),
        ({"catalogue": {"review": {"about": "x", "cost": -1}}}, "services.catalogue.review.cost: -1 is negative"),
        ({"catalogue": {"review": {"about": "x", "price": 1}}}, "services.catalogue.review.price: unknown key 'price'"),
        ({"margin": -1}, "services.margin: -1 is negative; write 0 or more"),
        ({"under": 60}, "services.under: under is above over; exchange the two"),
        ({"against": "trade"}, "services.against: 'trade' is a word; name a criterion of numbers"),
        ({"against": "acv"}, "services.against: there is no criterion 'acv'"),
        ({"catalog": {}}, "services.catalog: unknown key 'catalog'; did you mean 'catalogue'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_cure(change, problem):
    written = {name: value for name, value in (SERVICES | change).items() if value is not None}

    assert any(each.startswith(problem) for each in problems(written)), problems(written)


def test_a_service_is_given_to_tiers_by_variants_alone():
    tiers = TIERS | {"low": {"rank": 1, "features": ["service.review"]}}

    assert ["tiers.low.features[0]: 'service.review' is a service; give it to 'low' under services.variants"] == (
        problems(SERVICES, tiers=tiers)
    )


def test_a_service_is_defined_once():
    told = problems(SERVICES, features={"service.review": "again"}, tiers=TIERS)

    assert any("'service.review' is defined in another section too; remove it there" in each for each in told)
