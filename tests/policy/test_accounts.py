"""Binding of accounts to a policy: aliases, parsed override values, and all problems at once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from entitlements.errors import AccountError
from entitlements.model.account import Account, Change, Grant, Override, Trial
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
from entitlements.policy import Policy
from entitlements.policy.accounts import bind
from entitlements.policy.quantities import RateSize

POLICY = Policy.parse(
    {
        "policy": {"version": 1},
        "features": {"sso": "Single sign-on"},
        "levels": {"reports": ["none", "basic", "full"]},
        "limits": {
            "api": {"kind": "rate"},
            "leads": {"kind": "quota", "unit": "lead"},
            "storage": {"kind": "allocation", "unit": "byte"},
        },
        "tiers": {
            "free": {
                "rank": 1,
                "aliases": ["tier-1"],
                "limits": {"api": "10 per hour", "leads": 10, "storage": "1 GB"},
            },
            "pro": {
                "rank": 2,
                "aliases": ["tier-2"],
                "features": ["sso"],
                "levels": {"reports": "full"},
                "limits": {"api": "100 per hour", "leads": "unlimited", "storage": "1 TB"},
                "values": {
                    "support": {"reply": "4 hours", "phone": "business-hours", "on-site": False},
                    "price": 49,
                    "uptime": {"no-commitment": "Best effort"},
                    "cities": ["Lyon"],
                },
            },
            "try": {
                "rank": 2,
                "extends": "pro",
                "trial": {"of": "14 days", "from": "7 days", "to": "30 days", "then": "free"},
            },
        },
        "add_ons": {"more-leads": {"limits": {"leads": 100}}},
    }
)
START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = 3_600_000_000


def days(count):
    return START + timedelta(days=count)


def override(name, value):
    return Override(name, value, reason="asked", author="ada")


def bound(tier="pro", **more):
    return bind(POLICY, Account("acme", tier, **more))


def error_of(tier="pro", **more):
    """Return the error message of an account that is not valid."""
    with pytest.raises(AccountError) as error:
        bound(tier, **more)
    return str(error.value)


def test_aliases_become_ids_wherever_an_account_names_a_tier():
    """Its own tier, the tier of its trial, and those of its changes."""
    account = bound(
        "tier-1",
        trial=Trial("tier-2", START, days(20)),
        changes=[Change("tier-2", at=days(30))],
        add_ons={"more-leads": 2},
    )

    assert ("free", "pro", "pro") == (account.tier, account.trial.tier, account.changes[0].tier)
    assert {"more-leads": 2} == account.add_ons


def test_a_tier_that_the_policy_does_not_know_is_left_as_it_is():
    """The policy's `unknown_account` decides about it later."""
    assert "gold" == bound("gold").tier


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("sso", True, True),
        ("sso", False, NOT_INCLUDED),
        ("sso", "not-included", NOT_INCLUDED),
        ("reports", "basic", "basic"),
        ("reports", "none", "none"),
        ("reports", True, "basic"),
        ("reports", NOT_INCLUDED, NOT_INCLUDED),
        ("leads", 50, 50),
        ("leads", "50", 50),
        ("leads", 0, 0),
        ("leads", "unlimited", UNLIMITED),
        ("leads", UNLIMITED, UNLIMITED),
        ("leads", "not-included", NOT_INCLUDED),
        ("storage", "5 GB", 5 * 10**9),
        ("api", "200 per hour", RateSize(200, HOUR)),
        ("api", "unlimited", UNLIMITED),
        ("api", 0, RateSize(0, HOUR)),
        ("support.reply", "8 hours", timedelta(hours=8)),
        ("support.reply", timedelta(hours=1), timedelta(hours=1)),
        ("support.phone", "24/7", "24/7"),
        ("support.on-site", True, True),
        ("price", "39.90", Decimal("39.90")),
        ("price", 39, Decimal(39)),
        ("price", NOT_INCLUDED, NOT_INCLUDED),
        ("uptime", None, None),
        ("uptime.label", "Almost always", "Almost always"),
        ("cities", ["Lyon", 5], ("Lyon", Decimal(5))),
    ],
)
def test_the_value_of_an_override_has_the_type_of_its_name(name, raw, value):
    """The same type as a value of that name in the policy."""
    (found,) = bound(overrides=[override(name, raw)]).overrides

    assert (value, type(value)) == (found.value, type(found.value))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"trial": Trial("gold", START, days(9))},
            "trial names 'gold', which is no tier; there are free, pro, try, tier-1, tier-2",
        ),
        ({"trial": Trial("tyr", START, days(9))}, "trial names 'tyr', which is no tier; did you mean 'try'?"),
        (
            {"changes": [Change("gold", at=START)]},
            "change names 'gold', which is no tier; there are free, pro, try, tier-1, tier-2",
        ),
        ({"add_ons": {"more-lead": 1}}, "'more-lead' is no add-on; did you mean 'more-leads'?"),
        ({"add_ons": {"phone": 1}}, "'phone' is no add-on; there are more-leads"),
        ({"grants": [Grant("laeds", 5)]}, "grant names 'laeds', which is no limit; did you mean 'leads'?"),
        (
            {"grants": [Grant("api", 2**32)]},
            "grant of 4294967296 'api' is above the largest rate; write at most 4294967295",
        ),
        (
            {"trial": Trial("free", START, days(9))},
            "trial of 'free' is below the account's own tier 'pro', and a trial takes nothing away; let it try a tier of rank 2 or higher",
        ),
        ({"trial": Trial("try", START, days(31))}, "trial of 'try' lasts 31 days; let it last 7 days to 30 days"),
        ({"trial": Trial("try", START, days(6))}, "trial of 'try' lasts 6 days; let it last 7 days to 30 days"),
        (
            {"changes": [Change("try", at=START)]},
            "change to 'try' is a trial plan, and this one has no end; write tier='free', trial=Trial('try', starts, ends)",
        ),
        (
            {"overrides": [override("ss0", True)]},
            "override of 'ss0': the policy knows no such name; did you mean 'sso'?",
        ),
        (
            {"overrides": [override("zebra", True)]},
            "override of 'zebra': the policy knows no such name; name a feature, a limit or a value key",
        ),
        (
            {"overrides": [override("support", "x")]},
            "override of 'support': it is a group of values; override the keys below it, such as 'support.on-site'",
        ),
        (
            {"overrides": [override("sso", "basic")]},
            "override of 'sso': 'basic' is not for a switch; write true or not-included",
        ),
        (
            {"overrides": [override("reports", "fulll")]},
            "override of 'reports': 'fulll' is not one of its levels; did you mean 'full'?",
        ),
        (
            {"overrides": [override("reports", 7)]},
            "override of 'reports': 7 is not one of its levels; write none, basic or full, or not-included",
        ),
        (
            {"overrides": [override("leads", -1)]},
            "override of 'leads': -1 is negative; write unlimited, 0 or not-included",
        ),
        (
            {"overrides": [override("leads", 1.5)]},
            "override of 'leads': 1.5 is not a whole number; write a whole number such as 100, unlimited or not-included",
        ),
        (
            {"overrides": [override("leads", "5 GB")]},
            "override of 'leads': '5 GB' is a size in bytes, and leads has unit 'lead'; write a whole number, or let the limit say unit: byte",
        ),
        (
            {"overrides": [override("api", "5 per minute")]},
            "override of 'api': '5 per minute' does not count per hour as api does; write it per hour",
        ),
        ({"overrides": [override("api", 5)]}, "override of 'api': 5 names no window; write '5 per hour'"),
        (
            {"overrides": [override("support.reply", "soon")]},
            "override of 'support.reply': 'soon' is not a duration; write one such as '14 days', '30 minutes', '50 ms' or 'PT2H'",
        ),
        (
            {"overrides": [override("price", "cheap")]},
            "override of 'price': 'cheap' is not a number; write one such as 99.95",
        ),
        (
            {"overrides": [override("price", 9.5)]},
            "override of 'price': 9.5 is not a configuration value; write Decimal('9.5')",
        ),
        (
            {"overrides": [override("price", {"a": 1})]},
            "override of 'price': {'a': 1} is not one value; override each key below it",
        ),
    ],
)
def test_an_account_that_cannot_be_says_what_and_why(more, says):
    """One sentence: the account, the problem and the cure."""
    assert f"account 'acme': {says}" == error_of(**more)


