"""`Enforcer`: the verbs on the memory store, one fact per test."""

from __future__ import annotations

import contextlib
import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from trade import ACCOUNTS, DAY, HOUR, START, WRITTEN, enforcer, fields, policy

from entitlements import (
    NOT_INCLUDED,
    UNLIMITED,
    Account,
    AccountError,
    AsyncEnforcer,
    Change,
    Denied,
    Enforcer,
    Grant,
    KeyReused,
    Override,
    Policy,
    Reason,
    ReservationExpired,
    Trial,
    UnknownAccount,
    UnknownFeature,
)
from entitlements.model.events import Decided, Forgotten, OperationsDropped, Refunded, Released, Reloaded, Settlement
from entitlements.model.events import Threshold as Crossed
from entitlements.model.facts import Remedy
from entitlements.model.resolution import resolution_of
from entitlements.testing import RecordingHook


def test_a_tier_answers_features_levels_and_limits():
    """`can` is true for switches, levels up to the tier's, and limits above 0."""
    ent, _ = enforcer()

    answers = {
        name: ent.can("petra", name) for name in ("chat", "sso", "reports", "reports:basic", "reports:full", "api")
    }

    assert {
        "chat": True, "sso": False, "reports": True, "reports:basic": True, "reports:full": False, "api": True,
    } == answers  # fmt: skip


def test_a_level_of_none_and_a_limit_of_zero_are_not_included():
    """A feature at `none` and a rate of 0 answer no, for that reason."""
    ent, _ = enforcer()

    assert (Reason.NOT_INCLUDED, Reason.NOT_INCLUDED) == (
        ent.decide("frida", "reports").reason,
        ent.decide("frida", "api").reason,
    )


def test_a_level_below_the_one_asked_for_is_too_low():
    """The reason tells a level that is too low from a feature that is missing."""
    ent, _ = enforcer()

    decision = ent.decide("petra", "reports:full")

    assert (False, Reason.LEVEL_TOO_LOW, "max") == (decision.allowed, decision.reason, decision.remedy.tier)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ss0", "did you mean 'sso'?"),
        ("reports:gold", "its levels are none, basic, full"),
        ("sso:basic", "'sso' is a switch without levels"),
        ("support.phone", "ask value(account, 'support.phone')"),
        ("support", "ask value(account, 'support')"),
        ("nothing-like-it", "knows no feature or limit 'nothing-like-it'"),
    ],
)
def test_unknown_names_are_errors_that_name_the_cure(name, says):
    """Never a silent False: an unknown name raises, with the nearest spelling or the right verb."""
    ent, _ = enforcer()

    with pytest.raises(UnknownFeature) as error:
        ent.can("petra", name)

    assert says in str(error.value)


def test_values_are_typed_and_nested():
    """A value comes in its type, an inner node as a dict, no commitment as None with its label."""
    ent, _ = enforcer()

    assert ("business-hours", timedelta(hours=8)) == (
        ent.value("petra", "support.phone"),
        ent.value("petra", "support.response"),
    )
    assert {"phone": "none", "response": None, "response.label": "best effort"} == ent.value("frida", "support")
    assert "best effort" == ent.value("frida", "support.response.label")
    assert NOT_INCLUDED is ent.value("petra", "support.response.label")


def test_value_of_a_level_feature_is_its_level():
    """A feature with levels is looked up by `value` too; a switch and a limit are not."""
    ent, _ = enforcer()

    assert "basic" == ent.value("petra", "reports")
    for name, verb in (("sso", "can"), ("leads", "limit")):
        with pytest.raises(UnknownFeature, match=verb):
            ent.value("petra", name)


def test_a_quota_is_consumed_to_its_end():
    """Ten of ten fit, the eleventh is refused until the month ends, with the tier that would help."""
    ent, _ = enforcer()
    assert ent.consume("petra", "leads", 10).allowed

    refused = ent.consume("petra", "leads")

    assert (False, Reason.QUOTA_EXCEEDED, 10, 10, 0) == (
        refused.allowed, refused.reason, refused.limit, refused.used, refused.remaining,
    )  # fmt: skip
    assert datetime(2026, 4, 1, tzinfo=UTC) == refused.resets_at
    assert datetime(2026, 4, 1, tzinfo=UTC) - START == refused.retry_after
    assert ("max", None) == (refused.remedy.tier, refused.remedy.add_on)
    assert ("tier:pro", "memory", "petra", "t1") == (refused.source, refused.via, refused.account, refused.policy)


def test_a_cost_above_the_limit_never_fits():
    """Waiting does not help a cost above the limit: the reason says so and gives no time."""
    ent, _ = enforcer()

    for limit, cost in (("leads", 11), ("agents", 4), ("api", 11), ("bucket", 6)):
        decision = ent.consume("petra", limit, cost)
        assert (Reason.NEVER_FITS, None) == (decision.reason, decision.retry_after)
    assert (
        "account 'petra' may not use 11 of 'api': never-fits, 10 at most"
        == (ent.consume("petra", "api", 11).explanation.partition(";")[0])
    )


def test_a_rate_refuses_until_retry_after_and_admits_at_it():
    """Nothing is admitted before `retry_after`, and the same charge is admitted at it."""
    ent, clock = enforcer()
    assert all(ent.consume("petra", "api").allowed for _ in range(10))
    refused = ent.consume("petra", "api")
    assert (Reason.RATE_LIMITED, 0) == (refused.reason, refused.remaining)

    clock.advance(refused.retry_after - timedelta(microseconds=1))
    assert not ent.consume("petra", "api").allowed
    clock.advance(timedelta(microseconds=1))

    assert ent.consume("petra", "api").allowed


def test_a_rate_of_zero_is_not_included_and_never_asks_the_store():
    """No API access is `NOT_INCLUDED` with the tier that has it, never `RATE_LIMITED`."""
    ent, _ = enforcer()

    decision = ent.consume("frida", "api")

    assert (Reason.NOT_INCLUDED, "static", 0, 0, None, "pro") == (
        decision.reason, decision.via, decision.limit, decision.remaining, decision.used, decision.remedy.tier,
    )  # fmt: skip


def test_unlimited_is_counted_for_quotas_and_static_for_rates():
    """An unlimited quota is counted and never refused; an unlimited rate asks no store."""
    ent, _ = enforcer()

    quota, rate = ent.consume("maxim", "leads", 5), ent.consume("maxim", "api", 5)

    assert (Reason.UNLIMITED, UNLIMITED, 5, UNLIMITED, "memory") == (
        quota.reason, quota.limit, quota.used, quota.remaining, quota.via,
    )  # fmt: skip
    assert (Reason.UNLIMITED, None, "static") == (rate.reason, rate.used, rate.via)


def test_several_limits_are_charged_all_or_nothing():
    """A charge that one limit refuses takes nothing from the others."""
    ent, _ = enforcer()

    refused = ent.consume("petra", {"api": 1, "leads": 5, "agents": 4})

    assert (False, "agents", Reason.NEVER_FITS) == (refused.allowed, refused.feature, refused.reason)
    assert {"api": True, "leads": True, "agents": False} == {name: part.allowed for name, part in refused.parts.items()}
    assert [0, 0, 0] == [ent.usage("petra")[name].used for name in ("api", "leads", "agents")]


