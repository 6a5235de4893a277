"""
The pure half: what the strategies ask of a store, and what they read from the answer.

And the way from a URL of `limits` to one of ours.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl, urlencode

from limits.errors import ConfigurationError
from limits.util import WindowStats

from entitlements.errors import StoreError
from entitlements.model.answers import Answer, Outcome, Status
from entitlements.model.charge import Charge, Part, Read, Verb
from entitlements.model.instants import SECOND
from entitlements.model.limits import Algorithm, Rate
from entitlements.model.names import MAX_ID, MAX_RATE, check_count

if TYPE_CHECKING:
    from limits import RateLimitItem

PREFIX = "entitlements+"
"""Stands before a store's URL, so that `limits` knows whose it is."""

_SURROGATE = re.compile("[\ud800-\udfff]")

_DEADLINE = 0.25
_NETWORKED, _EMBEDDED = {"deadline"}, {"deadline", "max_keys", "when_full"}


class Ask(NamedTuple):
    """
    One question of a strategy.

    Args:
        law: By which it counts.
        item: The limit.
        identifiers: Whose.
    """

    law: Algorithm
    item: RateLimitItem
    identifiers: tuple[str, ...]

    def known(self, cost: int) -> bool | None:
        """
        Return the answer that needs no store; None where one is needed.

        Raises:
            ValueError: For a cost that is no count, and a limit above the largest rate.
        """
        if self.item.amount > MAX_RATE:
            raise ValueError(f"limit {self.item!r} is above the largest rate, {MAX_RATE}; write less")
        if check_count(cost, least=0) == 0:
            return True
        return False if cost > self.item.amount else None

    def charge(self, verb: Verb, cost: int, deadline: int) -> Charge:
        """Return the order for *cost* units; the store has *deadline* microseconds for it."""
        return Charge(key_of(self.item, self.identifiers), (self._part(cost, deadline),), verb)

    def read(self, deadline: int) -> Read:
        """Return the order that looks at what is left."""
        return Read(key_of(self.item, self.identifiers), (self._part(1, deadline),))

    def stats(self, answer: Answer | None, here: int) -> WindowStats:
        """
        Return what is left, and when to come again: for one unit if none is left, else for all.

        The wait is by the store's clock, the instant by the caller's, who will compare it with that.

        Args:
            answer: To `read`; None for a limit of 0.
            here: The caller's clock, in microseconds.
        """
        if answer is None:
            return WindowStats(here / SECOND, 0)
        assert isinstance(answer, Outcome)
        line = answer.lines[0]
        at = line.resets_at if line.fits else line.retry_at
        assert at is not None
        assert line.used is not None
        return WindowStats((here + max(0, at - answer.now)) / SECOND, max(0, self.item.amount - line.used))

    def _part(self, cost: int, deadline: int) -> Part:
        return Part(_rate(self.law, self.item.get_expiry(), deadline), self.item.amount, cost)


def key_of(item: RateLimitItem, identifiers: tuple[str, ...]) -> str:
    """
    Return whose meter it is.

    Identifiers are whatever a client has sent: a key that is too long, or holds lone surrogates,
    is kept as its digest, which begins as no other key does.
    """
    key = item.key_for(*identifiers)
    if len(key) <= MAX_ID and not _SURROGATE.search(key):
        return key
    return "~" + sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=1024)
def _rate(law: Algorithm, seconds: int, deadline: int) -> Rate:
    return Rate(law.value, seconds * SECOND, law, deadline=deadline)


def counted(answer: Answer) -> Answer:
    """
    Return *answer* if it is one.

    Raises:
        StoreError: If nothing was counted for want of room.
    """
    if isinstance(answer, Outcome) and answer.status is Status.UNAVAILABLE:
        raise StoreError("the memory store is full; raise the storage option max_keys, or share a Redis")
    return answer


def admitted(answer: Answer) -> bool:
    """Say whether a charge was admitted."""
    assert isinstance(answer, Outcome)
    return answer.status in (Status.ADMITTED, Status.WAIVED)


def not_offered() -> NoReturn:
    """Raise what says that `fixed-window`, the default of those who use `limits`, counts in another way."""
    raise NotImplementedError(
        "this storage keeps the meters of entitlements' own strategies;"
        " choose strategy='entitlements-sliding' or 'entitlements-token-bucket'"
    )


class Place(NamedTuple):
    """
    Where a storage keeps its meters.

    Args:
        url: Of the store, in our own words; None for memory.
        namespace: Stands before every key.
        deadline: Microseconds that a decision may wait.
        memory: Arguments of the memory store.
    """

    url: str | None
    namespace: str
    deadline: int
    memory: dict[str, Any]


def place_of(uri: str, options: dict[str, Any]) -> Place:
    """
    Return where the storage URL of `limits` leads.

    The namespace gets a suffix: `reset` deletes all that stands under it, and must never meet
    the quotas that an `Enforcer` keeps on the same server.

    Raises:
        ConfigurationError: For an option that such a storage does not have.
        ValueError: For an option's value that cannot be right.
    """
    place, _, query = uri.removeprefix("async+").removeprefix(PREFIX).partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    embedded = place.startswith("memory:")
    known = _EMBEDDED if embedded else _NETWORKED
    options = {name: asked.pop(name) for name in known & asked.keys()} | options
    for name in options.keys() - known:
        raise ConfigurationError(
            f"storage option {name!r} is not known; {', '.join(sorted(known))} and wrap_exceptions are,"
            " and what concerns the connection stands in the URL: ?namespace=shop&max_connections=8"
        )
    namespace = f"{asked.pop('namespace', 'ent')}.limits"
    deadline = _deadline(options.pop("deadline", _DEADLINE))
    if not embedded:
        return Place(f"{place}?{urlencode(asked)}" if asked else place, namespace, deadline, {})
    for name in asked:
        raise ValueError(f"storage URL {place!r}: option {name!r} is not known; {', '.join(sorted(known))} are")
    return Place(None, namespace, deadline, _of_memory(options))


def _of_memory(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the memory store; a number in a URL is text."""
    if "max_keys" not in options:
        return options
    try:
        return options | {"max_keys": int(options["max_keys"])}
    except (TypeError, ValueError):
        raise ValueError(f"max_keys {options['max_keys']!r} must be an int of at least 1") from None


def _deadline(seconds: object) -> int:
    try:
        deadline = round(float(str(seconds)) * SECOND)
    except (ValueError, OverflowError):
        deadline = 0
    if deadline < 1:
        raise ValueError(f"deadline {seconds!r} must be a number of seconds above 0, such as 0.25")
    return deadline
