"""An outage policy with a time of its own, and courses that are answered step by step."""

from __future__ import annotations

from entitlements.model.charge import Charge, Part, Refund
from entitlements.model.instants import MINUTE, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.errors import Unreachable
from entitlements.stores.resilience.local_limits import LocalLimits
from entitlements.stores.resilience.policy import OutagePolicy
from entitlements.stores.resilience.replay_queue import JournalEntry

NOW = 1_000 * SECOND
API = Part(Rate("api", MINUTE), 10, 1)
SERVERS = {"a": "one", "b": "one", "c": "two"}
"""Accounts and their servers."""


class World:
    """An outage policy, the time, and the events that it told."""

    def __init__(self, server_of=None):
        self.now, self.told = NOW, []
        clock = self.clock
        self.policy = OutagePolicy("store x", LocalLimits(1, clock, 0), self.told.append, clock, server_of)

    def clock(self):
        return self.now

    def wait(self, *accounts):
        """Let a refund of each account wait."""
        for number, account in enumerate(accounts):
            assert self.policy.journal.queue.add(JournalEntry(Refund(account, f"o:{number}")))

    def open(self, account, times=5):
        for _ in range(times):
            self.policy.failed(
                charge(account), Unreachable("x"), self.policy.breaker_of(account).closed_permit, self.now
            )


def closed(world):
    """Yield a world, and drop what waits in it: it would be logged as lost."""
    yield world
    world.policy.journal.renew()


def charge(account="acme", **named):
    return Charge(account, (API,), **named)


def drive(course, *answers):
    """Answer what a course sends, and return what it sent and its result."""
    sent, answers = [], list(answers)
    try:
        order = next(course)
        while True:
            sent.append(order)
            answer = answers.pop(0)
            order = course.throw(answer) if isinstance(answer, Exception) else course.send(answer)
    except StopIteration as done:
        return sent, done.value