def test_the_outer_fields_of_a_mixed_refusal_are_the_longest_wait():
    """Two limits refuse: the outer decision is the one that takes longer; a never beats both."""
    ent, _ = enforcer()
    ent.consume("petra", {"api": 10, "leads": 10, "agents": 3})

    assert "leads" == ent.consume("petra", {"api": 1, "leads": 1}).feature
    assert "agents" == ent.consume("petra", {"api": 1, "leads": 1, "agents": 1}).feature


def test_the_outer_fields_of_a_mixed_charge_are_the_smallest_share_left():
    """Allowed, the outer decision speaks of the limit that will run out first."""
    ent, _ = enforcer()

    assert ("agents", 1) == fields(ent.consume("petra", {"api": 1, "agents": 2}), "feature", "remaining")


def test_peek_answers_as_consume_would_and_spends_nothing():
    """A peek of what does not fit is refused, counts nothing as denied, and takes nothing."""
    ent, _ = enforcer()
    ent.consume("petra", "leads", 8)

    assert [True, False] == [ent.peek("petra", "leads", n).allowed for n in (2, 3)]
    assert 8 == ent.peek("petra", "leads").used
    assert (8, 0) == fields(ent.history("petra", "leads")[0], "used", "denied")


@pytest.mark.parametrize("cost", [0, -1, True, 1.0, "1", 2**53, None])
def test_costs_that_cannot_be_are_value_errors(cost):
    """A cost is an int from 1 to 2^53-1: anything else is named, and nothing is taken."""
    ent, _ = enforcer()

    for call in (ent.consume, ent.peek, ent.reserve):
        with pytest.raises(ValueError, match="leads"):
            call("petra", "leads", cost)
        with pytest.raises(ValueError, match="leads"):
            call("petra", {"leads": cost})

    assert 0 == ent.usage("petra")["leads"].used


def test_an_empty_mapping_charges_nothing_and_says_so():
    """An empty charge is a slip, not an allowed decision."""
    ent, _ = enforcer()

    with pytest.raises(ValueError, match="at least one limit"):
        ent.consume("petra", {})


@pytest.mark.parametrize("id", ["", "x" * 257, "a\nb", "a\x00", "\ud800", 7, None, b"acme"])
def test_ids_that_cannot_be_are_account_errors(id):
    """Ids are 1 to 256 characters without control characters and lone surrogates."""
    ent, _ = enforcer()

    with pytest.raises(AccountError):
        ent.can(id, "sso")
    with pytest.raises(AccountError):
        ent.consume(id, "leads")
    with pytest.raises(AccountError):
        Account(id, "pro")


def test_ids_are_never_normalised():
    """NFC and NFD spellings are two accounts, with their own counters."""
    ent, _ = enforcer({"caf\u00e9": "pro", "cafe\u0301": "pro"})

    ent.consume("caf\u00e9", "leads", 4)

    assert (4, 0) == (ent.usage("caf\u00e9")["leads"].used, ent.usage("cafe\u0301")["leads"].used)


def test_an_unknown_account_is_denied_by_default():
    """Unknown accounts get `UNKNOWN_ACCOUNT` for every check and charge, and no tier."""
    ent, _ = enforcer()

    asked, charged = ent.decide("nobody", "chat"), ent.consume("nobody", "leads")

    assert [(False, Reason.UNKNOWN_ACCOUNT, None)] * 2 == [(d.allowed, d.reason, d.tier) for d in (asked, charged)]
    assert (NOT_INCLUDED, NOT_INCLUDED) == (
        ent.value("nobody", "support.phone"),
        ent.entitlements("nobody").limit("leads"),
    )


def test_an_unknown_account_can_get_a_tier_or_raise():
    """`unknown_account` names their tier, or `raise`."""
    lenient = Enforcer(policy(policy={"version": "1", "unknown_account": "free"}), accounts={})
    strict = Enforcer(policy(policy={"version": "1", "unknown_account": "raise"}), accounts={})

    assert 3 == lenient.entitlements("nobody").limit("leads")
    with pytest.raises(UnknownAccount, match="nobody"):
        strict.can("nobody", "chat")


def test_an_unknown_tier_is_treated_as_an_unknown_account():
    """A tier that the policy does not know is the policy's `unknown_account`, never a guess."""
    ent, _ = enforcer({"odd": "platinum"})

    assert Reason.UNKNOWN_ACCOUNT is ent.decide("odd", "chat").reason


def test_an_unknown_tier_is_told_of_once_without_its_accounts(caplog):
    """One warning for each tier name and policy, with the tiers that there are; ids are not for logs."""
    ent, _ = enforcer({"odd": "prp", "strange": "prp", "other": Account("other", "platinum")})

    for account in ("odd", "strange", "other", "odd", "petra", "nobody"):
        ent.decide(account, "chat")

    assert [
        (
            "tier 'prp' is not defined in policy t1; accounts in it without another tier count as unknown"
            " (unknown_account: deny). Its tiers are free, pro, max; did you mean 'pro'?"
        ),
        (
            "tier 'platinum' is not defined in policy t1; accounts in it without another tier count as unknown"
            " (unknown_account: deny). Its tiers are free, pro, max"
        ),
    ] == [record.getMessage() for record in caplog.records if record.name == "entitlements.accounts"]
    caplog.clear()
    ent.reload(policy(policy={"version": "t2"}))
    ent.decide("odd", "chat")
    assert 1 == len([record for record in caplog.records if "'prp' is not defined in policy t2" in record.getMessage()])


def test_unknown_tiers_are_told_of_up_to_a_number(caplog):
    """The number of remembered tier names is bounded."""
    ent, _ = enforcer({str(number): f"tier-{number}" for number in range(150)})

    for number in range(150):
        ent.decide(str(number), "chat")

    assert 100 == len([record for record in caplog.records if record.name == "entitlements.accounts"])


def test_the_refusal_of_an_unknown_account_says_why_and_names_no_tier():
    """Another tier is no cure for an account that there is not."""
    ent, _ = enforcer({"odd": "platinum"})

    assert [
        "account 'odd' may not use 1 of 'leads': unknown-account, tier 'platinum' is not in the policy",
        "account 'nobody' has no 'chat': unknown-account, there is no such account",
    ] == [ent.consume("odd", "leads").explanation, ent.decide("nobody", "chat").explanation]


def test_without_accounts_an_id_is_an_error_with_the_cure():
    """An enforcer without accounts takes `Account` objects, and says so."""
    ent = Enforcer(policy())

    assert ent.can(Account("a", "pro"), "chat")
    with pytest.raises(UnknownAccount, match="pass Account objects"):
        ent.can("a", "chat")


def test_a_suspended_account_is_refused_everything_at_once():
    """Suspended refuses features, limits and shadow limits; what is held stays visible."""
    ent, _ = enforcer({"petra": Account("petra", "pro", status="suspended")})

    decisions = [ent.decide("petra", "chat"), ent.consume("petra", "leads"), ent.consume("petra", "soft")]

    assert [(False, Reason.SUSPENDED, None)] * 3 == [(d.allowed, d.reason, d.remedy) for d in decisions]
    assert not ent.can("petra", "chat")


def test_an_override_is_final_and_grants_do_not_add_to_it():
    """An override in force beats the tier, add-ons and grants; the trace shows the losers."""
    account = Account(
        "petra", "pro", grants=(Grant("leads", 5),),
        overrides=(
            Override("leads", 20, reason="pilot", author="ops"),
            Override("leads", 99, reason="old pilot", author="ops", expires=START - DAY),
            Override("sso", True, reason="promised", author="sales"),
        ),
    )  # fmt: skip
    ent, _ = enforcer({"petra": account})

    decision = ent.decide("petra", "leads")

    assert (20, "override:leads", True) == (decision.limit, decision.source, ent.can("petra", "sso"))
    assert [
        ("grant:leads", "lost"),
        ("override:leads", "won"),
        ("override:leads", "expired"),
        ("tier:pro", "lost"),
    ] == [(each.source, each.verdict.value) for each in decision.trace]


