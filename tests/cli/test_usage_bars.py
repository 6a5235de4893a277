"""Bars of `entitlements usage`."""

from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Enforcer, Policy
from entitlements.cli.console import CliConsole
from entitlements.cli.usage_bars import ASCII_BAR, WIDTH, _bar, usage_lines
from entitlements.model.decision_fields import facts_of
from entitlements.model.limits import UNLIMITED, Allocation
from entitlements.model.usage import Usage
from entitlements.presentation.usage_meters import UsageMeter, meter_of

COUNTS = st.integers(0, 2**53 - 1) | st.integers(0, 50)


def bar(size, used, reserved=0):
    return _bar(UsageMeter(Allocation("seats"), Usage(used, reserved, size, 0, None)), ASCII_BAR)


@given(size=COUNTS, used=COUNTS, share=st.floats(0, 1))
def test_a_bar_is_full_only_at_the_limit_and_empty_only_where_nothing_is_used(size, used, share):
    drawn = bar(size, used, int(used * share))

    assert WIDTH == len(drawn)
    assert ("." not in drawn) == (0 < used >= size)
    assert (drawn == "." * WIDTH) == (used == 0)


def test_the_bar_of_0_of_0_is_empty_and_that_of_1_of_0_is_full():
    assert ("." * WIDTH, "#" * WIDTH) == (bar(0, 0), bar(0, 1))


def test_an_unlimited_limit_has_an_empty_bar():
    assert "." * WIDTH == bar(UNLIMITED, 10**9)


def lines(account, scope=None):
    policy = Policy.parse({
        "policy": {"version": "7"},
        "limits": {"api": {"kind": "rate"}, "look-ups": {"kind": "rate", "per": "ip"}, "search": {"kind": "rate", "per": "user"}},
        "tiers": {"one": {"rank": 1, "limits": {"api": "9 per hour", "look-ups": "5 per minute"}}},
    })  # fmt: skip
    enforcer = Enforcer(policy)
    entitlements = enforcer.entitlements(account)
    used = enforcer.usage(account, scope=scope)
    meters = [meter_of(facts_of(enforcer.decide(account, name)), each, None, 0) for name, each in used.items()]
    return [str(line) for line in usage_lines(CliConsole(), entitlements, scope, meters)]


def test_a_quota_for_a_lifetime_has_no_reset_and_is_refused_for_good():
    policy = Policy.parse({
        "policy": {"version": "7"}, "limits": {"credits": {"kind": "quota", "period": "lifetime"}},
        "tiers": {"one": {"rank": 1, "limits": {"credits": 9}}},
    })  # fmt: skip
    with Enforcer(policy, accounts={"acme": "one"}) as enforcer:
        enforcer.consume("acme", "credits", 3)
        usage = enforcer.usage("acme")["credits"]
        meter = meter_of(
            facts_of(enforcer.decide("acme", "credits")), usage, enforcer.history("acme", "credits")[0].start, 0
        )
        told = [str(line) for line in usage_lines(CliConsole(), enforcer.entitlements("acme"), None, [meter])]

    assert any("9 in total" in line for line in told)
    assert any("at 100 %: refused for good" in line for line in told)
    assert not any("period ends" in line or "projected" in line for line in told)


def test_a_suspended_account_is_said_to_be_refused_whatever_is_left():
    told = "suspended: every charge is refused, whatever is left"
    assert [False, True] == [told in lines(Account("acme", "one", status=each)) for each in ("active", "suspended")]


def test_limits_of_scopes_are_named_if_no_scope_is_given():
    told = "not shown, because it is counted for each scope: look-ups per ip; add --scope"
    assert [True, False] == [told in lines(Account("acme", "one"), scope) for scope in (None, "10.0.0.1")]
