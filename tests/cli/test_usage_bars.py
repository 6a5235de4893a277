"""Bars of `entitlements usage`."""

from hypothesis import given
from hypothesis import strategies as st

from entitlements.cli.usage_bars import ASCII_BAR, WIDTH, _bar
from entitlements.cli.usage_meters import UsageMeter
from entitlements.model.limits import UNLIMITED, Allocation
from entitlements.model.usage import Usage

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
