"""What tests of your own need: a clock that you move, a hook that remembers, and what every store must pass."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from entitlements.testing.fakes import FakeClock, RecordingHook

if TYPE_CHECKING:
    from collections.abc import Callable
    from unittest import TestCase

    from entitlements.ports import AsyncStore, Store

__all__ = ["FakeClock", "RecordingHook", "async_store_compliance", "store_compliance"]


def store_compliance(make: Callable[[FakeClock], Store]) -> type[TestCase]:
    """
    Return the test case that every store must pass: random orders, answered as the laws say, in every field.

    It needs hypothesis. Assign what it returns to a name that your test runner collects::

        TestMyStore = store_compliance(lambda clock: MyStore(clock))

    or run it inside a test, where fixtures are at hand: `store_compliance(make)().runTest()`.
    Its class attribute `settings` takes `hypothesis.settings`: more examples, other phases.

    Args:
        make: Makes a store for one example. Its counters may outlive the example, as each
            charges an account of its own and forgets it at the end. A store that tells
            the time by the clock it is given meets leaps and steps back; one that has a
            clock of its own is held to the instants that it answers with.

    Raises:
        ImportError: Where hypothesis is not installed.
    """
    _check_hypothesis()
    from entitlements.testing.compliance import store_case

    return store_case(make)


def async_store_compliance(make: Callable[[FakeClock], AsyncStore]) -> type[TestCase]:
    """Same as `store_compliance()` but for an `AsyncStore`; *make* is called on the loop that the orders run on."""
    _check_hypothesis()
    from entitlements.testing.compliance import async_store_case

    return async_store_case(make)


def _check_hypothesis() -> None:
    if find_spec("hypothesis") is None:
        raise ImportError("the compliance suite of stores needs hypothesis; run pip install hypothesis")
