"""Rate limit queries: the orders that a strategy sends to a store, and its readings of the answers."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from limits.util import WindowStats

from entitlements.errors import StoreError
from entitlements.model.answers import Answer, Outcome, Status
from entitlements.model.charge import Charge, Part, Read, Verb
from entitlements.model.instants import SECOND
from entitlements.model.limits import Algorithm, Rate
from entitlements.model.names import MAX_ID, MAX_RATE, check_count

if TYPE_CHECKING:
    from limits import RateLimitItem

_SURROGATE = re.compile("[\ud800-\udfff]")


class LimitQuery(NamedTuple):
    """
    A query about one limit of one client.

    Args:
        algorithm: The rate algorithm.
        item: The limit.
        identifiers: The client.
    """

    algorithm: Algorithm
    item: RateLimitItem
    identifiers: tuple[str, ...]

    def static_answer(self, cost: int) -> bool | None:
        """
        Return the answer if it needs no store, else None.

        Raises:
            ValueError: If the cost is not a count, or the limit is above the largest rate.
        """
        if self.item.amount > MAX_RATE:
            raise ValueError(f"limit {self.item!r} is above the largest rate, {MAX_RATE}; write less")
        if check_count(cost, least=0) == 0:
            return True
        return False if cost > self.item.amount else None

    def charge(self, verb: Verb, cost: int, deadline: int) -> Charge:
        """Return the order that charges *cost* units; *deadline* in microseconds."""
        return Charge(meter_key(self.item, self.identifiers), (self._part(cost, deadline),), verb)

    def read(self, deadline: int) -> Read:
        """Return the order that reads the usage; *deadline* in microseconds."""
        return Read(meter_key(self.item, self.identifiers), (self._part(1, deadline),))

    def window_stats(self, answer: Answer | None, now: int) -> WindowStats:
        """
        Return the units that remain, and when one unit fits again if none remain, else when all do.

        The wait is measured by the store's clock. The instant is on the caller's clock, with
        which the caller compares it, and rounded up to a whole second: Flask-Limiter makes
        `Retry-After` of it by two truncations, which must not end before the wait does.

        Args:
            answer: The answer to `read`; None for a limit of 0.
            now: The caller's clock, in microseconds.
        """
        if answer is None:
            return WindowStats(now / SECOND, 0)
        assert isinstance(answer, Outcome)
        line = answer.lines[0]
        at = line.resets_at if line.fits else line.retry_at
        assert at is not None
        assert line.used is not None
        return WindowStats(-((-now - max(0, at - answer.now)) // SECOND), max(0, self.item.amount - line.used))

    def _part(self, cost: int, deadline: int) -> Part:
        return Part(_rate(self.algorithm, self.item.get_expiry(), deadline), self.item.amount, cost)


def meter_key(item: RateLimitItem, identifiers: tuple[str, ...]) -> str:
    """
    Return the key of a meter.

    Identifiers can be any text that a client sends. A key that is too long, or holds lone
    surrogates, is replaced by its digest, with a prefix that no other key has.
    """
    key = item.key_for(*identifiers)
    if len(key) <= MAX_ID and not _SURROGATE.search(key):
        return key
    return "~" + sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=1024)
def _rate(algorithm: Algorithm, seconds: int, deadline: int) -> Rate:
    return Rate(algorithm.value, seconds * SECOND, algorithm, deadline=deadline)


def check_answer(answer: Answer) -> Answer:
    """
    Return *answer*, unchanged.

    Raises:
        StoreError: If the memory store was full and did not count the charge.
    """
    if isinstance(answer, Outcome) and answer.status is Status.UNAVAILABLE:
        raise StoreError("the memory store is full; raise the storage option max_keys, or share a Redis")
    return answer


def is_admitted(answer: Answer) -> bool:
    """Return True if a charge was admitted."""
    assert isinstance(answer, Outcome)
    return answer.status in (Status.ADMITTED, Status.WAIVED)
