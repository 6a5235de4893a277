"""
What travels between a networked store and its server: order → call, reply → answer.

Pure: no connection, no clock. The layout of what the server keeps stands in `lua/`:
one hash per account, `<namespace>1:{<account>}`, and one beside it per scope,
`<namespace>1:{<account>}:<scope>`, which shares its slot. Instants are signed
8-byte integers, big-endian, on the wire and in the hash.

The `1` after the namespace is the layout's version, one character. A later layout
takes the next one and rolls out in three releases: one that reads both and still writes
the old (its scripts find no key of the new layout, and translate nothing), one that moves
an account to the new key at its first write (both keys share the hash tag, so one script
does it), and one that has forgotten the old. Rates alone need none of this: they expire.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache, partial
from hashlib import blake2b, sha256
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.errors import StoreError
from entitlements.model.charge import (
    Answer,
    Charge,
    Forget,
    Line,
    Order,
    Outcome,
    Part,
    PeriodCount,
    Periods,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    Settle,
    Settled,
    SetUsage,
    Status,
    Totalled,
    Unassign,
    Verb,
)
from entitlements.model.instants import SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Mode, Quota, Rate, Size
from entitlements.model.names import MAX_COUNT
from entitlements.stores.orders import deadline_of
from entitlements.stores.scripts import AFTER, CHARGE, RATE, SLIDING, Script

if TYPE_CHECKING:
    from collections.abc import Callable

LAYOUT = "1"
LONGEST_ID = 64
"""Longest encoded id that stands in a key as it is; a longer one stands as its digest."""

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")

_SHADOW, _UNLIMITED, _SCOPED = 1, 2, 4
_LAWS = {Algorithm.SLIDING: 1, Algorithm.FIXED: 2, Algorithm.TOKEN_BUCKET: 3}
_QUOTA, _ALLOCATION = 4, 5
_VERBS = {Verb.PEEK: 1, Verb.CONSUME: 2, Verb.RESERVE: 3, Verb.ASSIGN: 4}
_READ, _RECALL = 5, 6
_STATUSES = (Status.ADMITTED, Status.REFUSED, Status.REPLAYED, Status.REUSED, Status.UNKNOWN, Status.STALE)
_MOST_PARTS = 255

_made = tuple.__new__  # a named tuple's own constructor costs three times as much

_SLIDING_ASKED = Struct(">BqqqqB")
_PART = Struct(">BBqq")
_RATE = Struct(">qq")
_ENDS = Struct(">qqqq")
_CHARGE = Struct(">BBBq")
_ADMITTED = Struct(">BqqI")
_REFUSED = Struct(">BqqIqq")
_OUTCOME = Struct(">BqIB")
_LINE = Struct(">Bqqqqqqq")
_NUMBER = Struct(">q")
_TAKEN = Struct(">qq")
_AMOUNT = Struct(">qB")
_SETTLED = Struct(">BBq")
_TOTALLED = Struct(">BBqq")
_PERIODS = Struct(">Bq")
_PERIOD = Struct(">qqqqqq")


class Call(NamedTuple):
    """
    One script call.

    Args:
        script: Which.
        keys: The account's key and, where the order names one, the scope's.
        args: What is asked.
    """

    script: Script
    keys: tuple[bytes, ...]
    args: tuple[bytes, ...]


class Request(NamedTuple):
    """
    An order, ready to be sent.

    Args:
        call: The script call that it is.
        command: That, as it travels.
        patience: Its deadline, in seconds.
        read: Makes the answer of a reply, or raises `StoreError`.
        namespace: What stands before its keys.
        times: How often it has been sent before, to a server that lacked the script.
    """

    call: Call
    command: bytes
    patience: float
    read: Callable[[Any], Any]
    namespace: str = ""
    times: int = 0


def check_namespace(namespace: str) -> str:
    """
    Return *namespace* if it may stand before every key.

    Raises:
        ValueError: For anything but 1 to 64 of `[A-Za-z0-9_.-]`.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"namespace {namespace!r} must be 1 to 64 of A-Z a-z 0-9 _ . - ; write ?namespace=ent")
    return namespace


