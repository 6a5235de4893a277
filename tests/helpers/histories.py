"""Random histories of orders, and the two stores that must answer them alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st
from injected_time import with_injected_time
from strategies import NOW

from entitlements.model.answers import Answer
from entitlements.model.charge import Charge, Order
from entitlements.model.instants import DAY, MINUTE, NEVER
from entitlements.model.names import MAX_COUNT
from entitlements.model.versions import NO_VERSION
from entitlements.rules.ledger import Ledger
from entitlements.rules.periods import month_ends
from entitlements.stores import MemoryStore
from entitlements.stores.redis.decoding import decoder_of
from entitlements.stores.redis.encoding import encode_call, encode_general
from entitlements.stores.redis.keys import account_key, index_key, scope_key
from entitlements.stores.redis.scripts import Script
from entitlements.testing.order_templates import OrderTemplate, order_templates
from entitlements.testing.sample_limits import SCOPES
from entitlements.testing.simulated_client import SimulatedClient

ACCOUNT = "acme"
SCOPES_OF_HISTORIES = (*SCOPES, "ann", "bob")
TIMES_MOVED = 10**13
"""Milliseconds that the scripts on injected time add to every expiry."""


# --- The stores ---------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """A clock that a history moves, in microseconds."""

    now: int = NOW
    latest: int = 0
    """The latest time that was read: what has expired by then is gone, also if the clock steps back."""

    def __call__(self) -> int:
        self.latest = max(self.latest, self.now)
        return self.now


class TimedRedis:
    """The networked store's scripts on an injected clock; *change* may alter their text, *general* does without shapes."""

    via = "store"

    def __init__(
        self,
        client,
        clock: Callable[[], int],
        change=lambda script: script,
        *,
        namespace: str = "ent",
        general: bool = False,
    ) -> None:
        self._general = general
        self._client, self._clock, self._namespace = client, clock, namespace
        self._script = cache(lambda script: self._load(with_injected_time(change(script))))

    def _load(self, script: Script) -> bytes:
        self._client.script_load(script.text)
        return script.sha

    def execute(self, order: Order) -> Answer:
        encode = encode_general if self._general and isinstance(order, Charge) else encode_call
        call = encode(order, self._namespace)
        reply = self._client.evalsha(
            self._script(call.script), len(call.keys), *call.keys, *call.args, str(self._clock())
        )
        return decoder_of(order)(reply)

    def close(self) -> None:
        """Do nothing: the client is the caller's."""


# --- Histories ----------------------------------------------------------------------------------------------------

histories = st.lists(order_templates(), min_size=10, max_size=30)


def play(history: list[OrderTemplate], client, change=lambda script: script) -> Iterator[tuple[Order, Answer, Answer]]:
    """
    Execute a history in memory, by the scripts of shapes, and by the general script alone; yield their answers.

    The second answer is that of the shapes, or that of the general script if it alone differs.

    Args:
        history: The steps.
        client: Client of a server that no other test uses meanwhile.
        change: Alters the scripts.
    """
    client.flushdb()
    clock = Clock()
    memory, server = MemoryStore(clock), TimedRedis(client, clock, change)
    general = TimedRedis(client, clock, change, namespace="general", general=True)
    simulated = SimulatedClient(ACCOUNT, versions=[NO_VERSION])
    for template in history:
        clock.now = max(0, clock.now + template.move)
        order = simulated.order(template, clock.now)
        expected = memory.execute(order)
        answer, other = server.execute(order), general.execute(order)
        yield order, expected, other if answer == expected else answer
        check_lifetime(memory, client, clock)
        check_lifetime(memory, client, clock, "general")
        simulated.record(order, expected)


def check_lifetime(memory: MemoryStore, client, clock: Clock, namespace: str = "ent") -> None:
    """Check that a record stays while it holds units, and else expires once it is idle and its history is over."""
    _check_record(memory._find(ACCOUNT), client, account_key(namespace, ACCOUNT), clock.now)
    entries = {}
    for member in client.zrange(index_key(namespace, ACCOUNT), 0, -1):
        name, end, ends = member.partition(b"\0")
        if name and end:
            entries[name.decode()] = int.from_bytes(ends)
    for scope in SCOPES_OF_HISTORIES:
        key = scope_key(namespace, ACCOUNT, scope)
        _check_record(memory._find((ACCOUNT, scope)), client, key, clock.now)
        _check_entry(client, key, entries.get(scope), clock.latest)
    _check_index(client, index_key(namespace, ACCOUNT), entries.values(), clock.latest)


def _check_record(ledger: Ledger | None, client, key: bytes, now: int) -> None:
    left = client.pttl(key)
    if ledger is None:  # nothing is held: the record of a server may be there for longer, but it expires
        assert left != -1
        assert b"u" not in {field[:1] for field in client.hkeys(key)}
    elif any(held.anonymous or held.holders for held in ledger.allocations.values()):
        assert left == -1
    elif left == -2:
        assert not ledger.rates
        assert not ledger.quotas
        assert ledger.is_idle(now)
    else:
        assert left >= 0
        expires = _expiry(client, left)
        ends = [quota.periods[0].end for quota in ledger.quotas.values()]
        shown = [month_ends(None, end + 365 * DAY)[1] if end < NEVER else NEVER for end in ends]
        # A bucket that needs more than 13 periods to refill is full again then, in a record that held units.
        is_slow = any(meter.idle_at() > now + 397 * DAY for meter in ledger.rates.values())
        assert ledger.is_idle(expires + 2000) or expires > MAX_COUNT or is_slow
        assert expires + 2000 >= max(shown, default=0)


def _check_entry(client, key: bytes, entry: int | None, latest: int) -> None:
    """Check that a scope is in the index up to when its record expires, and while it stays."""
    left = client.pttl(key)
    expires = _expiry(client, left)
    if left == -1:
        assert entry == MAX_COUNT
    elif left >= 0 and expires > latest:
        assert entry is not None
        assert expires <= entry + MINUTE  # the time is read after the time that is left
    elif left == -2:
        assert entry is None or entry < MAX_COUNT


def _check_index(client, key: bytes, entries: Collection[int], latest: int) -> None:
    """Check that the index outlives its entries, and stays only while one does."""
    left = client.pttl(key)
    if MAX_COUNT in entries:
        assert left == -1
    else:
        assert left != -1
        assert all(ends <= latest or ends <= _expiry(client, left) + MINUTE for ends in entries)


def _expiry(client, left: int) -> int:
    """Return when a key expires on the injected clock, in microseconds."""
    seconds, rest = client.time()
    return (seconds * 1000 + rest // 1000 + left - TIMES_MOVED) * 1000
