"""
The feature of the OpenFeature specification about merged contexts.

`EntitlementsProvider` is the provider under test: its `account=` function is given the merged context.
"""

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationOptions
from openfeature.hook import Hook
from openfeature.transaction_context import ContextVarsTransactionContextPropagator
from pytest_bdd import given, parsers, scenarios, then, when

from entitlements import Enforcer, Policy
from entitlements.integrations.openfeature import EntitlementsProvider

scenarios("contextMerging.feature")

register = getattr(api, "set_provider_and_wait", api.set_provider)
POLICY = {
    "policy": {"version": 1},
    "features": {"sso": "Single sign-on."},
    "tiers": {"pro": {"rank": 1, "features": ["sso"]}},
}


class Adding(Hook):
    """Adds entries to the context before an evaluation."""

    def __init__(self, context):
        self.context = context

    def before(self, hook_context, hints):
        return self.context


class Levels:
    """The contexts of each level, and the one that the provider was given."""

    def __init__(self):
        self.entries, self.order, self.merged = {}, [], None

    def add(self, level, key, value):
        self.entries.setdefault(level, {})[key] = value

    def context(self, level):
        return EvaluationContext(attributes=self.entries.get(level, {}))

    def account(self, merged):
        self.merged = merged
        return "acme"


@pytest.fixture
def levels():
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    yield Levels()
    api.set_evaluation_context(EvaluationContext())
    api.set_transaction_context(EvaluationContext())
    api.shutdown()
    api.clear_providers()


@given("a stable provider with retrievable context is registered")
def registered(levels):
    register(EntitlementsProvider(Enforcer(Policy.parse(POLICY), accounts={"acme": "pro"}), account=levels.account))


@given(parsers.parse('A context entry with key "{key}" and value "{value}" is added to the "{level}" level'))
def entry(levels, key, value, level):
    levels.add(level, key, value)


@given("A table with levels of increasing precedence")
def precedence(levels, datatable):
    levels.order = [level for (level,) in datatable]


@given(
    parsers.parse(
        'Context entries for each level from API level down to the "{level}" level, with key "{key}" and value "{value}"'
    )
)
def entries(levels, level, key, value):
    """Every level writes its own name: the last one, *value*, has to win."""
    assert value == level
    for each in levels.order[: levels.order.index(level) + 1]:
        levels.add(each, key, each)


@when("Some flag was evaluated")
def evaluated(levels):
    api.set_evaluation_context(levels.context("API"))
    api.set_transaction_context(levels.context("Transaction"))
    client = api.get_client()
    client.context = levels.context("Client")
    options = FlagEvaluationOptions(hooks=[Adding(levels.context("Before Hooks"))])
    assert client.get_boolean_value("sso", False, levels.context("Invocation"), options)


@then(parsers.parse('The merged context contains an entry with key "{key}" and value "{value}"'))
def contains(levels, key, value):
    assert value == levels.merged.attributes[key]
