"""The section `assignment` of a policy: its language, and flaws of a list of rules."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Policy, PolicyError
from entitlements.model.conditions import All, AnyOf, Between, IsKnown, Not, OneOf
from entitlements.model.criteria import AssignmentRules, Criterion, CriterionKind, Rule
from entitlements.tiering.conditions import criteria_of, describe, holds
from entitlements.tiering.coverage import Flaw, find_flaws

CRITERIA = {
    "value": {"kind": "amount", "least": 0},
    "agents": {"kind": "count", "least": 1},
    "industry": {"kind": "word"},
    "new": {"kind": "flag", "missing": False},
}
REST = {"tier": "low"}


def policy(rules, criteria=CRITERIA, **more):
    """Return a policy of two tiers with these rules."""
    section = {"binding": "value", "criteria": criteria, "rules": rules, **more}
    return Policy.parse(
        {"policy": {"version": 1}, "tiers": {"low": {"rank": 1}, "high": {"rank": 2}}, "assignment": section}
    )


def when(condition):
    """Return a condition, read under the policy."""
    return policy([{"tier": "high", "when": condition}, REST]).assignment.rules[0].when


def problems(rules, **more):
    """Return the errors and warnings about these rules."""
    try:
        return [str(problem) for problem in policy(rules, **more).warnings]
    except PolicyError as error:
        return [str(problem) for problem in error.problems]


# --- The language -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"value": {"from": 5}}, Between("value", low=Decimal(5))),
        ({"value": {"above": 5}}, Between("value", low=Decimal(5), above=True)),
        ({"value": {"to": 5}}, Between("value", high=Decimal(5))),
        ({"value": {"below": 5}}, Between("value", high=Decimal(5), below=True)),
        ({"value": {"from": 5, "below": 9}}, Between("value", Decimal(5), Decimal(9), below=True)),
        ({"industry": "carrier"}, OneOf("industry", ("carrier",))),
        ({"industry": {"is": "Local Agency"}}, OneOf("industry", ("local-agency",))),
        ({"industry": ["carrier", "broker"]}, OneOf("industry", ("carrier", "broker"))),
        ({"agents": {"in": [1, 2]}}, OneOf("agents", (1, 2))),
        ({"new": True}, OneOf("new", (True,))),
        ({"agents": {"known": False}}, IsKnown("agents", known=False)),
        ({"not": {"new": True}}, Not(OneOf("new", (True,)))),
        (
            {"all": [{"agents": {"from": 5}}, {"new": False}]},
            All((Between("agents", low=Decimal(5)), OneOf("new", (False,)))),
        ),
        ({"agents": {"from": 5}, "new": False}, All((Between("agents", low=Decimal(5)), OneOf("new", (False,))))),
        (
            {"any": [{"agents": {"from": 5}}, {"new": True}]},
            AnyOf((Between("agents", low=Decimal(5)), OneOf("new", (True,)))),
        ),
    ],
)
def test_a_condition_is_data(written, read):
    assert read == when(written)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"value": {">=": 5}}, "'>=' is not in the language of conditions; did you mean 'from'? the tests are is, in,"),
        (
            {"value": {"matches": 5}},
            "'matches' is not in the language of conditions; the tests are is, in, from, above",
        ),
        ({"value": {"form": 5}}, "did you mean 'from'?"),
        ({"wages": {"from": 5}}, "'wages' is neither a criterion nor a word that joins conditions"),
        ({"vale": {"from": 5}}, "did you mean 'value'?"),
        ({"from": 5}, "'from' tests no criterion; write the criterion first"),
        ("value > 5", "'value > 5' is not a condition"),
        ({}, "{} is not a condition"),
        ({"all": []}, "[] is not a list of conditions"),
        ({"any": {"new": True}}, "is not a list of conditions"),
        ({"not": 5}, "5 is not a condition"),
        ({"value": {}}, "nothing is tested"),
        ({"value": {"from": "5"}}, "'5' is nothing that 'value' can be; write a number"),
        ({"value": {"from": True}}, "True is nothing that 'value' can be"),
        ({"agents": {"from": Decimal("1.5")}}, "1.5 is nothing that 'agents' can be; write a whole number"),
        ({"industry": {"from": 5}}, "'industry' has no order to compare by; write is or in"),
        ({"industry": 5}, "5 is nothing that 'industry' can be"),
        ({"new": "yes"}, "'yes' is nothing that 'new' can be; write true or false"),
        ({"value": {"from": 5, "above": 5}}, "from and above bound the same end"),
        ({"value": {"is": 5, "from": 5}}, "is stands beside other tests"),
        ({"value": {"known": 5}}, "known: 5 is neither true nor false"),
        ({"value": {"in": 5}}, "5 is not a list of values"),
    ],
)
def test_a_condition_that_is_not_in_the_language_is_named(written, problem):
    (found,) = problems([{"tier": "high", "when": written}, REST])

    assert found.startswith("<mapping>: assignment.rules[0].when")
    assert problem in found


def test_every_problem_is_told_with_its_line(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(
        "policy: {version: 1}\n"
        "tiers: {low: {rank: 1}}\n"
        "assignment:\n"
        "  binding: wages\n"
        "  criteria:\n"
        "    value: {kind: money}\n"
        "    not: {kind: flag}\n"
        "    agents: {kind: count, attributes: [heads]}\n"
        "    people: {kind: count, attributes: [heads], missing: 1.5, least: 5, most: 1, colour: red}\n"
        "  rules:\n"
        "    - {tier: top, when: {agents: {from: 5}}}\n"
        "    - {when: {agents: {from: 5}}}\n"
        "    - {tier: low, wenn: {agents: {from: 5}}}\n"
        "    - {tier: low}\n"
        "  signals:\n"
        "    agents: {low: {known: false}, top: {from: 5}}\n"
        "    wages: {low: 5}\n"
    )
    with pytest.raises(PolicyError) as caught:
        Policy.load(file)
    lines = [(problem.line, problem.path) for problem in caught.value.problems]

    assert [
        (4, "assignment.binding"),
        (6, "assignment.criteria.value.kind"),
        (7, "assignment.criteria.not"),
        (9, "assignment.criteria.people.colour"),
        (9, "assignment.criteria.people.least"),
        (9, "assignment.criteria.people.missing"),
        (9, "assignment.criteria.people.attributes"),
        (11, "assignment.rules[0].tier"),
        (12, "assignment.rules[1].tier"),
        (13, "assignment.rules[2].wenn"),
        (14, "assignment.rules[3]"),
        (16, "assignment.signals.agents.low"),
        (16, "assignment.signals.agents.top"),
        (17, "assignment.signals.wages"),
    ] == sorted(lines, key=lambda each: each[0])


# --- Rules that overlap, never match or leave a gap -------------------------------------------------------------


def test_rules_that_overlap_are_told_with_an_account_that_fits_both():
    (found,) = problems(
        [{"tier": "high", "when": {"value": {"from": 50}}}, {"tier": "low", "when": {"value": {"to": 50}}}]
    )

    assert "warning: assignment.rules[1]: rule 'low' overlaps 'high', which comes first" in found
    assert "an account with value 50 fits both" in found


@pytest.mark.parametrize(
    "first",
    [
        {"tier": "high", "when": {"new": True}, "precedence": True},
        {"tier": "low", "name": "newcomers", "when": {"new": True}},
    ],
)
def test_a_rule_may_be_meant_to_go_before_others_or_lead_to_the_same_tier(first):
    assert [] == problems([first, {"tier": "low", "when": {"value": {"from": 0}}}])


def test_the_last_rule_may_take_all_the_rest():
    assert [] == problems([{"tier": "high", "when": {"value": {"from": 50}}}, REST])


@pytest.mark.parametrize(
    "never",
    [
        {"value": {"from": 9, "to": 5}},
        {"value": {"above": 5, "below": 5}},
        {"value": {"below": 0}},
        {"agents": {"above": 4, "below": 5}},
        {"all": [{"new": True}, {"new": False}]},
        {"not": {"any": [{"value": {"from": 5}}, {"value": {"below": 5}}]}},
    ],
)
def test_a_rule_that_no_account_can_fit_is_an_error(never):
    (found,) = problems([{"tier": "high", "when": never}, REST])

    assert "assignment.rules[0]: rule 'high' never matches: no account can fit it" in found


def test_a_rule_that_always_comes_too_late_is_an_error_with_an_account_and_the_rule_that_takes_it():
    (found,) = problems(
        [
            {"tier": "low", "when": {"value": {"from": 0}}},
            {"tier": "high", "when": {"value": {"from": 50}}},
        ]
    )

    assert "rule 'high' never matches: an earlier one takes every account, for example value" in found
    assert "by 'low'" in found


@pytest.mark.parametrize(
    ("rules", "example"),
    [
        ([{"value": {"from": 0, "to": 24_999}}, {"value": {"from": 25_000}}], "value 24,999.5"),
        ([{"value": {"below": 25_000}}, {"value": {"above": 25_000}}], "value 25,000"),
        ([{"agents": {"from": 1, "to": 3}}, {"agents": {"from": 5}}], "agents 4"),
        ([{"industry": ["carrier"]}, {"industry": ["broker"]}], "industry anything-else"),
        ([{"new": True}, {"value": {"from": 5}}], "new no, value 0"),
    ],
)
def test_a_gap_is_an_error_with_an_account_that_falls_into_it(rules, example):
    found = problems([{"tier": tier, "when": rule} for tier, rule in zip(("low", "high"), rules, strict=True)])

    assert any(f"assignment.rules: no rule fits an account with {example}" in each for each in found), found


def test_two_rules_have_two_names():
    (found,) = problems([{"tier": "low", "when": {"value": {"below": 5}}}, REST])

    assert "two rules are called 'low'; give one of the two another name" in found


def test_bands_of_a_signal_may_nest():
    assert [] == problems([REST], signals={"agents": {"low": {"from": 1, "to": 3}, "high": {"from": 1, "to": 9}}})


def test_bands_of_a_signal_that_overlap_without_nesting_are_told_with_a_value_in_both():
    (found,) = problems([REST], signals={"agents": {"low": {"from": 1, "to": 5}, "high": {"from": 4}}})

    assert "warning: assignment.signals.agents.high: the band overlaps that of 'low': 4 lies in both" in found


def test_a_band_that_holds_no_value_is_an_error():
    (found,) = problems([REST], signals={"agents": {"low": {"from": 5, "to": 1}}})

    assert "no value lies in this band" in found


def test_more_combinations_than_can_be_tried_are_said_so():
    criteria = {**CRITERIA, **{f"c{at}": {"kind": "flag"} for at in range(20)}}
    (found,) = problems([{"tier": "high", "when": {f"c{at}": True for at in range(20)}}, REST], criteria=criteria)

    assert "too many values to try all their combinations (50,000 at most)" in found


# --- The check is exhaustive ---------------------------------------------------------------------------------------

KINDS = {
    "value": Criterion("value", CriterionKind.AMOUNT, ("value",), least=Decimal(0)),
    "agents": Criterion("agents", CriterionKind.COUNT, ("agents",), least=Decimal(1), most=Decimal(9)),
    "industry": Criterion("industry", CriterionKind.WORD, ("industry",)),
    "new": Criterion("new", CriterionKind.FLAG, ("new",)),
}


def between(name):
    bound = st.none() | st.integers(-1, 10).map(Decimal)
    return st.builds(Between, st.just(name), bound, bound, st.booleans(), st.booleans())


TESTS = st.one_of(
    between("value"),
    between("agents"),
    st.builds(OneOf, st.just("industry"), st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2).map(tuple)),
    st.builds(OneOf, st.just("new"), st.booleans().map(lambda flag: (flag,))),
    st.builds(OneOf, st.just("agents"), st.integers(1, 9).map(lambda number: (number,))),
)
RULES = st.lists(
    st.recursive(
        TESTS,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(All, st.lists(inner, max_size=2).map(tuple)),
            st.builds(AnyOf, st.lists(inner, max_size=2).map(tuple)),
        ),
        max_leaves=4,
    ),
    min_size=1,
    max_size=4,
).map(lambda whens: tuple(Rule(f"r{at}", "tu"[at % 2], when) for at, when in enumerate(whens)))
SOMEBODY = st.fixed_dictionaries(
    {
        "value": st.decimals(0, 12, places=1),
        "agents": st.integers(1, 9),
        "industry": st.sampled_from(["x", "y", "z"]),
        "new": st.booleans(),
    }
)


@given(rules=RULES, somebody=SOMEBODY)
def test_whom_the_check_overlooks_there_is_not(rules, somebody):
    """A rule reported as never deciding decides no account; without a reported gap every account gets a tier."""
    findings = find_flaws(AssignmentRules("value", KINDS, rules))
    decides = next((at for at, rule in enumerate(rules) if holds(rule.when, somebody)), None)

    assert decides not in {finding.rule for finding in findings if finding.flaw in {Flaw.NEVER, Flaw.SHADOWED}}
    assert decides is not None or any(finding.flaw is Flaw.GAP for finding in findings)


@given(rules=RULES)
def test_every_example_shows_what_it_is_an_example_of(rules):
    for finding in find_flaws(AssignmentRules("value", KINDS, rules)):
        whole = {"value": Decimal(1), "agents": 1, "industry": "z", "new": False} | dict(finding.example or {})
        fitting = [at for at, rule in enumerate(rules) if holds(rule.when, whole)]
        match finding.flaw:
            case Flaw.GAP:
                assert [] == fitting
            case Flaw.SHADOWED:
                assert finding.other == fitting[0] < finding.rule
            case Flaw.OVERLAP:
                assert {finding.rule, finding.other} <= {*fitting}


# --- What conditions mean ---------------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.builds(Between, st.sampled_from("ab"), st.decimals(0, 9, places=0), st.decimals(0, 9, places=0)),
    st.builds(OneOf, st.sampled_from("ab"), st.lists(st.integers(0, 9), max_size=3).map(tuple)),
    st.builds(IsKnown, st.sampled_from("ab"), st.booleans()),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
KNOWN = st.dictionaries(st.sampled_from("ab"), st.integers(0, 9))


@given(condition=CONDITIONS, known=KNOWN)
def test_not_turns_an_answer_round_and_leaves_the_unknown(condition, known):
    answer = holds(condition, known)

    assert (None if answer is None else not answer) is holds(Not(condition), known)


def without_known(condition):
    """Return True if a condition has no `known` test."""
    parts = condition.parts if isinstance(condition, All | AnyOf) else ()
    parts = (condition.part,) if isinstance(condition, Not) else parts
    return not isinstance(condition, IsKnown) and all(without_known(part) for part in parts)


@given(condition=CONDITIONS.filter(without_known), known=KNOWN, rest=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_what_is_told_about_the_known_stands_whatever_the_rest_turns_out_to_be(condition, known, rest):
    answer = holds(condition, known)
    whole = holds(condition, dict(zip("ab", rest, strict=True)) | known)

    assert whole is not None
    assert answer in {None, whole}


@given(condition=CONDITIONS)
def test_a_condition_can_be_read_by_people(condition):
    assert describe(condition)
    assert set(criteria_of(condition)) <= {"a", "b"}