def test_a_trial_plan_can_only_be_tried():
    """As an account's own tier it would have no end; the message uses the alias of the account."""
    assert (
        "account 'acme': tier 'try' is a trial plan, and this one has no end; write tier='free',"
        " trial=Trial('try', starts, ends)"
    ) == error_of("try")


@pytest.mark.parametrize("length", [7, 30])
def test_a_trial_may_last_as_long_as_its_terms_say(length):
    """Both bounds are included."""
    assert days(length) == bound(trial=Trial("try", START, days(length))).trial.ends


def test_a_trial_that_runs_already_may_have_any_end():
    """Its start is not known."""
    assert bound(trial=Trial("try", None, days(1000))).trial.starts is None


def test_a_tier_without_terms_may_be_tried_for_any_time():
    """Only a trial plan limits the length."""
    assert days(1000) == bound("free", trial=Trial("pro", START, days(1000))).trial.ends


def test_everything_that_is_wrong_is_said_at_once():
    """Names first, then tiers, then values."""
    said = error_of(
        "try",
        trial=Trial("gold", START, days(9)),
        add_ons={"phone": 1},
        grants=[Grant("seats", 1)],
        overrides=[override("leads", -1), override("api", 5)],
    )

    parts = said.removeprefix("account 'acme': ").split("; also: ")
    assert ["trial names", "'phone' is", "grant names", "tier 'try'", "override of", "override of"] == [
        " ".join(part.split()[:2]) for part in parts
    ]


def test_what_is_bound_may_be_bound_again():
    """Binding is idempotent."""
    once = bound(
        "tier-1",
        trial=Trial("tier-2", START, days(20)),
        changes=[Change("tier-2", at=days(30))],
        grants=[Grant("api", 5)],
        overrides=[
            override("api", "200 per hour"),
            override("sso", False),
            override("reports", True),
            override("storage", "5 GB"),
            override("support.reply", "8 hours"),
            override("support.phone", "24 hours a day"),
            override("price", "39.90"),
            override("cities", ["Lyon"]),
            override("uptime", None),
        ],
    )

    twice = bind(POLICY, once)

    assert once == twice
    assert [type(each.value) for each in once.overrides] == [type(each.value) for each in twice.overrides]


def test_the_account_that_was_given_is_not_changed():
    """Binding returns a new account."""
    account = Account("acme", "tier-1", overrides=[override("leads", "5")])

    bind(POLICY, account)

    assert ("tier-1", "5") == (account.tier, account.overrides[0].value)


def test_one_account_may_be_bound_to_two_policies():
    """The window of a rate that was parsed for one policy is checked for the other."""
    daily = Policy.parse(
        {
            "policy": {"version": 2},
            "limits": {"api": {"kind": "rate"}},
            "tiers": {"pro": {"rank": 1, "limits": {"api": "5 per day"}}},
        }
    )
    account = bound(overrides=[override("api", "200 per hour")])

    with pytest.raises(AccountError, match="does not count per day"):
        bind(daily, account)