def test_grants_raise_a_limit_while_they_are_in_force():
    """A grant adds from its start until it expires; what is used above the limit then is kept."""
    account = Account("petra", "pro", grants=(Grant("leads", 5, starts=START, expires=START + DAY, reason="gift"),))
    ent, clock = enforcer({"petra": account})
    assert (15, "grant:leads") == (ent.consume("petra", "leads", 15).limit, ent.decide("petra", "leads").source)
    assert START + DAY == ent.entitlements("petra").valid_until

    clock.advance(DAY)
    after = ent.consume("petra", "leads")

    assert (False, 10, 15, 0) == (after.allowed, after.limit, after.used, after.remaining)


def test_a_grant_of_something_not_included_includes_it():
    """Not included plus n is n, unlimited plus n is unlimited."""
    accounts = {
        "a": Account("a", "free", grants=(Grant("trials", 4),)),
        "b": Account("b", "max", grants=(Grant("leads", 4),)),
    }
    ent, _ = enforcer(accounts)

    assert (4, UNLIMITED) == (ent.entitlements("a").limit("trials"), ent.entitlements("b").limit("leads"))


def test_add_ons_add_their_amount_times_their_quantity_and_replace_values():
    """A bought bundle changes what `can`, `value` and the limits answer, where it is offered."""
    accounts = {
        "pro": Account("pro", "pro", add_ons={"more-agents": 3, "phone": 1}),
        "max": Account("max", "max", add_ons={"phone": 1}),
    }
    ent, _ = enforcer(accounts)

    assert (9, "always", True) == (
        ent.entitlements("pro").limit("agents"), ent.value("pro", "support.phone"), ent.can("pro", "sso"),
    )  # fmt: skip
    assert "add-on:phone" == ent.decide("pro", "sso").source
    assert "not-offered" == ent.decide("max", "sso").trace[0].verdict.value


def test_a_remedy_names_the_add_on_that_would_help():
    """A full allocation is helped by a higher tier or by an add-on that gives enough."""
    ent, _ = enforcer()
    ent.consume("petra", "agents", 3)

    one, three = ent.consume("petra", "agents", 1).remedy, ent.consume("petra", "agents", 3).remedy

    assert (("max", "more-agents", 1), ("max", "more-agents", 2)) == (
        (one.tier, one.add_on, one.quantity), (three.tier, three.add_on, three.quantity)
    )  # fmt: skip


def test_a_trial_replaces_the_tier_and_ends_by_the_clock():
    """While it runs a trial's tier answers; after its end the account's own does, without a job."""
    account = Account("petra", "pro", trial=Trial("max", START, START + DAY))
    ent, clock = enforcer({"petra": account})
    assert ("max", True, START + DAY) == (
        ent.entitlements("petra").tier, ent.can("petra", "sso"), ent.decide("petra", "sso").valid_until,
    )  # fmt: skip

    clock.advance(DAY)

    assert ("pro", False, None) == (
        ent.entitlements("petra").tier, ent.can("petra", "sso"), ent.decide("petra", "sso").valid_until,
    )  # fmt: skip
    assert ("trial:max", "expired") == fields(ent.decide("petra", "sso").trace[-1], "source", "verdict.value")


def test_a_scheduled_change_takes_effect_by_the_clock():
    """The tier changes at the instant of the change, and the end of the old one is known before."""
    ent, clock = enforcer({"petra": Account("petra", "pro", changes=(Change("free", at=START + HOUR),))})
    assert ("pro", START + HOUR) == (ent.entitlements("petra").tier, ent.entitlements("petra").valid_until)

    clock.advance(HOUR)

    assert "free" == ent.entitlements("petra").tier


def test_an_upgrade_frees_the_caller_with_its_usage_kept():
    """After a refresh the next call sees the new tier, and what was used before still counts."""
    accounts = dict(ACCOUNTS)
    clock_start = enforcer()[1]
    ent = Enforcer(policy(), accounts=accounts, clock=clock_start)
    ent.consume("frida", "leads", 3)
    assert not ent.consume("frida", "leads").allowed

    accounts["frida"] = "pro"
    ent.refresh("frida")
    decision = ent.consume("frida", "leads")

    assert (True, 10, 4) == (decision.allowed, decision.limit, decision.used)


def test_a_change_in_the_directory_is_seen_after_the_ttl():
    """Without a refresh the new tier is seen after 30 seconds."""
    accounts = dict(ACCOUNTS)
    clock = enforcer()[1]
    ent = Enforcer(policy(), accounts=accounts, clock=clock)
    assert not ent.can("petra", "sso")
    accounts["petra"] = "max"

    clock.advance(timedelta(seconds=29))
    assert not ent.can("petra", "sso")
    clock.advance(timedelta(seconds=1))

    assert ent.can("petra", "sso")


def test_an_account_that_is_loaded_again_and_is_the_same_is_not_resolved_again_before_it_must():
    clock = enforcer()[1]
    raised = Grant("leads", 5, expires=datetime(2026, 3, 10, 12, 2, tzinfo=UTC))

    class Directory:
        def find(self, id):
            return Account(id, "pro", grants=(raised,))

    ent = Enforcer(policy(), accounts=Directory(), clock=clock)
    first = ent.entitlements("x")
    clock.advance(timedelta(seconds=60))  # the directory is asked again
    second = ent.entitlements("x")
    clock.advance(timedelta(seconds=60))  # and the grant has ended
    third = ent.entitlements("x")

    assert first is second
    assert [15, 10] == [second.limit("leads"), third.limit("leads")]


def test_an_account_object_is_seen_at_the_next_call():
    """An `Account` passed in is resolved as it is, whatever was passed before."""
    ent, _ = enforcer()

    assert [False, True] == [ent.can(Account("x", tier), "sso") for tier in ("pro", "max")]


def test_a_lowered_limit_keeps_what_is_used_and_adds_nothing():
    """After a downgrade `used` stays above the limit, `remaining` is 0, and nothing is added."""
    accounts = {"x": "pro"}
    ent = Enforcer(policy(), accounts=accounts, clock=enforcer()[1])
    ent.consume("x", "agents", 3)
    accounts["x"] = "free"
    ent.refresh("x")

    usage, refused = ent.usage("x")["agents"], ent.consume("x", "agents")

    assert (3, 1, 0, False) == (usage.used, usage.limit, usage.remaining, refused.allowed)
    assert 3 == ent.release("x", "agents", 5)


def test_release_and_holders_and_usage_of_an_allocation():
    """Anonymous units and named holders add up; assigning is idempotent."""
    ent, _ = enforcer()

    assert [True, True] == [ent.assign("petra", "agents", "u1").allowed for _ in range(2)]
    ent.consume("petra", "agents")
    assert ent.assign("petra", "agents", "u2").allowed
    full = ent.assign("petra", "agents", "u3")

    assert (Reason.ALLOCATION_FULL, None, 3) == (full.reason, full.retry_after, full.used)
    assert ("u1", "u2") == ent.holders("petra", "agents")
    assert [True, False] == [ent.unassign("petra", "agents", "u1") for _ in range(2)]
    assert (1, 1) == (ent.release("petra", "agents", 9), ent.usage("petra")["agents"].used)


