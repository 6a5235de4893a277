"""
Time one question, "may this account use sso?", for the library of one environment and for a plain function.

    python -m benchmarks.can_cases growthbook     # prints the nanoseconds of each case as JSON

A dictionary holds the plan of each account, as it would after a session was read. A library
that knows plans but no accounts gets the plan.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import rounds

ACCOUNT, PLAN, FEATURE = "northwind", "enterprise", "sso"
PLANS = {ACCOUNT: PLAN}
HAVING_IT = ("enterprise",)
BASE = "base"
SNAPSHOT = "snapshot.can(feature)"
"""The one question that names no account: it is the account's own."""


def base():
    """Return a function that does one `dict.get` and one `frozenset` test, as in `benchmarks.embedded`."""
    plain = {ACCOUNT: frozenset((FEATURE, "api", "webhooks"))}

    def can(account, feature):
        features = plain.get(account)
        return features is not None and feature in features

    return can


def entitlements():
    """Return the questions to ours: an enforcer, the module-level call, and one account's snapshot."""
    from entitlements import Enforcer, Policy, can, use

    policy = Policy.load(Path(__file__).parent.parent / "policies" / "customer-tiers")
    enforcer = Enforcer(policy, accounts=PLANS)
    use(enforcer)
    return {
        "Enforcer.can(account, feature)": enforcer.can,
        "can(account, feature)": can,
        SNAPSHOT: enforcer.entitlements(ACCOUNT).can,
    }


def openfeature():
    """Return the questions to OpenFeature's in-memory provider: with a new context each, and with one that is kept."""
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagResolutionDetails, Reason
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    def by_plan(flag, context):
        variant = "on" if context.attributes.get("plan") in HAVING_IT else "off"
        return FlagResolutionDetails(flag.variants[variant], variant=variant, reason=Reason.TARGETING_MATCH)

    flag = InMemoryFlag("off", {"on": True, "off": False}, context_evaluator=by_plan)
    api.set_provider(InMemoryProvider({FEATURE: flag}))
    client = api.get_client()
    kept = {account: EvaluationContext(account, {"plan": plan}) for account, plan in PLANS.items()}

    def new_context(account, feature):
        return client.get_boolean_value(feature, False, EvaluationContext(account, {"plan": PLANS[account]}))

    def kept_context(account, feature):
        return client.get_boolean_value(feature, False, kept[account])

    return {"get_boolean_value, a new context": new_context, "get_boolean_value, context kept": kept_context}


def growthbook():
    """Return the questions to GrowthBook: with a new object each, as for each request, and with one that is kept."""
    from growthbook import GrowthBook

    rule = {"condition": {"plan": {"$in": list(HAVING_IT)}}, "force": True}
    features = {FEATURE: {"defaultValue": False, "rules": [rule]}}

    def made(account):
        return GrowthBook(attributes={"id": account, "plan": PLANS[account]}, features=features)

    kept = {account: made(account) for account in PLANS}

    def new_object(account, feature):
        return made(account).is_on(feature)

    def kept_object(account, feature):
        return kept[account].is_on(feature)

    return {"is_on, a new GrowthBook": new_object, "is_on, GrowthBook kept": kept_object}


LIBRARIES = {"entitlements": entitlements, "openfeature": openfeature, "growthbook": growthbook}


def timed(library):
    """Return the nanoseconds of each question once, the base among them, in shuffled order."""
    questions = {BASE: base(), **LIBRARIES[library]()}
    for name, question in questions.items():
        answer = question(FEATURE) if name == SNAPSHOT else question(ACCOUNT, FEATURE)
        if answer is not True:
            raise SystemExit(f"{library}, {name}: the account has {FEATURE}, and the answer was {answer!r}")
    asked = {name: (asking_snapshot if name == SNAPSHOT else asking)(question) for name, question in questions.items()}
    [figures] = rounds.measure(asked, 1)
    return figures


def asking(question):
    """Return a function that asks the question a given number of times."""

    def run(loops):
        for _ in range(loops):
            question(ACCOUNT, FEATURE)

    return run


def asking_snapshot(question):
    """Return a function that asks an account's snapshot a given number of times."""

    def run(loops):
        for _ in range(loops):
            question(FEATURE)

    return run


if __name__ == "__main__":
    print(json.dumps(timed(sys.argv[1])))