@lru_cache(maxsize=65_536)
def encoded(id: str) -> str:
    """
    Return *id* in `[A-Za-z0-9_.-]` and `%XX`, no two ids alike; above 64 bytes its digest.

    A digest begins with `~`, which nothing else does. What is remembered takes 20 to 80 MB.
    """
    raw = id.encode()
    text = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)
    return text if len(text) <= LONGEST_ID else "~" + sha256(raw).hexdigest()


def account_key(namespace: str, account: str) -> bytes:
    """Return the key of an account's hash."""
    return f"{namespace}{LAYOUT}:{{{encoded(account)}}}".encode()


def scope_key(namespace: str, account: str, scope: str) -> bytes:
    """Return the key of a scope's hash, in the slot of its account's."""
    return f"{namespace}{LAYOUT}:{{{encoded(account)}}}:{encoded(scope)}".encode()


# -- order → call --------------------------------------------------------------------------


def request_of(order: Order, namespace: str) -> Request:
    """
    Return *order* ready to be sent.

    A charge of one rate is made again and again, so it carries its request from then on.
    """
    if type(order) is not Charge or not order.is_one_rate:
        return _request(order, namespace, partial(answer_of, order))
    found: Request | None = order.packed
    if found is None or found.namespace != namespace:
        slid = _slid_of(order)
        found = _request(order, namespace, partial(answer_of, order) if slid is None else _checked(slid))
        object.__setattr__(order, "packed", found)
    return found