def test_refunding_an_assignment_takes_the_unit_back_only_if_it_took_one():
    """The first assignment can be refunded; the idempotent second took nothing."""
    ent, _ = enforcer()
    first, second = (ent.assign("petra", "agents", "u1") for _ in range(2))

    assert (False, True, ()) == (ent.refund(second), ent.refund(first), ent.holders("petra", "agents"))


def test_set_usage_sets_the_total_and_may_exceed_the_limit():
    """The product's own count wins, above the limit too, but not below what is held by name."""
    ent, _ = enforcer()
    ent.assign("petra", "agents", "u1")

    assert (8, 0) == fields(ent.set_usage("petra", "agents", 8), "used", "remaining")
    assert 4 == ent.set_usage("petra", "leads", 4).used
    with pytest.raises(ValueError, match="1 are held by name"):
        ent.set_usage("petra", "agents", 0)
    with pytest.raises(ValueError, match="a rate"):
        ent.set_usage("petra", "api", 1)


def test_usage_shows_every_meter():
    """Each limit with what is used, reserved, left, and when it resets; a peek into nothing."""
    ent, _ = enforcer()
    ent.consume("petra", "leads", 2)
    ent.reserve("petra", "leads", 3)

    usage = ent.usage("petra")

    leads = usage["leads"]
    assert (5, 3, 10, 5, datetime(2026, 4, 1, tzinfo=UTC)) == (
        leads.used, leads.reserved, leads.limit, leads.remaining, leads.resets_at,
    )  # fmt: skip
    assert "per-ip" not in usage
    assert (0, NOT_INCLUDED, 0) == fields(ent.usage("frida")["trials"], "used", "limit", "remaining")


def test_history_is_newest_first_with_denials():
    """Each period keeps what was used and denied, and the limit at its last charge."""
    ent, clock = enforcer()
    ent.consume("petra", "leads", 7)
    ent.consume("petra", "leads", 4)
    clock.set(datetime(2026, 4, 2, tzinfo=UTC))
    ent.consume("petra", "leads", 1)

    newest, oldest = ent.history("petra", "leads")

    assert (1, 0, datetime(2026, 4, 1, tzinfo=UTC)) == (newest.used, newest.denied, newest.start)
    assert (7, 4, 10, datetime(2026, 4, 1, tzinfo=UTC)) == (oldest.used, oldest.denied, oldest.limit, oldest.end)
    with pytest.raises(ValueError, match="an allocation"):
        ent.history("petra", "agents")


def test_anchored_periods_begin_on_the_anchor():
    """An account with a billing anchor counts from anchor day to anchor day."""
    ent, clock = enforcer({"petra": Account("petra", "pro", anchor=31)})

    assert datetime(2026, 3, 31, tzinfo=UTC) == ent.consume("petra", "leads", 10).resets_at
    clock.set(datetime(2026, 3, 31, tzinfo=UTC))

    assert datetime(2026, 4, 30, tzinfo=UTC) == ent.consume("petra", "leads").resets_at


def test_a_refund_comes_back_once_and_into_its_period():
    """A refund gives back what was taken, once, also after the period has ended."""
    ent, clock = enforcer()
    clock.set(datetime(2026, 3, 31, 23, 59, tzinfo=UTC))
    decision = ent.consume("petra", {"api": 2, "leads": 4})
    clock.advance(timedelta(minutes=2))
    ent.consume("petra", "leads", 1)

    assert [True, False] == [ent.refund(decision) for _ in range(2)]
    assert [1, 0] == [period.used for period in ent.history("petra", "leads")]
    assert 2 == ent.usage("petra")["api"].used


def test_rates_come_back_only_when_asked_and_once():
    """A charge of rates alone is refunded once per decision, with rates=True."""
    ent, _ = enforcer()
    decision = ent.consume("petra", "api", 4)

    assert [False, True, False] == [
        ent.refund(decision), ent.refund(decision, rates=True), ent.refund(decision, rates=True),
    ]  # fmt: skip
    assert 0 == ent.usage("petra")["api"].used


def test_a_refund_is_too_late_after_ten_minutes():
    """The operation id of a charge without a key lives ten minutes."""
    ent, clock = enforcer()
    early, late = ent.consume("petra", "leads"), ent.consume("petra", "leads")

    clock.advance(timedelta(minutes=10) - timedelta(microseconds=1))
    assert ent.refund(early)
    clock.advance(timedelta(microseconds=1))

    assert not ent.refund(late)


def test_a_refusal_has_nothing_to_refund():
    """Refunding a denied, static or peeked decision gives nothing back."""
    ent, _ = enforcer()

    decisions = [ent.consume("petra", "leads", 11), ent.consume("maxim", "api"), ent.peek("petra", "leads")]

    assert [False] * 3 == [ent.refund(each, rates=True) for each in decisions]


def test_a_repeated_key_returns_the_first_decision_and_takes_nothing():
    """The same key with the same content is answered as it was, rates included."""
    ent, clock = enforcer()
    first = ent.consume("petra", {"api": 1, "leads": 3}, key="import-77")
    ent.consume("petra", "leads", 2)
    clock.advance(timedelta(hours=23, minutes=59))

    again = ent.consume("petra", {"leads": 3, "api": 1}, key="import-77")

    assert (True, True, first.used, first.remaining) == (again.allowed, again.replayed, again.used, again.remaining)
    assert (False, 5) == (first.replayed, ent.usage("petra")["leads"].used)


def test_a_key_with_other_content_is_reused():
    """A key stands for verb, limits, amounts and scope: anything else is an error, and takes nothing."""
    ent, _ = enforcer()
    ent.consume("petra", "leads", 3, key="k")

    for charge in (
        lambda: ent.consume("petra", "leads", 4, key="k"),
        lambda: ent.reserve("petra", "leads", 3, key="k"),
    ):
        with pytest.raises(KeyReused, match="'k'"):
            charge()
    assert 3 == ent.usage("petra")["leads"].used
    assert not ent.consume("maxim", "leads", 4, key="k").replayed


def test_a_key_is_looked_up_before_any_static_answer():
    """A repeat after a downgrade is still the first decision; a new key is refused."""
    accounts = {"x": "pro"}
    ent = Enforcer(policy(), accounts=accounts, clock=enforcer()[1])
    first = ent.consume("x", {"api": 1, "leads": 1}, key="k")
    accounts["x"] = "free"
    ent.refresh("x")

    again, new = ent.consume("x", {"api": 1, "leads": 1}, key="k"), ent.consume("x", {"api": 1, "leads": 1}, key="l")

    assert (True, True, first.parts["leads"].limit) == (again.allowed, again.replayed, again.parts["leads"].limit)
    assert (False, False, Reason.NOT_INCLUDED) == (new.allowed, new.replayed, new.reason)


def test_an_unlimited_rate_with_a_key_is_remembered():
    """A key is kept also where the charge itself would be static."""
    ent, _ = enforcer()
    first = ent.consume("maxim", "api", 2, key="k")

    assert (False, True) == (first.replayed, ent.consume("maxim", "api", 2, key="k").replayed)
    with pytest.raises(KeyReused):
        ent.consume("maxim", "api", 3, key="k")


