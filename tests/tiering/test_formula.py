"""The formula agrees with the assignment rules, checked with a small formula interpreter."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from entitlements import Policy
from entitlements.tiering.assignment import assign
from entitlements.tiering.formula import formula

POLICIES = Path(__file__).resolve().parents[2] / "policies"
TOKEN = re.compile(r'\s*("(?:[^"]|"")*"|[A-Z_a-z]+|-?[0-9.]+|>=|<=|[<>=(),])')


class Reader:
    """Evaluates a formula as a spreadsheet does: the branch that an IF does not take is never evaluated."""

    def __init__(self, text, value):
        self.tokens = TOKEN.findall(text)
        self.value = value

    def expression(self):
        left = self.term()
        while self.tokens and self.tokens[0] in {">=", "<=", ">", "<", "="}:
            sign, right = self.tokens.pop(0), self.term()
            left = self.value is not None and {
                ">=": left >= right, "<=": left <= right, ">": left > right, "<": left < right, "=": left == right
            }[sign]  # fmt: skip
        return left

    def term(self):
        token = self.tokens.pop(0)
        if token.startswith('"'):
            return token[1:-1].replace('""', '"')
        if self.tokens and self.tokens[0] == "(":
            return self.call(token)
        if token in {"TRUE", "FALSE"}:
            return token == "TRUE"
        return (self.value if self.value is not None else Decimal(0)) if token == "ARR" else Decimal(token)

    def call(self, name):
        arguments = []
        while self.tokens.pop(0) in {"(", ","}:
            arguments.append(self.expression())
            if self.tokens[0] == ")":
                self.tokens.pop(0)
                break
        return {
            "IF": lambda test, yes="", no="": yes if test else no,
            "AND": lambda *each: all(each),
            "OR": lambda *each: any(each),
            "NOT": lambda each: not each,
            "ISBLANK": lambda _: self.value is None,
        }[name](*arguments)


def policy(rules):
    tiers = {f"t{n}": {"rank": n, "name": f'Tier "{n}"'} for n in range(5)}
    section = {"binding": "arr", "criteria": {"arr": {"kind": "amount"}}, "rules": rules}
    return Policy.parse({"policy": {"version": 1}, "tiers": tiers, "assignment": section})


def bounded(policy, least, most):
    """Return the policy with bounds of the criterion that make some rules unreachable."""
    rules = policy.assignment
    ends = {name: None if end is None else Decimal(end) for name, end in (("least", least), ("most", most))}
    return replace(policy, assignment=replace(rules, criteria={"arr": replace(rules.criteria["arr"], **ends)}))


def agrees(policy, value, *, labels=False):
    names = {id: tier.name if labels else id for id, tier in policy.tiers.items()}
    written = formula(policy.assignment, names, "ARR").text
    tier = assign(policy, {} if value is None else {policy.assignment.binding: value}).tier
    return Reader(written, value).expression(), "" if tier is None else names[tier]


@given(st.none() | st.decimals(-10, 200_000, places=2), st.sampled_from(["customer-tiers", "second-funnel"]))
def test_the_formulas_of_the_policies_say_what_the_policies_say(value, name):
    said, expected = agrees(Policy.load(POLICIES / name), value)

    assert expected == said


@st.composite
def ladders(draw):
    """Return rules over falling bounds, with or without upper bounds, inclusive or not, so that some leave a gap."""
    bounds = sorted(draw(st.sets(st.integers(-10, 10), min_size=1, max_size=4)), reverse=True)
    rules, before = [], None
    for at, bound in enumerate(bounds):
        low = draw(st.sampled_from(["from", "above"]))
        test = {low: bound}
        if before is not None and draw(st.booleans()):
            test |= {draw(st.sampled_from(["below", "to"])): before}
        when = {"arr": test}
        rules.append({"tier": f"t{at}", "name": f"r{at}", "when": when, "precedence": True})
        before = bound
    return [*rules, {"tier": "t4", "name": "rest"}]


@given(ladders(), st.sampled_from([(None, None), (0, None), (-5, 8)]))
def test_a_formula_says_what_its_rules_say(rules, bounds):
    """Checked at every bound and on both sides of it."""
    written = bounded(policy(rules), *bounds)

    for halves in range(-24, 25):
        said, expected = agrees(written, Decimal(halves) / 2, labels=True)
        assert expected == said
    assert "" == agrees(written, None)[0]


def test_conditions_are_written_whole():
    rules = [
        {
            "tier": "t1",
            "when": {"any": [{"arr": {"above": 5, "to": 7}}, {"arr": [9, 10]}, {"not": {"arr": {"from": 0}}}]},
        },
        {"tier": "t0", "name": "rest"},
    ]
    written = policy(rules)

    assert (
        'IF(ISBLANK(ARR), "", IF(OR(AND(ARR > 5, ARR <= 7), OR(ARR = 9, ARR = 10), NOT(ARR >= 0)), "t1",'
        ' IF(TRUE, "t0", "")))'
    ) == formula(written.assignment, {tier: tier for tier in written.tiers}, "ARR").text
    for value in map(Decimal, range(-2, 12)):
        said, expected = agrees(written, value)
        assert expected == said
