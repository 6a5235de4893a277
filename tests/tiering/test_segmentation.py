"""Segmentation by share of a total and by rules, for any number of tiers, with a reason for each account."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Policy, PolicyError
from entitlements.tiering.assignment import GapKind, assign
from entitlements.tiering.segmentation import measure_of, segment, segmentations, summary, thresholds


def policy(cuts=((15,), (55,), ()), **segmentations):
    """Return a policy with a tier for each cut, the first the highest."""
    tiers = [f"t{at}" for at in range(len(cuts))]
    written = [{"tier": tier, **dict(zip(["below"], cut, strict=False))} for tier, cut in zip(tiers, cuts, strict=True)]
    return Policy.parse(
        {
            "policy": {"version": "g1"},
            "tiers": {tier: {"rank": len(cuts) - at} for at, tier in enumerate(tiers)},
            "assignment": {
                "binding": "arr",
                "criteria": {
                    "arr": {"kind": "amount", "attributes": ["Annual Value"], "least": 0},
                    "seats": {"kind": "count"},
                    "industry": {"kind": "word"},
                },
                "rules": [{"tier": tiers[0], "when": {"arr": {"from": 100}}}, {"tier": tiers[-1]}],
            },
            "segmentations": {"share": {"share-of": "arr", "cuts": written}, **segmentations},
        }
    )


POLICY = policy()


def tiers(policy, values, by="share"):
    return [found.tier for found in segment(policy, [{"arr": value} for value in values], by=by)]


def test_an_account_belongs_where_its_share_begins():
    """The total is 100, the largest first: 35 begins at 0 %, 20 at 35 %, and every 15 at 55 %."""
    assert ["t1", "t0", "t2", "t2", "t2"] == tiers(POLICY, [20, 35, 15, 15, 15])


def test_a_cut_is_half_open():
    """An account that begins at exactly 45 % is not below a cut of 45 %."""
    assert ["t0", "t1", "t2"] == tiers(policy(((45,), (50,), ())), [45, 30, 25])


def test_equal_accounts_stay_together():
    assert ["t0"] * 10 == tiers(POLICY, [7] * 10)


def test_an_account_of_nothing_is_in_the_last_tier():
    assert ["t2", "t0", "t2"] == tiers(POLICY, [0, 10, 0])
    assert ["t2", "t2"] == tiers(POLICY, [0, 0])


def test_every_account_is_explained():
    base = [Account("a", "t0", attributes={"Annual Value": "$60"}), {"arr": 40}, {"arr": 0}]

    assert [
        "arr 60 begins at 0 % of the total, below 15 %",
        "arr 40 begins at 60 % of the total, in the rest",
        "arr 0 adds nothing to the total, so it is in the last tier",
    ] == [found.because for found in segment(POLICY, base, by="share")]


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({}, GapKind.UNKNOWN),
        ({"arr": -1}, GapKind.CONTRADICTORY),
        ({"arr": "$1", "Annual Value": 2}, GapKind.CONTRADICTORY),
    ],
)
def test_an_account_whose_value_is_not_known_is_a_gap_and_moves_nobody(attributes, why):
    found = list(segment(POLICY, [{"arr": 60}, attributes, {"arr": 40}], by="share"))

    assert ["t0", None, "t2"] == [each.tier for each in found]
    assert (why, ("arr",)) == (found[1].gap.why, found[1].gap.criteria)


values = st.lists(st.decimals(0, 10**9, places=2) | st.sampled_from([Decimal(0), Decimal(5)]), min_size=1, max_size=30)
all_cuts = st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True).map(sorted)


@given(values, all_cuts, st.randoms())
def test_a_share_is_what_its_definition_says_in_any_order(values, cuts, random):
    """The exact sum of larger values decides: equal values agree, larger ones are never lower, order is irrelevant."""
    divided = policy((*((cut,) for cut in cuts), ()))
    total = sum(map(Fraction, values))

    def expected(value):
        begins = sum(Fraction(each) for each in values if each > value)
        fits = (at for at, cut in enumerate(cuts) if value > 0 and begins * 100 < cut * total)
        return f"t{next(fits, len(cuts))}"

    shuffled = random.sample(values, len(values))
    assert [expected(value) for value in shuffled] == tiers(divided, shuffled)


@given(values)
def test_the_assignment_rules_are_a_segmentation_too(values):
    found = list(segment(POLICY, [{"arr": value} for value in values]))

    assert [assign(POLICY, {"arr": value}).tier for value in values] == [each.tier for each in found]
    assert all(each.because for each in found)


def test_rules_may_ask_for_any_attribute_and_as_many_tiers_as_there_are():
    rules = [
        {"tier": "t0", "when": {"industry": ["banking"]}},
        {"tier": "t1", "when": {"seats": {"from": 10}}},
        {"tier": "t2"},
    ]
    divided = policy(**{"by-trade": {"rules": rules, "about": "Banks first"}})
    base = [
        {"industry": "Banking", "seats": 2},
        {"industry": "retail", "seats": "12"},
        {"industry": "retail", "seats": 1},
    ]

    assert ["t0", "t1", "t2"] == [found.tier for found in segment(divided, base, by="by-trade")]
    assert ("assignment", "share", "by-trade") == segmentations(divided)
    assert ["seats"] == list(next(segment(divided, [{"industry": "x"}], by="by-trade")).gap.criteria)


def test_the_summary_counts_adds_up_and_shows_the_gaps():
    found = list(segment(POLICY, [{"arr": 60}, {"arr": 30}, {"arr": 10}, {}, {"arr": 0}], by="share"))
    told = summary(POLICY, found)

    assert [("t0", 1, 60, Decimal("60.0")), ("t2", 3, 40, Decimal("40.0")), (None, 1, 0, Decimal("0.0"))] == [
        (each.tier, each.accounts, each.total, each.share) for each in told
    ]
    json.dumps([each.to_dict() for each in (*told, *found)])


def test_a_share_as_figures_gives_the_same_tiers():
    base = [{"arr": value} for value in (60, 30, 10, 5, 5, 1)]
    found = list(segment(policy(((15,), (80,), ())), base, by="share"))
    least = thresholds(POLICY, found)

    assert {"t0": 60, "t1": 30, "t2": 1} == least
    for each in found:
        assert each.tier == next(tier for tier, value in least.items() if each.value >= value)


def test_an_unknown_segmentation_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match="policy g1 has no segmentation 'shares'; did you mean 'share'"):
        segment(POLICY, [], by="shares")
    with pytest.raises(ValueError, match="no segmentation 'x'; there are assignment, share"):
        measure_of(POLICY, "x")
    assert ("arr", "arr") == (measure_of(POLICY), measure_of(POLICY, "share"))


# --- What is wrong with a section -----------------------------------------------------------------------------------

SHARE = {"share-of": "arr", "cuts": [{"tier": "t0", "below": 15}, {"tier": "t1"}]}


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({}, "x: it is neither by share nor by rules, or both; write share-of and cuts, or rules, and not both"),
        (SHARE | {"rules": [{"tier": "t0"}]}, "x: it is neither by share nor by rules, or both"),
        ({"cuts": SHARE["cuts"]}, "x: nothing is shared out; write share-of: <a criterion of numbers>"),
        ({"share-of": "arr"}, "x: there are no cuts; write cuts"),
        (SHARE | {"share-of": "industry"}, "x.share-of: 'industry' is a word; name a criterion of numbers"),
        (SHARE | {"share-of": "ar"}, "x.share-of: there is no criterion 'ar'; did you mean 'arr'?"),
        (SHARE | {"cuts": [{"tier": "t0"}, {"tier": "t1"}]}, "x.cuts[0]: the cut does not end"),
        (SHARE | {"cuts": [{"tier": "t0", "below": 15}]}, "x.cuts[0].below: the last cut ends; leave below out"),
        (SHARE | {"cuts": [{"tier": "t0", "below": 150}, {"tier": "t1"}]}, "x.cuts[0].below: 150 is no percentage"),
        (SHARE | {"cuts": [{"below": 15}, {"tier": "t1"}]}, "x.cuts[0].tier: the cut has no tier"),
        (SHARE | {"cuts": [{"tier": "gold", "below": 15}, {"tier": "t1"}]}, "x.cuts[0].tier: there is no tier 'gold'"),
        (
            SHARE | {"cuts": [{"tier": "t0", "below": 15}, {"tier": "t0"}]},
            "x.cuts[1].tier: 't0' has a cut already; give each tier one cut",
        ),
        (
            SHARE | {"cuts": [{"tier": "t0", "below": 55}, {"tier": "t1", "below": 15}, {"tier": "t2"}]},
            "x.cuts[1].below: 15 is not above 55, where the cut before ends",
        ),
        ({"rules": [{"tier": "t0", "when": {"arr": {"from": 9}}}]}, "x.rules: no rule fits an account with arr"),
        ({"rules": [{"tier": "t0", "when": {"size": 9}}]}, "x.rules[0].when.size: 'size' is neither a criterion"),
        (SHARE | {"cut": []}, "x.cut: unknown key 'cut'; did you mean 'cuts'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_cure(section, problem):
    with pytest.raises(PolicyError) as error:
        policy(x=section)
    told = [str(each).removeprefix("<mapping>: segmentations.") for each in error.value.problems]

    assert any(each.startswith(problem) for each in told), told