def test_a_refused_key_leaves_no_record_and_counts_each_denial():
    """A refusal is not stored: its key can succeed later, and every attempt counts as denied."""
    ent, clock = enforcer()
    ent.consume("petra", "leads", 10)
    assert [False, False] == [ent.consume("petra", "leads", 2, key="k").allowed for _ in range(2)]
    assert 4 == ent.history("petra", "leads")[0].denied

    clock.set(datetime(2026, 4, 1, tzinfo=UTC))

    assert (True, False) == fields(ent.consume("petra", "leads", 2, key="k"), "allowed", "replayed")


def test_a_reservation_commits_partly_and_gives_the_rest_back():
    """Of 6 reserved 4 are committed; 2 come back; a second commit does nothing."""
    ent, _ = enforcer()
    reservation = ent.reserve("petra", "leads", 6, ttl=60)
    assert (True, 6, START + timedelta(seconds=60)) == (
        bool(reservation), ent.usage("petra")["leads"].reserved, reservation.expires_at,
    )  # fmt: skip

    reservation.commit(4)
    reservation.commit(1)
    reservation.cancel()

    assert (4, 0) == fields(ent.usage("petra")["leads"], "used", "reserved")


def test_a_block_commits_all_and_an_exception_cancels():
    """Leaving the block keeps the units; an exception gives them back and passes through."""
    ent, _ = enforcer()

    with ent.reserve("petra", {"leads": 2, "agents": 1}):
        pass
    with pytest.raises(ZeroDivisionError), ent.reserve("petra", {"leads": 3, "agents": 2}):
        _ = 1 / 0

    assert (2, 1) == (ent.usage("petra")["leads"].used, ent.usage("petra")["agents"].used)


def test_entering_a_refused_reservation_raises():
    """A reservation that was not granted is falsy, and cannot be entered or committed."""
    ent, _ = enforcer()
    refused = ent.reserve("petra", "leads", 11)
    assert (False, Reason.NEVER_FITS, None) == (bool(refused), refused.decision.reason, refused.expires_at)

    with pytest.raises(Denied), refused:
        pass
    with pytest.raises(Denied):
        refused.commit()
    refused.cancel()


def test_a_reservation_lapses_by_the_clock():
    """After its ttl the units are free again, without a job."""
    ent, clock = enforcer()
    ent.reserve("petra", "leads", 10, ttl=timedelta(seconds=30))
    clock.advance(timedelta(seconds=30) - timedelta(microseconds=1))
    assert not ent.consume("petra", "leads").allowed

    clock.advance(timedelta(microseconds=1))

    assert ent.consume("petra", "leads").allowed


def test_a_lapsed_reservation_is_charged_anew_or_expired():
    """Committing after the ttl takes the units again if they are there, and raises if not."""
    ent, clock = enforcer()
    lucky, unlucky = ent.reserve("petra", "leads", 4, ttl=1), ent.reserve("petra", "leads", 4, ttl=1)
    clock.advance(timedelta(seconds=2))
    ent.consume("petra", "leads", 5)

    lucky.commit()
    with pytest.raises(ReservationExpired):
        unlucky.commit()

    assert 9 == ent.usage("petra")["leads"].used


def test_another_process_finishes_a_reservation_by_its_id():
    """`reservation(account, id)` commits and cancels; an id that is gone has expired."""
    ent, clock = enforcer()
    committed, lapsed = ent.reserve("petra", "leads", 2), ent.reserve("petra", "leads", 2, ttl=1)
    elsewhere = ent.reservation("petra", committed.id)
    with pytest.raises(ValueError, match="holds no 'agents'"):
        ent.reservation("petra", committed.id).commit({"agents": 1})

    elsewhere.commit(1)
    ent.reservation("petra", committed.id).commit(1)
    clock.advance(timedelta(seconds=2))

    assert 1 == ent.usage("petra")["leads"].used
    with pytest.raises(ReservationExpired):
        ent.reservation("petra", lapsed.id).commit()
    ent.reservation("petra", "o:never-was").cancel()


def test_a_reservation_counts_in_the_period_in_which_it_was_made():
    """Committed after the month has ended, it counts in the month before."""
    ent, clock = enforcer()
    clock.set(datetime(2026, 3, 31, 23, 59, 50, tzinfo=UTC))
    reservation = ent.reserve("petra", "leads", 6)
    clock.set(datetime(2026, 4, 1, 0, 0, 10, tzinfo=UTC))

    reservation.commit(5)
    ent.consume("petra", "leads")

    assert [1, 5] == [period.used for period in ent.history("petra", "leads")]


def test_a_reservation_outlives_a_downgrade():
    """Units reserved under the old tier are committed under the new one."""
    accounts = {"x": "pro"}
    ent = Enforcer(policy(), accounts=accounts, clock=enforcer()[1])
    reservation = ent.reserve("x", "agents", 3)
    accounts["x"] = "free"
    ent.refresh("x")

    reservation.commit()

    assert (3, 0) == fields(ent.usage("x")["agents"], "used", "remaining")


def test_a_rate_in_a_reservation_comes_back_when_that_is_cancelled():
    """A rate's units are taken at once; a commit that names other limits only leaves them taken."""
    ent, _ = enforcer()

    held = ent.reserve("petra", {"api": 2, "leads": 1})
    assert (2, 1) == (ent.usage("petra")["api"].used, ent.usage("petra")["leads"].reserved)
    held.cancel()
    assert (0, 0) == (ent.usage("petra")["api"].used, ent.usage("petra")["leads"].used)
    ent.reserve("petra", {"api": 2, "leads": 1}).commit(0)
    assert (2, 0) == (ent.usage("petra")["api"].used, ent.usage("petra")["leads"].used)


def test_a_keyed_reservation_repeats_as_the_same_one():
    """The same key gives the same reservation, once committed for good."""
    ent, _ = enforcer()
    first = ent.reserve("petra", "leads", 3, key="job-1")
    again = ent.reserve("petra", "leads", 3, key="job-1")
    assert (first.id, True, first.expires_at) == (again.id, again.decision.replayed, again.expires_at)

    first.commit(2)
    again.commit(3)

    assert 2 == ent.usage("petra")["leads"].used


@pytest.mark.parametrize("ttl", [0, -1, True, "60", float("nan"), float("inf"), timedelta(0)])
def test_a_ttl_that_cannot_be_is_a_value_error(ttl):
    """A time to live is above 0 and finite."""
    ent, _ = enforcer()

    with pytest.raises(ValueError, match="ttl"):
        ent.reserve("petra", "leads", 1, ttl=ttl)


def test_shadow_quotas_count_and_never_refuse():
    """A charge that a shadow quota would refuse is allowed, and counted as used and as denied."""
    ent, _ = enforcer()

    decisions = [ent.consume("petra", "trials") for _ in range(3)]

    assert [(True, Reason.WITHIN_LIMIT)] * 3 == [(d.allowed, d.reason) for d in decisions]
    assert [True, True, False] == [d.parts["trials"].allowed for d in decisions]
    assert Reason.QUOTA_EXCEEDED is decisions[2].parts["trials"].reason
    assert "quota-exceeded" == decisions[2].to_dict()["parts"]["trials"]["reason"]
    assert decisions[2].remedy is None
    assert (3, 1) == fields(ent.history("petra", "trials")[0], "used", "denied")


def test_shadow_rates_add_nothing_that_they_would_have_refused():
    """A shadow rate stops counting at its limit; a shadow allocation goes on."""
    ent, _ = enforcer()

    for _ in range(4):
        assert ent.consume("petra", {"soft": 1, "pets": 1}).allowed

    assert (2, 4) == (ent.usage("petra")["soft"].used, ent.usage("petra")["pets"].used)


