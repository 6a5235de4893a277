"""Arguments of a wrong shape: the message names the argument, the value and the cure."""

import pytest

from entitlements import Account, AccountError, CsvAccounts, Enforcer, Grant, Override, Policy

POLICY = Policy.parse({"policy": {"version": 1}, "tiers": {"free": {"rank": 1}}})
OVERRIDE = Override("sso", True, reason="pilot", author="ops")
FREE = Account("acme", "free")


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: Account("acme", "free", overrides=OVERRIDE), AccountError, r"overrides=\[Override\(\.\.\.\)\]"),
        (lambda: Account("acme", "free", grants=5), AccountError, r"grants 5 must be .*; write grants=\[Grant\("),
        (lambda: Account("acme", "free", grants=[OVERRIDE]), AccountError, r"is not a Grant; write Grant\("),
        (lambda: Account("acme", "free", trial="pro"), AccountError, r"trial 'pro' is not a Trial; write Trial\("),
        (lambda: Account("acme", "free", add_ons=["more"]), AccountError, r"must be a mapping; write \{name: value\}"),
        (lambda: Account("acme", "free", attributes=5), AccountError, "attributes 5 must be a mapping"),
        (lambda: CsvAccounts(5), TypeError, "path 5 is a int; give the path of a CSV file"),
        (lambda: CsvAccounts("a.csv", ignore="Status"), TypeError, r"write ignore=\['Status'\]"),
        (
            lambda: Enforcer(POLICY).health(FREE, 5),
            AccountError,
            r"measured 5 is no mapping; write \{component: score\}",
        ),
        (lambda: Enforcer(POLICY).review(FREE, events="merger"), ValueError, "'merger' is no event"),
        (lambda: Grant("two words", 5), AccountError, "is not a name; write letters"),
    ],
)
def test_a_wrong_shape_is_named_with_its_cure(build, error, says):
    with pytest.raises(error, match=says):
        build()
