"""
The conformance suite of the OpenFeature specification, with `EntitlementsProvider` as the provider under test.

The account of an evaluation is named like its flag, and its tier like the variant that the suite expects.
"""

import asyncio
import contextlib
import json
from dataclasses import replace
from threading import Event, Thread

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationOptions
from openfeature.hook import Hook
from pytest_bdd import given, parsers, scenarios, then, when

from entitlements import Account, Enforcer, Policy
from entitlements.errors import StoreError
from entitlements.integrations.openfeature import EntitlementsProvider
from entitlements.model.events import AccountsDown

scenarios("evaluation.feature", "evaluation_v2.feature", "hooks.feature", "metadata.feature")

register = getattr(api, "set_provider_and_wait", api.set_provider)
"""Waits until the provider is initialised, as `set_provider` does before 0.10 of the SDK."""
OBJECT = {"showImages": True, "title": "Check out these pics!", "imagesPerPage": 100}
EMPTY = {"no text": "", "no object": {}}
"""Values that a policy cannot write, by what stands for them."""
ZERO = {"boolean": False, "string": "no text", "integer": 0, "float": 0, "object": "no object"}
TARGETED = {f"{kind}-targeted-zero-flag": value for kind, value in ZERO.items()}
TIERS = {
    "on": {"boolean-flag": True, "metadata-flag": True},
    "greeting": {"string-flag": "hi", "wrong-flag": "uno"},
    "ten": {"integer-flag": 10},
    "half": {"float-flag": 0.5},
    "template": {"object-flag": OBJECT} | {f"{kind}-disabled-flag": value for kind, value in ZERO.items()},
    "zero": {"context-aware": "EXTERNAL", "complex-targeted": "EXTERNAL"}
    | {f"{kind}-zero-flag": value for kind, value in ZERO.items()}
    | TARGETED,
}
INSIDER = {"context-aware": "INTERNAL", "complex-targeted": "INTERNAL"} | TARGETED
VARIANTS = {"boolean": "on", "string": "greeting", "integer": "ten", "float": "half", "object": "template"}
METADATA = {"string": "1.0.2", "integer": 2, "float": 0.1, "boolean": True}
NAMES = {"Boolean": "boolean", "String": "string", "Integer": "integer", "Float": "float", "Object": "object"}


def policy():
    written = {
        "policy": {"version": 1, "unknown_account": "zero"},
        "tiers": {name: {"rank": rank, "values": values} for rank, (name, values) in enumerate(TIERS.items(), 1)},
        "add_ons": {"insider": {"values": INSIDER}},
    }
    loaded = Policy.parse(written)
    return replace(loaded, tiers=without_placeholders(loaded.tiers), add_ons=without_placeholders(loaded.add_ons))


def without_placeholders(bundles):
    def real(value):
        return EMPTY.get(value, value) if isinstance(value, str) else value

    return {
        name: replace(each, values={key: real(value) for key, value in each.values.items()})
        for name, each in bundles.items()
    }


def accounts():
    flags = {f"{kind}-flag": tier for kind, tier in VARIANTS.items()}
    flags |= {f"{kind}-zero-flag": "zero" for kind in ZERO} | {f"{kind}-disabled-flag": "on" for kind in ZERO}
    insider = Account("insider", "on", add_ons={"insider": 1})
    return flags | {"metadata-flag": "on", "wrong-flag": "greeting", "insider": insider}


def account_of(context):
    attributes = context.attributes
    inside = attributes.get("customer") is False or attributes.get("email") == "ballmer@macrosoft.com"
    return "insider" if inside else context.targeting_key


def metadata_of(key):
    return METADATA if key == "metadata-flag" else {}


def provider_of(make, **options):
    return EntitlementsProvider(make, account=account_of, metadata=metadata_of, **options)


