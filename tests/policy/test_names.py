"""Names as other systems have them: any case, digits, `.`, `_` and `-`; the case counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, AccountError, Enforcer, Override, Policy, UnknownAccount, UnknownFeature
from entitlements.model.names import nearest

NAMES = st.text("abcXYZ019._-", min_size=1, max_size=12).filter(
    lambda name: name.casefold() not in {"none", "not-included"}
)
FLAGS = Policy.parse(
    {
        "policy": {"version": 1},
        "features": {"SSO": "Single sign-on", "custom_reports": "Reports", "customReports": "Other reports"},
        "levels": {"Analytics": ["none", "Basic_1", "PRO.2"]},
        "limits": {"API_calls": {"kind": "rate"}, "seatCount": {"kind": "allocation"}},
        "tiers": {
            "Free": {"rank": 1, "levels": {"Analytics": "Basic_1"}, "limits": {"seatCount": 1}},
            "PRO_2026": {
                "rank": 2,
                "features": ["SSO", "custom_reports", "customReports"],
                "levels": {"Analytics": "PRO.2"},
                "limits": {"API_calls": "10 per hour", "seatCount": 5},
                "values": {"Support": {"replyTime": "4 hours"}},
            },
        },
        "add_ons": {"More_Seats": {"limits": {"seatCount": 5}}},
    }
)


@given(st.lists(NAMES, min_size=7, max_size=7, unique=True))
def test_any_name_of_the_contract_is_a_name_of_everything(names):
    """Features, levels, limits, values, tiers and add-ons share one grammar."""
    feature, levels, low, limit, value, tier, add_on = names
    policy = Policy.parse(
        {
            "policy": {"version": 1},
            "features": {feature: "x"},
            "levels": {levels: ["none", low]},
            "limits": {limit: {"kind": "quota"}},
            "tiers": {
                f"t{tier}": {
                    "rank": 1,
                    "features": [feature],
                    "levels": {levels: low},
                    "limits": {limit: 5},
                    "values": {f"v{value}": "text"},
                }
            },
            "add_ons": {add_on: {"limits": {limit: 5}}},
        }
    )
    enforcer = Enforcer(policy)
    account = Account("acme", f"t{tier}", add_ons={add_on: 1}, overrides=[_override(f"v{value}", "other")])

    assert enforcer.can(account, feature)
    assert enforcer.can(account, f"{levels}:{low}")
    assert enforcer.consume(account, limit, 10).allowed
    assert "other" == enforcer.value(account, f"v{value}")


def test_the_case_of_a_name_counts():
    enforcer = Enforcer(FLAGS, accounts={"acme": "PRO_2026"})

    assert enforcer.can("acme", "SSO")
    assert enforcer.consume("acme", {"API_calls": 1, "seatCount": 1}).allowed
    assert "PRO.2" == enforcer.value("acme", "Analytics")
    with pytest.raises(UnknownFeature):
        enforcer.can("acme", "sso")


@pytest.mark.parametrize(
    ("asked", "cure"),
    [
        ("sso", "did you mean 'SSO'?"),
        ("CUSTOM_REPORTS", "did you mean 'custom_reports'?"),
        ("api_calls", "did you mean 'API_calls'?"),
        ("Analytics:basic_1", "its levels are none, Basic_1, PRO.2; did you mean 'Basic_1'?"),
        ("analytics:Basic_1", "did you mean 'Analytics'?"),
    ],
)
def test_a_name_in_another_case_is_suggested(asked, cure):
    with pytest.raises(UnknownFeature) as error:
        Enforcer(FLAGS, accounts={"acme": "Free"}).can("acme", asked)

    assert cure in str(error.value)


def test_names_that_differ_in_case_alone_are_counted_apart_on_every_store(any_store):
    sizes = {"Leads_1": 3, "leads_1": 5, "LEADS_1": 7}
    limits = {name: {"kind": "quota", "deadline": "10 seconds"} for name in sizes}
    policy = Policy.parse(
        {"policy": {"version": 1}, "limits": limits, "tiers": {"Pro_1": {"rank": 1, "limits": sizes}}}
    )
    with Enforcer(policy, accounts={"acme": "Pro_1"}, store=any_store) as enforcer:
        assert enforcer.consume("acme", {"Leads_1": 3, "leads_1": 2, "LEADS_1": 1})
        assert not enforcer.consume("acme", "Leads_1")
        assert {"Leads_1": 3, "leads_1": 2, "LEADS_1": 1} == {
            name: usage.used for name, usage in enforcer.usage("acme").items()
        }


@given(NAMES)
def test_a_name_is_nearest_to_itself_in_every_case(name):
    for other in (name.upper(), name.lower(), name.swapcase()):
        assert f"; did you mean {name!r}?" == nearest(other, [name, "zzzzzzzzzzzz"])


def test_arguments_in_the_wrong_order_are_named():
    enforcer = Enforcer(FLAGS, accounts={"acme": "Free"})

    for ask in (enforcer.can, enforcer.decide, enforcer.consume, enforcer.peek):
        with pytest.raises(
            UnknownFeature, match="given as the account, is a name of the policy: write the account first"
        ):
            ask("seatCount", "acme")


@pytest.mark.parametrize("unknown_account", ["deny", "raise", "Free"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda enforcer: enforcer.set_usage("seatCount", "acme", 3),
        lambda enforcer: enforcer.release("seatCount", "acme"),
        lambda enforcer: enforcer.holders("seatCount", "acme"),
        lambda enforcer: enforcer.history("seatCount", "acme"),
        lambda enforcer: enforcer.reset("API_calls", "acme"),
        lambda enforcer: enforcer.reserve("seatCount", "acme"),
        lambda enforcer: enforcer.assign("seatCount", "acme", "u1"),
        lambda enforcer: enforcer.unassign("seatCount", "acme", "u1"),
    ],
)
def test_a_limit_in_the_place_of_the_account_is_named_by_every_verb(ask, unknown_account):
    policy = Policy.parse(
        {
            "policy": {"version": 1, "unknown_account": unknown_account},
            "limits": {"API_calls": {"kind": "rate"}, "seatCount": {"kind": "allocation"}},
            "tiers": {"Free": {"rank": 1, "limits": {"API_calls": "10 per hour", "seatCount": 1}}},
        }
    )

    with pytest.raises((UnknownAccount, UnknownFeature), match="write the account first"):
        ask(Enforcer(policy, accounts={"acme": "Free"}))


@pytest.mark.parametrize("verb", ["assign", "unassign"])
def test_a_limit_in_the_place_of_the_holder_is_told_the_order(verb):
    enforcer = Enforcer(FLAGS, accounts={"acme": "Free"})

    with pytest.raises(UnknownFeature, match=rf"write {verb}\(account, limit, holder\)"):
        getattr(enforcer, verb)("acme", "u1", "seatCount")


def test_what_is_no_name_is_refused_with_the_signs_of_names():
    with pytest.raises(AccountError, match=r"is not a name; write letters \(A-Z, a-z\), digits, and \. _ -"):
        _override("two words", True)


@pytest.mark.parametrize("written", ["P1", "p1", " P1 "])
def test_a_priority_is_found_in_any_case(written):
    values = {"sla": {"P1": {"response": "4 hours", "resolution": "1 day"}}}
    policy = Policy.parse({"policy": {"version": 1}, "tiers": {"Free": {"rank": 1, "values": values}}})

    assert "P1" == Enforcer(policy).sla(Account("acme", "Free"), written).priority


def test_a_node_that_the_library_reads_is_not_misspelt_by_its_case():
    with pytest.raises(ValueError, match="did you mean 'sla'"):
        Policy.parse(
            {
                "policy": {"version": 1},
                "tiers": {"free": {"rank": 1, "values": {"SLA": {"p1": {"response": "4 hours"}}}}},
            }
        )


def _override(name, value):
    return Override(name, value, reason="test", author="test")
