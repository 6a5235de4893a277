"""An order whose period ends do not fit the store's clock is repeated with those that do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from strategies import NOW

from entitlements import Account, Enforcer, Policy, StoreError
from entitlements.model.answers import Outcome, Outdated, Periods, Settled, Status, Totalled
from entitlements.model.charge import Read, ReadHistory, Release, Settle, SetUsage, Verb
from entitlements.model.instants import DAY
from entitlements.model.resolution import resolution_of
from entitlements.rules.planning import plan
from entitlements.rules.stale_answers import is_final, is_stale, reject_stale, with_fresh_ends

POLICY = Policy.parse(
    {
        "policy": {"version": 1},
        "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}},
        "tiers": {"one": {"rank": 1, "limits": {"api": "10 per hour", "leads": 5}}},
    }
)
ENTITLEMENTS = Enforcer(POLICY).entitlements(Account("acme", "one", anchor=17))
STALE = [
    Outcome(Status.STALE, NOW), Settled(False, stale=True), Totalled(None, stale=True), Periods((), stale=True)
]  # fmt: skip
FINAL = [Outcome(Status.ADMITTED, NOW), Settled(True), Totalled(None), Periods(()), True, 3]


@pytest.mark.parametrize(("answers", "stale", "final"), [(STALE, True, False), (FINAL, False, True), ([Outdated(1, 2)], False, False)])  # fmt: skip
def test_an_answer_is_stale_outdated_or_final(answers, stale, final):
    assert [(stale, final)] * len(answers) == [(is_stale(each), is_final(each)) for each in answers]


def charge_at(now):
    """Return a charge that is planned at an instant."""
    return plan(ENTITLEMENTS, Verb.CONSUME, {"leads": 1, "api": 1}, now, operation="a").order


def orders_at(now):
    """Return an order of each kind that carries period ends."""
    charge = charge_at(now)
    quota = next(part for part in charge.parts if part.ends)
    return [
        charge, Read("acme", charge.parts), SetUsage("acme", quota), ReadHistory("acme", quota),
        Settle("acme", "o:a", recharge=charge),
    ]  # fmt: skip


@pytest.mark.parametrize("later", [-40 * DAY, 40 * DAY])
@pytest.mark.parametrize("answer", STALE, ids=lambda answer: type(answer).__name__)
def test_a_stale_order_is_repeated_as_one_that_is_made_at_the_time_of_the_store(answer, later):
    answer = answer._replace(now=NOW + later)
    calendar = resolution_of(ENTITLEMENTS).calendar

    assert orders_at(NOW + later) == [with_fresh_ends(each, answer, calendar) for each in orders_at(NOW)]


@pytest.mark.parametrize("order", [Release("acme", "leads", 1), replace(Settle("acme", "o:a"), amounts=())])
def test_an_order_without_period_ends_cannot_be_stale(order):
    with pytest.raises(StoreError, match="carries no period ends"):
        with_fresh_ends(order, STALE[0], resolution_of(ENTITLEMENTS).calendar)


def test_an_order_that_is_stale_twice_fails_and_any_other_answer_is_the_answer():
    assert FINAL == [reject_stale(each) for each in FINAL]
    for answer in STALE:
        with pytest.raises(StoreError, match="clock moved by whole periods"):
            reject_stale(answer)
