"""Test helpers for users: a fake clock, a recording hook, `assert_denied`, and the compliance suite of stores."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from entitlements.testing.denials import assert_denied
from entitlements.testing.fakes import FakeClock, RecordingHook
from entitlements.testing.faulty_store import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from unittest import TestCase

    from entitlements.ports import AsyncStore, Store

__all__ = ["FakeClock", "Fault", "RecordingHook", "assert_denied", "async_store_compliance", "store_compliance"]


def store_compliance(make: Callable[[FakeClock], Store]) -> type[TestCase]:
    """
    Return the test case that every store must pass: it compares each answer to random orders with a reference.

    It needs hypothesis. Assign the test case to a name that your test runner collects::

        TestMyStore = store_compliance(lambda clock: MyStore(clock))

    or run it inside a test, with fixtures: `store_compliance(make)().runTest()`. Its class
    attribute `settings` takes `hypothesis.settings`: more examples, other phases.

    Args:
        make: Returns a store for one example. Its counters may outlive the example: each
            example uses an account of its own and deletes it at the end. A store that uses
            the given clock is tested with leaps and steps back. A store with a clock of its
            own is compared at the instants in its answers.

    Raises:
        ImportError: If hypothesis is not installed.
    """
    _check_hypothesis()
    from entitlements.testing.compliance import store_test_case

    return store_test_case(make)


def async_store_compliance(make: Callable[[FakeClock], AsyncStore]) -> type[TestCase]:
    """Return the test case of an `AsyncStore`, as `store_compliance()`; *make* is called on the loop of its orders."""
    _check_hypothesis()
    from entitlements.testing.compliance import async_store_test_case

    return async_store_test_case(make)


def _check_hypothesis() -> None:
    if find_spec("hypothesis") is None:
        raise ImportError("the compliance suite of stores needs hypothesis; run pip install hypothesis")
