"""`EntitlementsProvider`: what each kind of flag is, its reason and metadata, events, tracking, and what goes wrong."""

import asyncio
import contextlib
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import OpenFeatureError
from openfeature.track import TrackingEventDetails
from trade import WRITTEN, policy

from entitlements import Account, AsyncEnforcer, Enforcer, Grant, Override
from entitlements.integrations.openfeature import EntitlementsProvider
from entitlements.model.events import AccountsBack, AccountsDown, Reloaded, ReloadFailed
from entitlements.model.redaction import digest
from entitlements.testing import FakeClock, Fault
from entitlements.testing.faulty_store import FaultyStore

register = getattr(api, "set_provider_and_wait", api.set_provider)
"""Waits until the provider is initialised, as `set_provider` does before 0.10 of the SDK."""
SECRET = "acme-of-secrets"
ACCOUNTS = {
    "frida": "free",
    "petra": "pro",
    "maxim": "max",
    "polly": Account(
        "polly",
        "pro",
        overrides=[Override("sso", True, reason="pilot", author="ops")],
        grants=[Grant("leads", 5)],
        add_ons={"phone": 1},
    ),
    "sally": Account("sally", "pro", status="suspended"),
    SECRET: "free",
}
EVENTS = {
    ProviderEvent.PROVIDER_READY: "ready",
    ProviderEvent.PROVIDER_CONFIGURATION_CHANGED: "changed",
    ProviderEvent.PROVIDER_STALE: "stale",
    ProviderEvent.PROVIDER_ERROR: "error",
}


def of(account, **attributes):
    return EvaluationContext(account, attributes)


@contextlib.contextmanager
def registered(provider):
    """Register a provider, and yield its client; `client.heard` records its events."""
    register(provider)
    client = api.get_client()
    client.heard = []
    handlers = {
        kind: (lambda details, name=name: client.heard.append((name, details))) for kind, name in EVENTS.items()
    }
    for kind, handler in handlers.items():
        client.add_handler(kind, handler)
    try:
        yield client
    finally:
        for kind, handler in handlers.items():
            client.remove_handler(kind, handler)
        api.shutdown()
        api.clear_providers()