def test_a_shadow_limit_that_is_not_included_passes():
    """In shadow mode not included says so in its part, and refuses nothing."""
    ent, _ = enforcer()

    decision = ent.consume("frida", {"trials": 1, "leads": 1, "soft": 1})

    assert (True, "leads") == (decision.allowed, decision.feature)
    assert (Reason.NOT_INCLUDED, 1) == (decision.parts["trials"].reason, ent.history("frida", "trials")[0].used)


def test_a_scoped_rate_stands_beside_the_accounts_own():
    """A limit per ip needs a scope, keeps a meter for each, and shows in `usage(scope=)`."""
    ent, _ = enforcer()

    assert [True, True, False] == [
        ent.consume("petra", {"per-ip": 1, "api": 1}, scope="10.0.0.1").allowed for _ in range(3)
    ]
    assert ent.consume("petra", "per-ip", scope="10.0.0.2").allowed
    assert (2, 1) == tuple(ent.usage("petra", scope=f"10.0.0.{n}")["per-ip"].used for n in (1, 2))
    assert 2 == ent.usage("petra")["api"].used


def test_scopes_that_are_missing_or_useless_are_errors():
    """A limit with a `per` needs a scope; a scope without one is a slip."""
    ent, _ = enforcer()

    with pytest.raises(ValueError, match="needs scope="):
        ent.consume("petra", "per-ip")
    with pytest.raises(ValueError, match="has no use"):
        ent.consume("petra", "api", scope="10.0.0.1")


def test_forget_deletes_every_counter():
    """A closed account leaves nothing behind."""
    ent, _ = enforcer()
    ent.consume("petra", {"api": 1, "leads": 2, "agents": 1})
    ent.assign("petra", "agents", "u1")

    ent.forget("petra")

    assert [0, 0, 0] == [ent.usage("petra")[name].used for name in ("api", "leads", "agents")]
    assert () == ent.holders("petra", "agents")


def test_a_bound_account_has_the_same_verbs():
    """`enforcer.account(id)` answers without repeating the account."""
    ent, _ = enforcer()
    petra = ent.account("petra")

    assert (True, "basic", 1) == (petra.can("chat"), petra.value("reports"), petra.consume("leads").used)
    with petra.reserve("leads", 2):
        pass
    assert (3, ()) == (petra.usage()["leads"].used, petra.holders("agents"))


def test_reload_swaps_the_policy():
    """From the next call on every decision is the new policy's, and carries its version."""
    ent, _ = enforcer()
    assert not ent.can("petra", "sso")

    ent.reload(
        policy(
            policy={"version": "t2"},
            add_ons={},
            tiers={
                "pro": {"rank": 1, "features": ["sso", "chat"], "levels": {"reports": "full"}, "limits": {"leads": 1}}
            },
        )
    )

    assert (True, "t2") == (ent.can("petra", "sso"), ent.decide("petra", "sso").policy)


def test_a_decision_is_immutable_and_speaks_json():
    """A decision cannot be changed; `to_dict` is what `json.dumps` writes."""
    ent, _ = enforcer()
    decision = ent.consume("petra", {"api": 10, "leads": 1})
    refused = ent.consume("petra", {"api": 1, "leads": 1})

    with pytest.raises(AttributeError):
        decision.allowed = False
    written = json.loads(json.dumps(refused.to_dict()))

    assert (False, "rate-limited", "petra", "2026-03-10T13:01:00Z") == (
        written["allowed"], written["reason"], written["account"], written["parts"]["api"]["resets_at"],
    )  # fmt: skip
    assert {"tier": "max", "add_on": None} == written["remedy"]
    with pytest.raises(Denied, match="petra"):
        refused.raise_for_denied()
    assert decision is decision.raise_for_denied()


def test_hooks_see_decisions_and_changes_and_break_nothing(caplog):
    """Every decision and change of state is reported once; an exception of a hook is logged and dropped."""
    hook = RecordingHook()

    def broken(_):
        raise RuntimeError("boom")

    ent, _ = enforcer(hooks=(broken, hook))
    ent.can("petra", "chat")
    decision = ent.consume("petra", "leads", 3)
    ent.refund(decision)
    ent.consume("petra", "agents")
    ent.release("petra", "agents")
    ent.reserve("petra", "leads").commit()
    ent.forget("petra")
    ent.reload(policy())

    kinds = [type(event) for event in hook.events]
    assert [Decided, Decided, Refunded, Decided, Released, Decided, Settlement, Forgotten, Reloaded] == kinds
    assert ["can", "consume", "consume", "reserve"] == [event.verb for event in hook.of(Decided)]
    assert "boom" in caplog.text


def test_thresholds_are_told_once_per_period():
    """Crossing 80 % and 100 % of a quota is reported once, also after a refund."""
    hook = RecordingHook()
    ent, clock = enforcer(hooks=(hook,))
    decision = [ent.consume("petra", "leads", n) for n in (7, 1, 2)][2]
    ent.refund(decision)
    ent.consume("petra", "leads", 2)
    clock.advance(30 * DAY)
    ent.consume("petra", "leads", 10)

    assert [80, 100, 80, 100] == [event.percent for event in hook.of(Crossed)]


@pytest.mark.parametrize("limit", ["leads", "agents"])
def test_a_total_that_is_set_crosses_thresholds_as_a_charge_does(limit):
    hook = RecordingHook()
    ent, _ = enforcer(hooks=(hook,), thresholds=(100, 50))
    most = ent.usage("petra")[limit].limit
    for total in (0, most, most - 1, most // 2 - 1, most // 2 + 1):
        ent.set_usage("petra", limit, total)

    found = hook.of(Crossed)
    assert [50, 100] == [event.percent for event in found][:2]
    assert (limit, most, most) == (found[1].decision.feature, found[1].decision.used, found[1].decision.limit)
    if limit == "leads":  # an allocation has no period in which it would be told once
        assert 2 == len(found)


@pytest.mark.parametrize("wrong", [0, -1, 80.0, True, "80", (80, None), (101,)])
def test_a_threshold_that_is_no_percentage_is_refused(wrong):
    with pytest.raises(ValueError, match=r"write thresholds=\(80, 100\)"):
        enforcer(thresholds=wrong if isinstance(wrong, tuple) else (wrong,))


COUNTING = {
    "unassign": ("agents", "u1"), "release": ("agents",), "holders": ("agents",), "set_usage": ("leads", 3),
    "usage": (), "history": ("leads",), "reserve": ("leads",), "reset": ("api",),
}  # fmt: skip


@pytest.mark.parametrize("verb", COUNTING)
def test_a_verb_that_counts_or_reads_raises_for_an_account_that_there_is_not(verb):
    """A typing error in an id neither writes another record nor reads zeros."""
    ent, _ = enforcer()
    with pytest.raises(UnknownAccount, match="pertra"):
        getattr(ent, verb)("pertra", *COUNTING[verb])
    assert not (ent._store._counts)
    assert not (ent._store._rates)

    ent.forget("pertra")
    assert ent.consume("pertra", "leads").reason is Reason.UNKNOWN_ACCOUNT


@pytest.mark.parametrize("verb", COUNTING)
async def test_on_an_event_loop_and_by_a_handle_they_raise_too(verb):
    ent = AsyncEnforcer(policy(), accounts=ACCOUNTS)
    handle = await ent.account("pertra")
    for call, args in ((getattr(ent, verb), ("pertra", *COUNTING[verb])), (getattr(handle, verb), COUNTING[verb])):
        with pytest.raises(UnknownAccount, match="pertra"):
            await call(*args)


@pytest.mark.parametrize("verb", COUNTING)
def test_where_the_policy_gives_unknown_accounts_a_tier_they_are_counted(verb):
    ent = Enforcer(policy(policy=WRITTEN["policy"] | {"unknown_account": "pro"}), accounts=ACCOUNTS)
    getattr(ent, verb)("pertra", *COUNTING[verb])


def test_a_hook_hears_of_operation_ids_that_had_to_go():
    """Beyond 4,096 live operations of one account the oldest are dropped, and a hook gets an event."""
    hook = RecordingHook()
    ent, _ = enforcer(hooks=(hook,))
    first = ent.consume("maxim", "leads", key="first")
    for number in range(4096):
        ent.consume("maxim", "leads", key=f"{number}")

    assert (1, False) == (len(hook.of(OperationsDropped)), ent.refund(first))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda e: e.can("petra", None), "None is a NoneType"),
        (lambda e: e.can("petra", ["sso"]), "is a list"),
        (lambda e: e.consume("petra", "reports:basic"), "is a level of a feature"),
        (lambda e: e.consume("petra", "sso"), "is a feature; ask can"),
        (lambda e: e.consume("petra", "lead"), "did you mean 'leads'?"),
    ],
)
def test_names_that_are_no_names_are_errors_too(call, says):
    """Whatever is passed for a name, the error says what it is and what to ask."""
    ent, _ = enforcer()

    with pytest.raises(UnknownFeature) as error:
        call(ent)

    assert says in str(error.value)


