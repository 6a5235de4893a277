"""`assert_denied`: what it accepts, and what it says of arguments that cannot be meant."""

from datetime import timedelta

import pytest
from trade import enforcer

from entitlements import AsyncEnforcer, Denied, Reason, Remedy
from entitlements.testing import assert_denied


@pytest.fixture
def denied():
    shop, _ = enforcer()
    shop.consume("frida", "leads", 3)
    return shop.consume("frida", "leads")


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"reason": "quota-exceeded"},
        {"reason": Reason.QUOTA_EXCEEDED, "remedy": "pro"},
        {"remedy": Remedy("pro", None), "used": 3, "limit": 3, "remaining": 0, "tier": "free", "via": "memory"},
        {"retry_after": timedelta(days=21, hours=12)},
    ],
)
def test_a_refusal_that_is_as_expected_is_returned(denied, expected):
    assert denied is assert_denied(denied, **expected)


def test_the_exception_is_as_good_as_its_decision(denied):
    with pytest.raises(Denied) as raised:
        denied.raise_for_denied()

    assert denied is assert_denied(raised.value, "quota-exceeded")


async def test_a_reservation_is_as_good_as_its_decision():
    shop, _ = enforcer()
    granted, refused = shop.reserve("frida", "leads", 3), shop.reserve("frida", "leads")

    assert refused.decision is assert_denied(refused, "quota-exceeded", remedy="pro")
    with pytest.raises(AssertionError, match=r"(?s)- allowed +no\n  \+ allowed +yes"):
        assert_denied(granted)
    asynchronous = AsyncEnforcer(shop.policy, accounts={"frida": "free"})
    assert_denied(await asynchronous.reserve("frida", "leads", 4), "never-fits")
    with pytest.raises(TypeError, match="write `await` before the call"):
        assert_denied(asynchronous.reserve("frida", "leads"))


@pytest.mark.parametrize(
    ("expected", "differs"),
    [
        ({"reason": "suspended"}, ["- reason       suspended", "+ reason       quota-exceeded"]),
        ({"remedy": None}, ["- remedy       none", "+ remedy       tier 'pro'"]),
        ({"remedy": "max"}, ["- remedy       tier or add-on 'max'", "+ remedy       tier 'pro'"]),
        ({"resets_at": None}, ["- resets_at    none", "+ resets_at    2026-04-01 00:00:00+00:00"]),
    ],
)
def test_each_difference_has_a_line_for_both_sides(denied, expected, differs):
    with pytest.raises(AssertionError) as raised:
        assert_denied(denied, **expected)

    assert differs == [line.strip() for line in str(raised.value).splitlines() if line.startswith(("  -", "  +"))]


def test_an_allowed_decision_differs_in_allowed():
    shop, _ = enforcer()

    with pytest.raises(AssertionError, match=r"(?s)- allowed +no\n  \+ allowed +yes"):
        assert_denied(shop.consume("frida", "leads"))


async def test_what_is_no_decision_is_named_with_the_cure(denied):
    shop, _ = enforcer()
    asynchronous = AsyncEnforcer(shop.policy, accounts={})
    coroutine = asynchronous.consume("frida", "leads")

    with pytest.raises(TypeError, match=r"False is a bool and no decision; pass what consume\(\)"):
        assert_denied(shop.can("frida", "sso"))
    with pytest.raises(TypeError, match="write `await` before the call"):
        assert_denied(coroutine)
    coroutine.close()
    with pytest.raises(ValueError, match="'quota-exceded' is no reason; did you mean 'quota-exceeded'"):
        assert_denied(denied, "quota-exceded")
    with pytest.raises(TypeError, match="a decision has no attribute 'usd' to compare"):
        assert_denied(denied, usd=3)