def eventually(condition):
    """Wait until *condition* holds; handlers run in threads of the SDK."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.005)


@pytest.fixture
def enforcer():
    return Enforcer(policy(), accounts=ACCOUNTS, clock=FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC)))


@pytest.fixture
def client(enforcer):
    with registered(EntitlementsProvider(enforcer)) as client:
        yield client


CASES = [
    ("petra", "boolean", "chat", True, "STATIC"),
    ("petra", "boolean", "sso", False, "DISABLED"),
    ("polly", "boolean", "sso", True, "TARGETING_MATCH"),
    ("petra", "boolean", "reports", True, "STATIC"),
    ("petra", "boolean", "reports:basic", True, "STATIC"),
    ("petra", "boolean", "reports:full", False, "DISABLED"),
    ("petra", "string", "reports", "basic", "STATIC"),
    ("frida", "string", "reports", "none", "DISABLED"),
    ("sally", "string", "reports", "?", "DISABLED"),
    ("petra", "boolean", "leads", True, "STATIC"),
    ("frida", "boolean", "api", False, "DISABLED"),
    ("petra", "integer", "leads", 10, "STATIC"),
    ("polly", "integer", "leads", 15, "TARGETING_MATCH"),
    ("maxim", "integer", "leads", 2**53 - 1, "STATIC"),
    ("petra", "float", "leads", 10.0, "STATIC"),
    ("frida", "integer", "api", 0, "DISABLED"),
    ("frida", "integer", "pets", 0, "DISABLED"),
    ("sally", "integer", "leads", 0, "DISABLED"),
    ("petra", "integer", "per-ip", 2, "STATIC"),
    ("petra", "string", "support.phone", "business-hours", "STATIC"),
    ("polly", "string", "support.phone", "always", "TARGETING_MATCH"),
    ("petra", "integer", "support.response", 28800, "STATIC"),
    ("petra", "float", "support.response", 28800.0, "STATIC"),
    ("frida", "integer", "support.response", -1, "DEFAULT"),
    ("petra", "object", "support", {"phone": "business-hours", "response": 28800}, "STATIC"),
    ("polly", "object", "support", {"phone": "always", "response": 28800}, "TARGETING_MATCH"),
    ("stranger", "boolean", "chat", False, "DISABLED"),
    ("stranger", "integer", "leads", 0, "DISABLED"),
    ("stranger", "string", "support.phone", "?", "DISABLED"),
]
DEFAULTS = {"boolean": False, "string": "?", "integer": -1, "float": -1.0, "object": {}}
ERRORS = [
    ("petra", "boolean", "ss0", "FLAG_NOT_FOUND"),
    ("petra", "boolean", "reports:gold", "FLAG_NOT_FOUND"),
    ("petra", "string", "support.fax", "FLAG_NOT_FOUND"),
    ("petra", "string", "sso", "TYPE_MISMATCH"),
    ("petra", "integer", "sso", "TYPE_MISMATCH"),
    ("petra", "integer", "reports", "TYPE_MISMATCH"),
    ("petra", "string", "leads", "TYPE_MISMATCH"),
    ("petra", "object", "leads", "TYPE_MISMATCH"),
    ("petra", "boolean", "support.phone", "TYPE_MISMATCH"),
    ("petra", "integer", "support.phone", "TYPE_MISMATCH"),
    ("petra", "string", "support", "TYPE_MISMATCH"),
    (None, "boolean", "chat", "TARGETING_KEY_MISSING"),
    ("", "boolean", "chat", "TARGETING_KEY_MISSING"),
    ("a\nb", "boolean", "chat", "INVALID_CONTEXT"),
    ("x" * 257, "integer", "leads", "INVALID_CONTEXT"),
    (5, "boolean", "chat", "INVALID_CONTEXT"),
]


@pytest.mark.parametrize(("account", "kind", "key", "value", "reason"), CASES)
def test_a_flag_is_what_the_account_has(client, account, kind, key, value, reason):
    details = getattr(client, f"get_{kind}_details")(key, DEFAULTS[kind], of(account))

    assert (value, reason, None) == (details.value, details.reason, details.error_code)
    assert type(value) is type(details.value)


@pytest.mark.parametrize(("account", "kind", "key", "code"), ERRORS)
def test_a_question_that_has_no_answer_has_the_default_and_an_error_code(client, account, kind, key, code):
    details = getattr(client, f"get_{kind}_details")(key, DEFAULTS[kind], of(account))

    assert (DEFAULTS[kind], "ERROR", code) == (details.value, details.reason, details.error_code)
    assert details.error_message


@pytest.mark.parametrize("make", [Enforcer, AsyncEnforcer])
async def test_asynchronous_evaluation_gives_the_same_details(enforcer, make):
    """Under a blocking enforcer, and under an asynchronous one."""
    with registered(EntitlementsProvider(enforcer)) as client:
        before = [getattr(client, f"get_{kind}_details")(key, DEFAULTS[kind], of(who)) for who, kind, key, *_ in CASES]
    clock = FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC))
    with registered(EntitlementsProvider(make(policy(), accounts=ACCOUNTS, clock=clock))) as other:
        for expected, (who, kind, key, *_) in zip(before, CASES, strict=True):
            assert expected == await getattr(other, f"get_{kind}_details_async")(key, DEFAULTS[kind], of(who))
        for who, kind, key, code in ERRORS:
            details = await getattr(other, f"get_{kind}_details_async")(key, DEFAULTS[kind], of(who))
            assert (DEFAULTS[kind], code) == (details.value, details.error_code)


async def test_synchronous_evaluation_under_an_async_enforcer_needs_a_loaded_account():
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS)
    with registered(EntitlementsProvider(enforcer)) as client:
        before = client.get_boolean_details("chat", False, of("petra"))
        await enforcer.can("petra", "chat")
        after = client.get_boolean_details("chat", False, of("petra"))

    assert ("ERROR", "GENERAL") == (before.reason, before.error_code)
    assert "petra" not in before.error_message
    assert (True, "STATIC") == (after.value, after.reason)


def test_metadata_say_where_an_answer_comes_from_and_what_is_used(client, enforcer):
    enforcer.consume("petra", "leads", 4)

    assert client.get_integer_details("leads", 0, of("petra")).flag_metadata == {
        "policy_version": "t1",
        "source": "tier:pro",
        "tier": "pro",
        "reason": "within-limit",
        "limit": 10,
        "used": 4,
        "remaining": 6,
        "reset_at": "2026-04-01T00:00:00Z",
    }
    phone = client.get_string_details("support.phone", "", of("polly"))
    assert phone.variant == "pro"
    assert phone.flag_metadata == {"policy_version": "t1", "source": "add-on:phone", "tier": "pro"}


def test_an_evaluation_consumes_nothing(client, enforcer):
    before = enforcer.usage("petra")

    for who, kind, key, *_ in CASES:
        getattr(client, f"get_{kind}_value")(key, DEFAULTS[kind], of(who))

    assert before == enforcer.usage("petra")


def test_usage_false_asks_no_store():
    enforcer = Enforcer(policy(), accounts=ACCOUNTS)
    with registered(EntitlementsProvider(enforcer, usage=False)) as client:
        metadata = client.get_integer_details("leads", 0, of("petra")).flag_metadata

    assert "used" not in metadata
    assert metadata["limit"] == 10


def test_the_account_of_a_context_may_be_found_otherwise(enforcer):
    provider = EntitlementsProvider(enforcer, account=lambda context: context.attributes.get("organisation"))
    with registered(provider) as client:
        assert client.get_boolean_value("chat", False, of("ann", organisation="petra"))
        assert client.get_boolean_details("chat", False, of("ann")).error_code == "TARGETING_KEY_MISSING"
        assert client.get_boolean_value("sso", False, of("ann", organisation=ACCOUNTS["polly"]))


def test_no_account_stands_in_what_an_evaluation_returns(client):
    contexts = [of(SECRET), of(SECRET + "\n"), of("no-" + SECRET)]
    for context in contexts:
        for _, kind, key, *_ in CASES + ERRORS:
            assert SECRET not in repr(getattr(client, f"get_{kind}_details")(key, DEFAULTS[kind], context))


# -- Readiness -----------------------------------------------------------------------------------------------------


def test_a_provider_before_its_policy_is_loaded_is_not_ready(enforcer):
    asked, loaded = threading.Event(), threading.Event()

    def make():
        asked.set()
        loaded.wait(60)
        return enforcer

    provider = EntitlementsProvider(make)
    starting = threading.Thread(target=register, args=(provider,), daemon=True)
    starting.start()
    asked.wait(60)
    client = api.get_client()
    try:
        details = client.get_boolean_details("chat", False, of("petra"))
        with pytest.raises(OpenFeatureError) as raised:
            provider.resolve_boolean_details("chat", False, of("petra"))
        loaded.set()
        eventually(lambda: client.get_boolean_value("chat", False, of("petra")))
    finally:
        loaded.set()
        starting.join(60)
        api.shutdown()
        api.clear_providers()

    assert (False, "PROVIDER_NOT_READY") == (details.value, details.error_code)
    assert raised.value.error_code == "PROVIDER_NOT_READY"


def test_decisions_are_as_quick_with_a_provider_as_without(client, enforcer):
    """The provider hears of changes of state; decisions are not reported to it."""
    assert not enforcer._hooks.enabled
    assert not enforcer._attends


def test_a_provider_that_is_replaced_hears_nothing_more(enforcer):
    with registered(EntitlementsProvider(enforcer)):
        assert enforcer._hooks._observers
    eventually(lambda: not enforcer._hooks._observers)


# -- Events --------------------------------------------------------------------------------------------------------


def names(client):
    return [name for name, _ in client.heard]


def test_a_reload_names_the_flags_that_changed(client, enforcer):
    tiers = {name: dict(tier) for name, tier in WRITTEN["tiers"].items()}
    tiers["pro"] |= {"limits": tiers["pro"]["limits"] | {"leads": 11}, "levels": {"reports": "full"}}
    tiers["max"] |= {"values": {"support": {"phone": "always", "response": timedelta(hours=2)}}}

    enforcer.reload(policy(policy={"version": "t2"}, tiers=tiers))

    eventually(lambda: "changed" in names(client))
    (details,) = [details for name, details in client.heard if name == "changed"]
    assert details.flags_changed == [
        "leads", "reports", "reports:basic", "reports:full", "reports:none", "support", "support.response",
    ]  # fmt: skip
    assert client.get_integer_value("leads", 0, of("petra")) == 11


def test_an_invalidation_in_another_process_is_a_change(valkey):
    tiers = {"petra": "pro"}
    accounts = SimpleNamespace(find=lambda id: Account(id, tiers[id]))
    store = valkey.url + "?namespace=openfeature"
    elsewhere = Enforcer(policy(), accounts=accounts, store=store)
    with (
        Enforcer(policy(), accounts=accounts, store=store) as enforcer,
        elsewhere,
        registered(EntitlementsProvider(enforcer, usage=False)) as client,
    ):
        assert client.get_boolean_value("chat", False, of("petra"))
        tiers["petra"] = "free"
        elsewhere.invalidate("petra")

        eventually(lambda: not client.get_boolean_value("chat", True, of("petra")))
        eventually(lambda: "changed" in names(client))
        assert "petra" not in repr(client.heard)


def test_an_invalidation_in_this_process_is_a_change(client, enforcer):
    enforcer.invalidate("petra")

    eventually(lambda: "changed" in names(client))


def test_a_store_that_fails_makes_the_provider_stale_until_it_is_back():
    clock, fault = FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC)), Fault()
    store = FaultyStore(clock, fault).guarded()
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, clock=clock, store=store)
    with registered(EntitlementsProvider(enforcer)) as client:
        eventually(lambda: names(client) == ["ready"])
        with fault.down():
            for _ in range(40):
                enforcer.consume("petra", "leads")
            eventually(lambda: names(client) == ["ready", "stale"])
            assert client.get_provider_status().value == "STALE"
            limit, feature = (
                client.get_integer_details("leads", 0, of("petra")),
                client.get_boolean_details("chat", False, of("petra")),
            )
        enforcer.consume("petra", "leads")
        eventually(lambda: names(client) == ["ready", "stale", "ready"])

    assert (10, "STALE") == (limit.value, limit.reason)
    assert (True, "STATIC") == (feature.value, feature.reason)


def test_accounts_and_files_that_fail_make_the_provider_stale_until_all_are_back(client, enforcer):
    reasons = []
    for event in (AccountsDown("gone"), AccountsDown("gone"), ReloadFailed("policy.yaml", "line 3"), AccountsBack()):
        enforcer._hooks.notify(event)
        reasons.append(client.get_boolean_details("chat", False, of("petra")).reason)
    eventually(lambda: names(client) == ["ready", "stale", "stale"])
    assert client.get_provider_status().value == "STALE"
    enforcer._hooks.notify(Reloaded("t1", "t1"))
    eventually(lambda: sorted(names(client)) == ["changed", "ready", "ready", "stale", "stale"])

    assert reasons == ["STALE", "STALE", "STALE", "STATIC"]


# -- Tracking ------------------------------------------------------------------------------------------------------


def test_a_tracking_event_charges_units(client, enforcer):
    client.track("consume:leads", of("petra"), TrackingEventDetails(3))
    client.track("consume:leads", of("petra"))
    for _ in range(2):
        client.track("consume:leads", of("petra"), TrackingEventDetails(2, {"key": "import-77", "colour": "red"}))
    client.track("purchase", of("petra"), TrackingEventDetails(99.0))

    assert 6 == enforcer.usage("petra")["leads"].used


async def test_a_tracking_event_on_an_event_loop_charges_later():
    async with AsyncEnforcer(policy(), accounts=ACCOUNTS) as enforcer:
        with registered(EntitlementsProvider(enforcer)) as client:
            client.track("consume:leads", of("petra"), TrackingEventDetails(3))
            assert (await enforcer.usage("petra"))["leads"].used == 0
            await asyncio.gather(*client.provider._charges)
            used = (await enforcer.usage("petra"))["leads"].used

    assert used == 3


@pytest.mark.parametrize(
    ("name", "context", "value"),
    [
        ("consume:lead", of(SECRET), 1),
        ("consume:leads", of(SECRET), 1.5),
        ("consume:leads", of(SECRET), -1),
        ("consume:leads", of(SECRET), float("nan")),
        ("consume:leads", of(None), 1),
        ("consume:leads", of(SECRET + "\n"), 1),
    ],
)
def test_what_cannot_be_charged_is_logged_without_the_account(client, enforcer, caplog, name, context, value):
    with caplog.at_level(logging.WARNING, "entitlements.hooks"):
        client.track(name, context, TrackingEventDetails(value))

    (record,) = caplog.records
    assert record.getMessage().startswith(f"tracking event '{name}' was not counted: ")
    assert record.event == name
    assert SECRET not in record.getMessage() or digest(SECRET) in record.getMessage()
    assert enforcer.usage(SECRET)["leads"].used == 0


def test_an_asynchronous_charge_outside_of_a_loop_is_logged(caplog):
    with registered(EntitlementsProvider(AsyncEnforcer(policy(), accounts=ACCOUNTS))) as client:
        client.track("consume:leads", of("petra"))

    assert "was not counted: no running event loop" in caplog.text