@pytest.mark.parametrize("clock", [time.time, time.time_ns, 5, lambda: None])
def test_a_clock_of_another_unit_is_refused_at_once(clock):
    """A clock that does not tell microseconds since 1970 is an error when the enforcer is built."""
    with pytest.raises((TypeError, ValueError), match="microseconds since 1970"):
        Enforcer(policy(), clock=clock)


def test_hooks_that_are_no_sequence_are_refused_at_once():
    """A bare callable for `hooks` is a slip that is named."""
    with pytest.raises(TypeError, match=r"hooks=\(hook,\)"):
        Enforcer(policy(), hooks=print)


def test_an_unknown_tier_says_so_in_its_trace():
    """The trace of an account with a misspelt tier names the tier."""
    ent, _ = enforcer({"x": "fremium"})

    assert "tier 'fremium' is not in the policy" in ent.decide("x", "sso").trace[0].note


def test_two_overrides_in_force_are_a_bad_account():
    """Neither of two overrides of one name is the final word."""
    twice = tuple(Override("leads", n, reason="r", author="a") for n in (1, 2))
    ent, _ = enforcer({"x": Account("x", "pro", overrides=twice)})

    with pytest.raises(AccountError, match=r"'x'.*two overrides of 'leads'"):
        ent.can("x", "sso")


def test_sentences_are_written_for_people():
    """The explanation says who, what, why, how much, when again, and what would help."""
    ent, _ = enforcer()
    ent.consume("petra", "leads", 10)

    assert (
        "account 'petra' may not use 2 of 'leads': quota-exceeded, 10 of 10 used, again in 21 days 12 hours;"
        " tier 'max' would allow it"
    ) == ent.consume("petra", "leads", 2).explanation
    assert "account 'petra' has no 'sso': not-included; tier 'max' or add-on 'phone' would allow it" == (
        ent.decide("petra", "sso").explanation
    )
    assert "unlimited" == f"{UNLIMITED:,}"
    assert {
        "used": 10,
        "reserved": 0,
        "limit": 10,
        "remaining": 0,
        "resets_at": "2026-04-01T00:00:00Z",
        "overage": 0,
        "leased": 0,
    } == (ent.usage("petra")["leads"].to_dict())


def test_a_value_that_was_bought_takes_the_label_of_the_missing_commitment_with_it():
    """A commitment that replaces a missing one also replaces its label."""
    bought = Override("support.response", "2 hours", reason="pilot", author="ops")
    ent, _ = enforcer({"x": Account("x", "free", overrides=(bought,))})

    assert timedelta(hours=2) == ent.value("x", "support.response")
    assert NOT_INCLUDED is ent.value("x", "support.response.label")
    assert int is type(ent.entitlements("x").limit("leads"))


def test_a_rate_that_is_overridden_is_a_plain_int():
    """An override of `20 per hour` is the int 20 everywhere."""
    ent, _ = enforcer({"x": Account("x", "pro", overrides=(Override("api", "20 per hour", reason="r", author="a"),))})

    assert (20, int) == (ent.consume("x", "api").limit, type(ent.entitlements("x").limit("api")))


def test_a_repeat_that_names_its_limits_in_another_order_is_the_same_charge():
    """Each part of a repeated charge has its own numbers, whatever the order of the mapping."""
    ent, _ = enforcer()
    ent.consume("petra", {"leads": 4, "agents": 2}, key="k")

    again = ent.consume("petra", {"agents": 2, "leads": 4}, key="k")

    assert (4, 2) == (again.parts["leads"].used, again.parts["agents"].used)


def test_the_record_of_a_settled_reservation_never_takes_a_callers_key():
    """No key of a caller matches a record of the library's own."""
    ent, _ = enforcer()
    ent.reserve("petra", "leads", 1, key="foo").commit()

    keys = ("foo:ended", "ended:foo", "ended:k:foo", "foo:recharge")
    assert [False] * 4 == [ent.consume("petra", "leads", key=key).replayed for key in keys]


def test_an_instant_beyond_every_calendar_is_the_last_one_there_is():
    """A bucket that refills for ten thousand years does not break its decision."""
    slow = policy(
        limits={"api": {"kind": "rate", "algorithm": "token-bucket", "burst": 2**32 - 1}},
        features={}, levels={}, add_ons={}, tiers={"pro": {"rank": 1, "limits": {"api": "1 per 28 days"}}},
    )  # fmt: skip
    ent = Enforcer(slow, accounts={"x": "pro"})

    assert 9999 == ent.consume("x", "api", 2**32 - 1).resets_at.year


def test_the_key_of_a_cancelled_reservation_reserves_again():
    """A job that failed and is retried with its key holds its units again, or is refused; never neither."""
    ent, _ = enforcer()
    with pytest.raises(TimeoutError), ent.reserve("petra", "agents", 3, key="job-1"):
        raise TimeoutError
    retried = ent.reserve("petra", "agents", 3, key="job-1")
    assert (True, False, 3) == (bool(retried), retried.decision.replayed, ent.usage("petra")["agents"].reserved)
    retried.cancel()
    ent.consume("petra", "agents")

    assert not ent.reserve("petra", "agents", 3, key="job-1")
    assert 1 == ent.usage("petra")["agents"].used


def test_no_tier_is_recommended_against_an_override():
    """An override is the final word on every tier, so nothing that is sold would help."""
    for name, value in (("leads", 5), ("sso", False)):
        ent, _ = enforcer({"x": Account("x", "pro", overrides=(Override(name, value, reason="r", author="a"),))})
        decision = ent.decide("x", name) if name == "sso" else ent.consume("x", name, 6)
        assert (False, None) == (decision.allowed, decision.remedy)