class Recorder(Hook):
    """Records the stages of a hook, in a list that hooks may share."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def before(self, hook_context, hints):
        self.calls.append((self.name, "before", None))

    def after(self, hook_context, details, hints):
        self.calls.append((self.name, "after", details))

    def error(self, hook_context, exception, hints):
        self.calls.append((self.name, "error", exception))

    def finally_after(self, hook_context, details, hints):
        self.calls.append((self.name, "finally", details))


class World:
    """The flags, the provider and the results of one scenario."""

    def __init__(self):
        self.client, self.calls, self.attributes, self.options = api.get_client(), [], {}, None
        self.asked, self.loaded, self.starting = Event(), Event(), None

    def ask(self, kind, key, default, *, details=True):
        suffix = "details" if details else "value"
        ask = getattr(self.client, f"get_{kind}_{suffix}")
        self.details = ask(key, default, EvaluationContext(key, self.attributes), self.options)
        return self.details


@pytest.fixture
def world():
    world = World()
    yield world
    world.loaded.set()
    if world.starting is not None:
        world.starting.join(60)
    api.shutdown()
    api.clear_providers()


def number(kind, text):
    """Return a value that the suite writes as a text."""
    text = text.replace('\\"', '"')
    return text if kind == "string" else json.loads(text)


# -- Providers -----------------------------------------------------------------------------------------------------


@given("a stable provider")
def stable(world, request):
    """The feature that wants flags without metadata has a provider that adds none of its own."""
    has_own = "Metadata" not in {mark.name for mark in request.node.iter_markers()}
    register(provider_of(Enforcer(policy(), accounts=accounts()), provenance=has_own))


@given("a not ready provider")
def not_ready(world):
    def make():
        world.asked.set()
        world.loaded.wait(60)
        return Enforcer(policy(), accounts=accounts())

    world.starting = Thread(target=register, args=(provider_of(make),), daemon=True)
    world.starting.start()
    while not world.asked.wait(0.01):
        assert world.starting.is_alive()


@given("a error provider")
def failing(world):
    def make():
        raise StoreError("the store does not answer")

    with contextlib.suppress(OpenFeatureError):
        register(provider_of(make))


@given("a fatal provider")
def fatal(world):
    with contextlib.suppress(OpenFeatureError):
        register(provider_of(lambda: Enforcer(Policy.parse({}))))


@given("a stale provider")
def stale(world):
    enforcer = Enforcer(policy(), accounts=accounts())
    register(provider_of(enforcer))
    enforcer._hooks.notify(AccountsDown("it is gone"))


@then(parsers.re(r'the provider status should be "(?P<status>\w+)"'))
def status(world, status):
    assert status == world.client.get_provider_status().value


# -- The second suite ----------------------------------------------------------------------------------------------


@given(parsers.re(r'an? (?P<kind>\w+)-flag with key "(?P<key>[^"]+)" and a fallback value "(?P<default>.*)"'))
def flag(world, kind, key, default):
    world.kind, world.key = NAMES.get(kind, kind), key
    world.default = number(world.kind, default)


@given(
    parsers.re(r'a context containing a key "(?P<name>\w+)", with type "(?P<kind>\w+)" and with value "(?P<value>.*)"')
)
def context_entry(world, name, kind, value):
    world.attributes[name] = number(NAMES[kind], value)


@given(parsers.re(r'a context containing a key "(?P<name>\w+)" with null value'))
def null_entry(world, name):
    world.attributes[name] = None


@given("an evaluation context with modifiable data")
def modifiable(world):
    world.attributes["groups"] = ["a", "b"]


@given("evaluation options containing specific hooks")
def options(world):
    world.options = FlagEvaluationOptions(hooks=[Recorder("first", world.calls), Recorder("second", world.calls)])


@when("the flag was evaluated with details")
@when("the flag was evaluated with details using the evaluation options")
def evaluated(world):
    world.ask(world.kind, world.key, world.default)


@when("the flag was evaluated with details asynchronously")
def evaluated_async(world):
    async def run():
        ask = getattr(world.client, f"get_{world.kind}_details_async")
        return await ask(world.key, world.default, EvaluationContext(world.key, world.attributes))

    world.details = asyncio.run(run())


@then("the evaluation should complete without blocking")
def completed(world):
    assert world.details is not None


@then(parsers.re(r'the resolved details value should be "(?P<value>.*)"'))
def value_is(world, value):
    expected = number(world.kind, value)
    assert expected == world.details.value
    assert type(expected) is type(world.details.value)


@then(parsers.re(r'the reason should be "(?P<reason>\w+)"'))
def reason_is(world, reason):
    assert reason == world.details.reason


@then(parsers.re(r'the error-code should be "(?P<code>\w+)"'))
def error_code_is(world, code):
    assert code == world.details.error_code


@then(parsers.re(r'the flag key should be "(?P<key>[^"]+)"'))
def key_is(world, key):
    assert key == world.details.flag_key


@then(parsers.re(r'the variant should be "(?P<variant>\w+)"'))
def variant_is(world, variant):
    assert variant == world.details.variant


@then("the resolved metadata should contain")
def metadata_contains(world, datatable):
    expected = {name: number(NAMES[kind], value) for name, kind, value in datatable[1:]}
    assert expected == {name: world.details.flag_metadata[name] for name in expected}


@then("the resolved metadata is empty")
def metadata_is_empty(world):
    assert {} == world.details.flag_metadata


@then("the specified hooks should execute during evaluation")
def hooks_ran(world):
    assert {"first", "second"} == {name for name, _, _ in world.calls}


@then("the hook order should be maintained")
def hooks_in_order(world):
    assert [name for name, stage, _ in world.calls if stage == "before"] == ["first", "second"]
    assert [name for name, stage, _ in world.calls if stage == "finally"] == ["second", "first"]


@then("the original evaluation context should remain unmodified")
def context_unmodified(world):
    assert world.attributes == {"groups": ["a", "b"]}


@then("the evaluation details should be immutable")
def details_immutable(world):
    """Details that a caller changes are its own: another evaluation returns others."""
    first = dict(world.details.flag_metadata)
    world.details.flag_metadata["source"] = "changed"
    assert first == world.ask(world.kind, world.key, world.default).flag_metadata


# -- Hooks ---------------------------------------------------------------------------------------------------------


@given("a client with added hook")
def hooked(world):
    world.client.add_hooks([Recorder("hook", world.calls)])


@then(parsers.re(r'the "(?P<stage>before|error)" hook should have been executed'))
def hook_ran(world, stage):
    assert stage in {called for _, called, _ in world.calls}


@then(parsers.re(r'the "(?P<stages>[\w, ]+)" hooks should be called with evaluation details'))
def hooks_had(world, stages, datatable):
    for stage in stages.split(", "):
        (details,) = [details for _, called, details in world.calls if called == stage]
        for kind, name, value in datatable[1:]:
            found = getattr(details, name)
            assert (None if value == "null" else number(kind, value)) == found


# -- The first suite -----------------------------------------------------------------------------------------------

FIRST = r'an? (?P<kind>boolean|string|integer|float) flag with key "(?P<key>[^"]+)" is evaluated with '


@when(parsers.re(FIRST + r'(?P<details>details and )?default value "?(?P<default>[^"]*)"?'))
def asked(world, kind, key, details, default):
    world.found = world.ask(kind, key, number(kind, default), details=bool(details))


@when(
    parsers.re(
        r'an object flag with key "(?P<key>[^"]+)" is evaluated with (?P<details>details and )?a null default value'
    )
)
def asked_object(world, key, details):
    world.found = world.ask("object", key, {}, details=bool(details))


@then(parsers.re(r'the resolved (?P<kind>boolean|string|integer|float) value should be "?(?P<value>[^"]*)"?'))
def first_value_is(world, kind, value):
    assert number(kind, value) == world.found


OBJECT_FIELDS = (
    'value should be contain fields "showImages", "title", and "imagesPerPage", with values'
    ' "true", "Check out these pics!" and 100, respectively'
)


@then(f"the resolved object {OBJECT_FIELDS}")
def object_is(world):
    assert world.found == OBJECT


@then(f"the resolved object details {OBJECT_FIELDS}")
def object_details_are(world):
    assert world.found.value == OBJECT


@then(
    parsers.re(
        r'the resolved (?P<kind>\w+) details value should be "?(?P<value>[^"]*)"?,'
        r' the variant should be "(?P<variant>\w+)", and the reason should be "(?P<reason>\w+)"'
    )
)
def details_are(world, kind, value, variant, reason):
    found = world.found
    assert (number(kind, value), variant, reason) == (found.value, found.variant, found.reason)


@then(parsers.re(r'the variant should be "(?P<variant>\w+)", and the reason should be "(?P<reason>\w+)"'))
def variant_and_reason_are(world, variant, reason):
    assert (variant, reason) == (world.found.variant, world.found.reason)


@when('context contains keys "fn", "ln", "age", "customer" with values "Sulisław", "Świętopełk", 29, "false"')
def person(world):
    world.attributes |= {"fn": "Sulisław", "ln": "Świętopełk", "age": 29, "customer": False}


@when('a flag with key "context-aware" is evaluated with default value "EXTERNAL"')
def context_aware(world):
    world.found = world.ask("string", "context-aware", "EXTERNAL", details=False)


@then('the resolved string response should be "INTERNAL"')
def internal(world):
    assert world.found == "INTERNAL"


@then('the resolved flag value is "EXTERNAL" when the context is empty')
def external(world):
    world.attributes = {}
    assert world.ask("string", "context-aware", "EXTERNAL", details=False) == "EXTERNAL"


@when('a non-existent string flag with key "missing-flag" is evaluated with details and a fallback value "uh-oh"')
def missing(world):
    world.found = world.ask("string", "missing-flag", "uh-oh")


@then("the default string value should be returned")
def default_string(world):
    assert world.found.value == "uh-oh"


@when('a string flag with key "wrong-flag" is evaluated as an integer, with details and a fallback value 13')
def wrong(world):
    world.found = world.ask("integer", "wrong-flag", 13)


@then("the default integer value should be returned")
def default_integer(world):
    assert world.found.value == 13


@then(
    parsers.re(
        "the reason should indicate an error and the error code should indicate a (?:missing flag|type mismatch)"
        r' with "(?P<code>\w+)"'
    )
)
def error_is(world, code):
    assert ("ERROR", code) == (world.found.reason, world.found.error_code)