def packed(*words: bytes) -> bytes:
    """
    Return a command as it travels: an array of bulk strings.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


def _request(order: Order, namespace: str, read: Callable[[Any], Answer]) -> Request:
    call = call_of(order, namespace)
    command = packed(b"EVALSHA", call.script.sha, b"%d" % len(call.keys), *call.keys, *call.args)
    return Request(call, command, deadline_of(order) / SECOND, read, namespace)


def call_of(order: Order, namespace: str) -> Call:
    """Return the one script call that carries out *order*."""
    if type(order) is Charge:
        return _charge(order, namespace)
    if type(order) is Recall:
        return _call(CHARGE, namespace, order.charge.account, order.charge.scope, _asked(order.charge, _RECALL))
    if type(order) is Read:
        return _call(CHARGE, namespace, order.account, order.scope, _read(order))
    scope, args = _CALLS[type(order)](order)
    return _call(AFTER, namespace, order.account, scope, args)  # type: ignore[union-attr]


def _call(script: Script, namespace: str, account: str, scope: str | None, args: tuple[bytes, ...]) -> Call:
    key = account_key(namespace, account)
    return Call(script, (key,) if scope is None else (key, scope_key(namespace, account, scope)), args)


def _charge(order: Charge, namespace: str) -> Call:
    if order.is_one_rate:
        part = order.parts[0]
        limit: Rate = part.limit  # type: ignore[assignment]
        if limit.per and order.scope is not None:
            keys = (scope_key(namespace, order.account, order.scope),)
        else:
            keys = (account_key(namespace, order.account),)
        if limit.algorithm is Algorithm.SLIDING:
            return Call(SLIDING, keys, _sliding_asked(part, limit))
        return Call(RATE, keys, (_part(part),))
    return _call(CHARGE, namespace, order.account, order.scope, _asked(order, _VERBS[order.verb]))


def _sliding_asked(part: Part, limit: Rate) -> tuple[bytes, bytes]:
    window = limit.window
    shadow = limit.mode is Mode.SHADOW
    return (
        b"r" + limit.name.encode(),
        _SLIDING_ASKED.pack(1, window, -(-window // 60), part.size, part.cost, shadow),
    )


def _asked(order: Charge, verb: int) -> tuple[bytes, ...]:
    head = _CHARGE.pack(verb, order.keyed, _count(order.parts), order.ttl)
    return (
        head + _fingerprint(order),
        (order.operation or "").encode(),
        (order.holder or "").encode(),
        *map(_part, order.parts),
    )


def _read(order: Read) -> tuple[bytes, ...]:
    return (_CHARGE.pack(_READ, 0, _count(order.parts), 0), b"", b"", *map(_part, order.parts))


def _count(parts: tuple[Part, ...]) -> int:
    if len(parts) > _MOST_PARTS:
        raise ValueError(f"{len(parts)} limits in one call are more than {_MOST_PARTS}; make several calls")
    return len(parts)


def _fingerprint(order: Charge) -> bytes:
    return blake2b(order.fingerprint.encode(), digest_size=16).digest() if order.operation is not None else b""


def _part(part: Part) -> bytes:
    limit, size, cost, ends = part
    flags = _SHADOW if limit.mode is Mode.SHADOW else 0
    if size is UNLIMITED:
        flags, size = flags | _UNLIMITED, MAX_COUNT
    name = limit.name.encode()
    if isinstance(limit, Rate):
        flags |= _SCOPED if limit.per else 0
        capacity = size if limit.burst is None or limit.algorithm is not Algorithm.TOKEN_BUCKET else limit.burst
        return _PART.pack(_LAWS[limit.algorithm], flags, size, cost) + _RATE.pack(limit.window, capacity) + name
    if isinstance(limit, Quota):
        assert ends is not None
        return _PART.pack(_QUOTA, flags, size, cost) + _ENDS.pack(*ends) + name
    return _PART.pack(_ALLOCATION, flags, size, cost) + name


def _settle(order: Settle) -> tuple[str | None, tuple[bytes, ...]]:
    amounts = order.amounts
    if amounts is None:
        mode, written = b"0", b""
    elif isinstance(amounts, int):
        mode, written = b"1", _NUMBER.pack(amounts)
    else:
        mode, written = b"2", b"".join(_amount(name, amount) for name, amount in amounts)
    anew = () if order.anew is None else _asked(order.anew, _VERBS[order.anew.verb])
    until = _NUMBER.pack(MAX_COUNT if order.anew_until is None else order.anew_until)
    scope = order.anew.scope if order.anew else None
    return scope, (b"settle", order.reservation.encode(), mode, written, until, *anew)


def _amount(name: str, amount: int) -> bytes:
    raw = name.encode()
    return _AMOUNT.pack(amount, len(raw)) + raw


def _refund(order: Refund) -> tuple[str | None, tuple[bytes, ...]]:
    rates = [_TAKEN.pack(line.taken, line.mark) + _part(part) for part, line in order.taken]
    return order.scope, (b"refund", (order.operation or "").encode(), b"1" if order.rates else b"0", *rates)


def _release(order: Release) -> tuple[str | None, tuple[bytes, ...]]:
    return None, (b"release", order.limit.encode(), str(order.amount).encode())


def _unassign(order: Unassign) -> tuple[str | None, tuple[bytes, ...]]:
    return None, (b"unassign", order.limit.encode(), order.holder.encode())


_CALLS: dict[type, Callable[[Any], tuple[str | None, tuple[bytes, ...]]]] = {
    Settle: _settle,
    Refund: _refund,
    Release: _release,
    Unassign: _unassign,
    SetUsage: lambda order: (None, (b"set_usage", _part(order.part))),
    ReadHistory: lambda order: (None, (b"history", _part(order.part))),
    ReadHolders: lambda order: (None, (b"holders", order.limit.encode())),
    Forget: lambda _: (None, (b"forget",)),
}


# -- reply → answer ------------------------------------------------------------------------


def answer_of(order: Order, reply: Any) -> Answer:
    """
    Return the answer that a reply to *order* is.

    Raises:
        StoreError: For a reply that no script of ours gives.
    """
    try:
        if type(order) is Charge:
            return _charged(order, reply)
        return _ANSWERS[type(order)](order, reply)
    except (struct.error, TypeError, LookupError, ArithmeticError, AttributeError, ValueError) as error:
        raise _not_ours(type(order).__name__, reply) from error


def _not_ours(asked: str, reply: object) -> StoreError:
    shown = repr(reply)[:80]
    return StoreError(
        f"the store answered {shown} to {asked}, which is no answer of ours; a proxy between may have changed it"
    )


def _charged(order: Charge, reply: bytes) -> Outcome:
    return _outcome(reply) if (slid := _slid_of(order)) is None else slid(reply)


def _slid_of(order: Charge) -> Callable[[bytes], Outcome] | None:
    """Return what reads the replies to a charge of one sliding rate; None for any other."""
    limit = order.parts[0].limit if order.is_one_rate else None
    if not isinstance(limit, Rate) or limit.algorithm is not Algorithm.SLIDING:
        return None
    return _slid(limit.window, order.parts[0].cost)


@lru_cache(maxsize=1024)
def _slid(window: int, cost: int) -> Callable[[bytes], Outcome]:
    """Return one reader for all accounts that have the same rate: what all use stays in the processor's cache."""
    width = -(-window // 60)
    unpack, size, lasts = _ADMITTED.unpack, _ADMITTED.size, 61 * width
    admitted = Status.ADMITTED

    def slid(reply: bytes) -> Outcome:
        if len(reply) == size:
            _, now, bucket, used = unpack(reply)
            at = bucket * width
            line = _made(Line, (True, used, 0, None, at + lasts, at, cost))
            return _made(Outcome, (admitted, now, (line,), 0, (), (), ""))
        status, now, bucket, used, retry_at, resets_at = _REFUSED.unpack(reply)
        line = Line(False, used, 0, None if retry_at < 0 else retry_at, resets_at, bucket * width)
        return Outcome(_STATUSES[status], now, (line,))

    return slid


@lru_cache(maxsize=1024)
def _checked(slid: Callable[[bytes], Outcome]) -> Callable[[Any], Answer]:
    def read(reply: Any) -> Outcome:
        try:
            return slid(reply)
        except (struct.error, TypeError, LookupError) as error:
            raise _not_ours("Charge", reply) from error

    return read


def _outcome(reply: bytes) -> Outcome:
    code, now, forgotten, count = _OUTCOME.unpack_from(reply)
    status, at = _STATUSES[code], _OUTCOME.size
    sizes_at = at + count * _LINE.size
    lines = tuple(_line(_LINE.unpack_from(reply, at + index * _LINE.size)) for index in range(count))
    sizes: tuple[Size, ...] = ()
    if status is Status.REPLAYED:
        sizes = tuple(_size(_NUMBER.unpack_from(reply, sizes_at + index * 8)[0]) for index in range(count))
    return Outcome(status, now, lines, forgotten, sizes)


def _line(packed: tuple[int, ...]) -> Line:
    flags, used, reserved, retry_at, resets_at, mark, taken, _ = packed
    if flags & 16:
        return _bucket_line(packed)
    return Line(
        bool(flags & 1),
        used if flags & 2 else None,
        reserved,
        retry_at if flags & 4 else None,
        resets_at if flags & 8 else None,
        mark,
        taken,
    )


def _bucket_line(packed: tuple[int, ...]) -> Line:
    """Return a token bucket's line, whose backlog and instants pass what the server's numbers hold."""
    flags, tokens, rest, excess, size, start, taken, window = packed
    backlog = tokens * window + rest
    over = backlog + excess * window
    retry_at = None if flags & 1 or excess > 0 else start - (-over // size)
    return Line(bool(flags & 1), -(-backlog // window), 0, retry_at, start - (-backlog // size), start, taken)


def _size(number: int) -> Size:
    return UNLIMITED if number == -1 else number


def _settled(_: Settle, reply: bytes) -> Settled:
    done, stale, now = _SETTLED.unpack_from(reply)
    excess = reply[_SETTLED.size :].decode() or None
    return Settled(bool(done), excess, bool(stale), now)


def _totalled(_: SetUsage, reply: bytes) -> Totalled:
    has_line, stale, least, now = _TOTALLED.unpack_from(reply)
    line = _line(_LINE.unpack_from(reply, _TOTALLED.size)) if has_line else None
    return Totalled(line, least, bool(stale), now)


def _periods(_: ReadHistory, reply: bytes) -> Periods:
    stale, now = _PERIODS.unpack_from(reply)
    counts = tuple(
        PeriodCount(start, end, used, denied, _size(size))
        for start, end, size, used, _reserved, denied in _PERIOD.iter_unpack(reply[_PERIODS.size :])
    )
    return Periods(counts, bool(stale), now)


_ANSWERS: dict[type, Callable[[Any, Any], Answer]] = {
    Recall: lambda _, reply: _outcome(reply),
    Read: lambda _, reply: _outcome(reply),
    Settle: _settled,
    Refund: lambda _, reply: _whole(reply) == 1,
    Release: lambda _, reply: _whole(reply),
    Unassign: lambda _, reply: _whole(reply) == 1,
    SetUsage: _totalled,
    ReadHistory: _periods,
    ReadHolders: lambda _, reply: tuple(sorted(each.decode() for each in reply)),
    Forget: lambda *_: None,
}


def _whole(reply: object) -> int:
    if type(reply) is not int:
        raise TypeError(reply)
    return reply