def test_a_remedy_counts_bursts_and_grants():
    """The units usable at once on another tier decide: its burst, and the grants that stay."""
    ladder = policy(
        limits={"bucket": {"kind": "rate", "algorithm": "token-bucket", "burst": 5}, "leads": {"kind": "quota"}},
        features={}, levels={}, add_ons={},
        tiers={
            "low": {"rank": 1, "limits": {"bucket": "10 per hour", "leads": 100}},
            "mid": {"rank": 2, "limits": {"bucket": "60 per hour", "leads": 5000}},
            "top": {"rank": 3, "limits": {"bucket": "unlimited", "leads": "unlimited"}},
        },
    )  # fmt: skip
    ent = Enforcer(ladder, accounts={"x": Account("x", "low", grants=(Grant("leads", 10_000),))})

    assert ("top", "mid") == (ent.consume("x", "bucket", 6).remedy.tier, ent.consume("x", "leads", 10_200).remedy.tier)


def test_the_remedy_of_a_charge_allows_all_of_it_whatever_the_order():
    """The tier that has enough of one limit may lack another: what is named allows the whole charge."""
    ladder = policy(
        limits={"leads": {"kind": "quota"}, "agents": {"kind": "allocation"}, "shown": {"kind": "quota", "mode": "shadow"}},
        features={}, levels={}, add_ons={"room": {"limits": {"leads": 50, "agents": 50}}, "leads": {"limits": {"leads": 50}}},
        tiers={
            "low": {"rank": 1, "limits": {"leads": 1, "agents": 9}},
            "mid": {"rank": 2, "limits": {"leads": 50, "agents": 1}},
            "top": {"rank": 3, "limits": {"leads": 50, "agents": 50}},
        },
    )  # fmt: skip
    ent = Enforcer(ladder, accounts={"x": "low"})

    for wanted in ({"leads": 2, "agents": 2}, {"agents": 2, "leads": 2}, {"shown": 1, "leads": 2, "agents": 2}):
        assert Remedy("top", "room") == ent.consume("x", wanted).remedy
    assert Remedy("mid", "room") == ent.consume("x", {"leads": 2, "agents": 1}).remedy
    assert Remedy("top", "room") == ent.consume("x", {"leads": 10, "agents": 20}).remedy


def test_a_remedy_counts_what_was_bought_besides():
    """An add-on that the account has, and that another tier is offered too, goes along to that tier."""
    ladder = policy(
        limits={"leads": {"kind": "quota"}}, features={"sso": "x"}, levels={},
        add_ons={"pack": {"limits": {"leads": 100}, "tiers": ["low", "top"]}, "login": {"features": ["sso"], "tiers": ["top"]}},
        tiers={
            "low": {"rank": 1, "limits": {"leads": 10}},
            "mid": {"rank": 2, "limits": {"leads": 120}},
            "top": {"rank": 3, "limits": {"leads": 130}},
        },
    )  # fmt: skip
    ent = Enforcer(ladder, accounts={"x": Account("x", "low", add_ons={"pack": 2, "login": 1})})

    assert [None, "top"] == [getattr(ent.consume("x", "leads", n).remedy, "tier", None) for n in (331, 211)]
    assert "top" == ent.decide("x", "sso").remedy.tier


def test_a_switch_that_an_override_turned_on_has_no_level():
    """Only features with levels have one, whatever an override says."""
    ent, _ = enforcer({"x": Account("x", "pro", overrides=(Override("sso", True, reason="r", author="a"),))})

    assert (True, {"reports": "basic"}) == (ent.can("x", "sso"), dict(resolution_of(ent.entitlements("x")).levels))


@pytest.mark.parametrize("first", [lambda r: r.commit(4), lambda r: r.cancel()], ids=["commit", "cancel"])
@pytest.mark.parametrize("minutes", [1, 11, 59, 75])
def test_what_was_settled_elsewhere_is_never_charged_anew(first, minutes):
    """A second commit, however late, takes nothing: it does nothing, or says that the reservation is gone."""
    ent, clock = enforcer()
    mine = ent.reserve("petra", "leads", 4, ttl=3600)
    first(ent.reservation("petra", mine.id))
    used = ent.usage("petra")["leads"].used
    clock.advance(timedelta(minutes=minutes))

    with contextlib.suppress(ReservationExpired):
        mine.commit()

    assert used == ent.usage("petra")["leads"].used


def test_a_job_that_runs_again_with_its_key_counts_once():
    """For 24 hours the key of a committed reservation repeats it, and takes nothing."""
    ent, clock = enforcer()
    for _ in range(3):
        with ent.reserve("petra", "leads", 3, ttl=60, key="job"):
            clock.advance(timedelta(minutes=15) if ent.usage("petra")["leads"].used > 3 else timedelta(seconds=1))
        clock.advance(timedelta(hours=2))

    assert 3 == ent.usage("petra")["leads"].used


@pytest.mark.parametrize("days", [20, 45, 62, 400])
def test_a_clock_that_steps_back_leaves_every_quota_usable(days):
    """Time never goes back for a quota: after a step of months its running period goes on, and counts."""
    ent, clock = enforcer()
    clock.advance(timedelta(days=days))
    ent.consume("petra", "leads", 5)
    clock.set(START)

    assert (6, True) == (ent.consume("petra", "leads").used, ent.peek("petra", "leads", 4).allowed)
    assert 6 == ent.usage("petra")["leads"].used == ent.history("petra", "leads")[0].used


def test_what_is_resolved_cannot_be_changed():
    """Resolved entitlements are shared by accounts, and are read-only."""
    ent, _ = enforcer({"x": Account("x", "pro", grants=(Grant("leads", 1),)), "y": "pro"})

    for id in ("x", "y"):
        with pytest.raises(TypeError):
            resolution_of(ent.entitlements(id)).limits["leads"] = 9


@pytest.mark.parametrize("n", [True, 1.0])
def test_units_beside_a_mapping_are_an_int_or_nothing(n):
    """A mapping has its own units; `n` is then refused, even where it equals 1."""
    ent, _ = enforcer()

    with pytest.raises(ValueError, match="leave it out"):
        ent.consume("petra", {"leads": 1}, n)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda ent: ent.can([], "sso"), AccountError, "[]"),
        (lambda ent: ent.consume({}, "leads"), AccountError, "{}"),
        (lambda ent: ent.can("petra", "x" * 100_000), UnknownFeature, "(100000 characters)"),
        (lambda ent: ent.reserve("petra", "leads", 2).commit({"nope": 0}), ValueError, "it holds leads"),
        (lambda _: Enforcer(policy(), store=None), TypeError, "NoneType is no store"),
        (lambda _: AsyncEnforcer(policy(), store=5), TypeError, "int is no store"),
        (lambda _: Enforcer(policy(), hooks=[_async_hook]), TypeError, "is async"),
        (lambda _: Policy.load(None), TypeError, "Policy.parse"),
    ],
)  # fmt: skip
def test_a_slip_is_named_with_its_cure(call, error, words):
    """A wrong argument is refused at once, with a short message."""
    ent, _ = enforcer()

    with pytest.raises(error, match=re.escape(words)) as raised:
        call(ent)

    assert len(str(raised.value)) < 400


async def _async_hook(event):
    """Would never be awaited."""


def test_a_refund_of_what_was_given_back_otherwise_says_so():
    """Units that were released, or whose holder was unassigned, are not returned a second time."""
    ent, _ = enforcer()
    taken, given = ent.consume("petra", "agents"), ent.assign("petra", "agents", "u1")
    ent.release("petra", "agents")
    ent.unassign("petra", "agents", "u1")

    assert [False, False] == [ent.refund(taken), ent.refund(given)]
    assert 0 == ent.usage("petra")["agents"].used
