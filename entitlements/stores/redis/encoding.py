"""
What is asked of a networked store's server: order → call, ready to travel.

Pure: no connection, no clock. Instants are signed 8-byte integers, big-endian, on the wire
and in the hash. What comes back is read in `decoding.py`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.model.charge import (
    Charge,
    Forget,
    Order,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    Settle,
    SetUsage,
    Unassign,
    Verb,
)
from entitlements.model.instants import SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Mode, Quota, Rate
from entitlements.model.names import MAX_COUNT
from entitlements.stores.orders import deadline_of
from entitlements.stores.redis.decoding import decoder_of
from entitlements.stores.redis.keys import account_key, scope_key
from entitlements.stores.redis.scripts import CHARGE, COMMANDS, RATE, SLIDING, Script

if TYPE_CHECKING:
    from collections.abc import Callable

_SHADOW, _UNLIMITED, _SCOPED = 1, 2, 4
_LAWS = {Algorithm.SLIDING: 1, Algorithm.FIXED: 2, Algorithm.TOKEN_BUCKET: 3}
_QUOTA, _ALLOCATION = 4, 5
_VERBS = {Verb.PEEK: 1, Verb.CONSUME: 2, Verb.RESERVE: 3, Verb.ASSIGN: 4}
_READ, _RECALL = 5, 6
_MOST_PARTS = 255

_SLIDING_ASKED = Struct(">BqqqqB")
_PART = Struct(">BBqq")
_RATE = Struct(">qq")
_ENDS = Struct(">qqqq")
_CHARGE = Struct(">BBBq")
_NUMBER = Struct(">q")
_TAKEN = Struct(">qq")
_AMOUNT = Struct(">qB")


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
        timeout: Its deadline, in seconds.
        read: Makes the answer of a reply, or raises `StoreError`.
        namespace: What stands before its keys.
        times: How often it has been sent before, to a server that lacked the script.
    """

    call: Call
    command: bytes
    timeout: float
    read: Callable[[Any], Any]
    namespace: str = ""
    times: int = 0


def encode_request(namespace: str, order: Order) -> Request:
    """
    Return *order* ready to be sent to where keys begin with *namespace*.

    A charge of one rate is made again and again, so it carries its request from then on.
    """
    if type(order) is not Charge or not order.is_one_rate:
        return _request(order, namespace)
    found: Request | None = order.packed
    if found is None or found.namespace != namespace:
        found = _request(order, namespace)
        object.__setattr__(order, "packed", found)
    return found


def pack_command(*words: bytes) -> bytes:
    """
    Return a command as it travels: an array of bulk strings.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


def _request(order: Order, namespace: str) -> Request:
    call = encode_call(order, namespace)
    command = pack_command(b"EVALSHA", call.script.sha, b"%d" % len(call.keys), *call.keys, *call.args)
    return Request(call, command, _seconds(deadline_of(order)), decoder_of(order), namespace)


@lru_cache(maxsize=1024)
def _seconds(deadline: int) -> float:
    """Return one number for all accounts: what all use stays in the processor's cache."""
    return deadline / SECOND


def encode_call(order: Order, namespace: str) -> Call:
    """Return the one script call that carries out *order*."""
    if type(order) is Charge:
        return _charge(order, namespace)
    if type(order) is Recall:
        return _call(CHARGE, namespace, order.charge.account, order.charge.scope, _asked(order.charge, _RECALL))
    if type(order) is Read:
        return _call(CHARGE, namespace, order.account, order.scope, _read(order))
    scope, args = _CALLS[type(order)](order)
    return _call(COMMANDS, namespace, order.account, scope, args)  # type: ignore[union-attr]


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
    return _digest(order.fingerprint) if order.operation is not None else b""


@lru_cache(maxsize=1024)
def _digest(fingerprint: str) -> bytes:
    return blake2b(fingerprint.encode(), digest_size=16).digest()


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
