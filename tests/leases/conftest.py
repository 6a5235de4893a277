"""Leases whose units come back when a test says so, and by no timer."""

import pytest

from entitlements.leases import threads


@pytest.fixture(scope="package", autouse=True)
def _without_timers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "start_timer", lambda _: None)
        yield
