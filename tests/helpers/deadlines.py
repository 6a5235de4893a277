"""Deadlines that a busy machine keeps, for tests of something other than deadlines."""

from __future__ import annotations

from contextlib import contextmanager
from time import thread_time

from entitlements.model.instants import SECOND

LONG = 20 * SECOND


def patient(limits):
    """Return the limits of a written policy, each with a deadline of 20 seconds unless it has its own."""
    return {name: {"deadline": "20 seconds"} | written for name, written in limits.items()}


@contextmanager
def within_cpu_seconds(most=1.0):
    """Check that the block computes no longer than so many seconds; waiting for other programs does not count."""
    began = thread_time()
    yield
    assert thread_time() - began <= most
