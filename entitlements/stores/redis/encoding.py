"""
Encode orders as script calls; `decoding.py` decodes the replies.

Pure: no connection, no clock. Instants are signed 8-byte integers, big-endian, on the wire
and in the hash.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.model import charge as orders
from entitlements.model.charge import Charge, Order, Part, Read, Recall, Verb
from entitlements.model.instants import SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Limit, Mode, Quota, Rate, Size
from entitlements.model.names import MAX_COUNT
from entitlements.model.overage import Included, most_of
from entitlements.model.sequence import is_sequence
from entitlements.stores.orders import account_of, deadline_of
from entitlements.stores.redis.decoding import decoder_of
from entitlements.stores.redis.keys import account_key, index_key, scope_key
from entitlements.stores.redis.scripts import CHARGE, COMMANDS, Script
from entitlements.stores.redis.shapes import MOST_PARTS, shape_script
from entitlements.stores.sequence import header_of

if TYPE_CHECKING:
    from collections.abc import Callable

_SHADOW, _UNLIMITED, _SCOPED, _LEASED = 1, 2, 4, 8
_LAWS = {Algorithm.SLIDING: 1, Algorithm.FIXED: 2, Algorithm.TOKEN_BUCKET: 3}
_QUOTA, _ALLOCATION = 4, 5
"""Kinds, as in `lua/codec.lua`. Records hold these numbers, so a number never changes; the next law is 6."""
_VERBS = {Verb.PEEK: 1, Verb.CONSUME: 2, Verb.LEASE: 2, Verb.RESERVE: 3, Verb.ASSIGN: 4}
_READ, _RECALL = 5, 6
_CONSUMING = (Verb.CONSUME, Verb.LEASE)
_VERSIONED = 4
"""Added to how a charge is recognised, if a version follows."""
_MOST_PARTS = 255

_PART = Struct(">BBqq")
_RATE = Struct(">qq")
_ENDS = Struct(">qqqqq")
"""The ends of a part's periods, and the most units that its size allows in all."""
_NO_ENDS = (0, 0, 0, 0)
_CHARGE = Struct(">BBBq")
_NUMBER = Struct(">q")
_NO_DIGEST = bytes(16)
_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much
_TAKEN = Struct(">qq")
_AMOUNT = Struct(">qB")


class Call(NamedTuple):
    """
    One script call.

    Args:
        script: The script.
        keys: Key of the account and, if the order names a scope, the keys of the scope and of the index of scopes.
        args: Encoded order.
    """

    script: Script
    keys: tuple[bytes, ...]
    args: tuple[bytes, ...]


class Request(NamedTuple):
    """
    Encoded order.

    Args:
        call: The script call, which charges of the same units share.
        command: The call in Redis's protocol, with its own arguments.
        timeout: In seconds.
        decode: Decodes the reply, or raises `StoreError`.
        namespace: Prefix of the keys.
        loads: How often the script was loaded for it.
        own: Arguments of this order alone, which follow those of the call; () in what is shared.
        more: How many of those follow, in what is shared.
    """

    call: Call
    command: bytes
    timeout: float
    decode: Callable[[Any], Any]
    namespace: str = ""
    loads: int = 0
    own: tuple[bytes, ...] = ()
    more: int = 0


def encode_request(namespace: str, order: Order) -> Request:
    """Return *order* encoded for keys that begin with *namespace*; charges of the same units share most of it."""
    if type(order) is not Charge:
        return _request(encode_call(order, namespace), order, namespace)
    sequence = order.sequence
    own = (sequence.header(),) if sequence is not None else () if order.operation is None else _own_args(order)
    if own is None:
        return _request(encode_call(order, namespace), order, namespace)
    derived = order.derived
    shared: Request | None = derived.request
    if shared is None or shared[4] != namespace or shared[7] != len(own):
        call = _shared_call(order, namespace)
        shared = derived.request = _request(call, order, namespace, more=len(own))
    if not own:
        return shared
    call, command, timeout, decode, _, _, _, _ = shared
    (word,) = own
    command = b"%b$%d\r\n%b\r\n" % (command, len(word), word)
    return _new_tuple(Request, (call, command, timeout, decode, namespace, 0, own, 0))


def pack_command(*words: bytes, more: int = 0) -> bytes:
    """
    Return a command in Redis's protocol: an array of bulk strings, of which *more* follow.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    strings = b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])
    return b"*%d\r\n%b" % (len(words) + more, strings)


def _request(call: Call, order: Order, namespace: str, *, more: int = 0) -> Request:
    words = (b"EVALSHA", call.script.sha, b"%d" % len(call.keys), *call.keys, *call.args)
    timeout = _seconds(deadline_of(order))
    return Request(call, pack_command(*words, more=more), timeout, decoder_of(order), namespace, more=more)


@lru_cache(maxsize=1024)
def _seconds(deadline: int) -> float:
    """Return a deadline in seconds; all requests share one object per value, which stays in the processor's cache."""
    return deadline / SECOND


def encode_call(order: Order, namespace: str) -> Call:
    """Return the script call that carries out *order*."""
    if type(order) is Charge:
        shared = _shared_call(order, namespace)
        return shared._replace(args=(*shared.args, *(_own_args(order) or ())))
    if isinstance(order, orders.ReadScopes) or (isinstance(order, orders.Forget) and order.scopes is not None):
        return _index_call(order, namespace)
    scope, args = _ARGS[type(order)](order)
    script = CHARGE if isinstance(order, Read | Recall) else COMMANDS
    call = _make_call(script, namespace, account_of(order), scope, args)
    return call if scope is None else call._replace(args=(*args, scope.encode()))


def _make_call(script: Script, namespace: str, account: str, scope: str | None, args: tuple[bytes, ...]) -> Call:
    key = account_key(namespace, account)
    if scope is None:
        return Call(script, (key,), args)
    return Call(script, (key, scope_key(namespace, account, scope), index_key(namespace, account)), args)


def _index_call(order: orders.ReadScopes | orders.Forget, namespace: str) -> Call:
    """Return the call of an order about the scopes of an account, which names all keys that it may touch."""
    key, index = account_key(namespace, order.account), index_key(namespace, order.account)
    if isinstance(order, orders.ReadScopes):
        return Call(COMMANDS, (key, key, index), (b"scopes", order.after.encode(), b"%d" % order.most, b""))
    first, *others = order.scopes or ()
    keys = [scope_key(namespace, order.account, scope) for scope in (first, *others)]
    names = [scope.encode() for scope in (*others, first)]
    return Call(COMMANDS, (key, keys[0], index, *keys[1:]), (b"forget_scopes", *names))


def _own_args(order: Charge) -> tuple[bytes, ...] | None:
    """
    Return the arguments of one charge alone, which follow those that it shares with others of the same units.

    None for a charge that shares nothing: it has a record under another operation id.
    """
    if order.sequence is not None:
        return (order.sequence.header(),)
    if order.operation is None:
        return ()
    return (header_of(order),) if is_sequence(order.operation) else None


def _shared_call(order: Charge, namespace: str) -> Call:
    if not _has_shape(order):
        return _make_call(CHARGE, namespace, order.account, order.scope, _charge_args(order, _VERBS[order.verb]))
    shared = order.derived.shared
    encoded: tuple[Script, tuple[bytes, ...], bool] | None = None if shared is None else shared.request
    if encoded is None:
        encoded = _encode_parts(order)
        if shared is not None:
            shared.request = encoded
    script, words, scoped = encoded
    args = (*words, b"" if order.version is None else _NUMBER.pack(order.version))
    if not scoped or order.scope is None:
        return _make_call(script, namespace, order.account, None, args)
    return _make_call(script, namespace, order.account, order.scope, (*args, order.scope.encode()))


def _encode_parts(order: Charge) -> tuple[Script, tuple[bytes, ...], bool]:
    """Return the script of a charge's shape, the words about its parts, and True if any of them is kept for a scope."""
    parts = order.parts
    scoped = [order.scope is not None and part.limit.per is not None for part in parts]
    leased = _LEASED if order.verb is Verb.LEASE else 0
    words = tuple([each for part in parts for each in (_field(part.limit), _encode_part(part, leased))])
    shape = tuple(zip([_kind(part.limit) for part in parts], scoped, strict=True))
    return shape_script(shape), words, any(scoped)


def encode_general(order: Charge, namespace: str) -> Call:
    """Return the call that carries out any charge, whatever its shape."""
    args = _charge_args(order, _VERBS[order.verb])
    return _make_call(CHARGE, namespace, order.account, order.scope, (*args, *(_own_args(order) or ())))


def _has_shape(order: Charge) -> bool:
    """Return True for a charge that the script of a shape carries out: it consumes rates now, or has a sequence."""
    is_plain = order.holder is None and order.made_at is None
    if order.verb not in _CONSUMING or not is_plain or len(order.parts) > MOST_PARTS:
        return False
    if order.operation is not None and not is_sequence(order.operation):
        return False
    rates = [part.size for part in order.parts if isinstance(part.limit, Rate)]
    counts_only = all(size is not UNLIMITED and size != 0 for size in rates)
    return counts_only and (order.operation is None) == (len(rates) == len(order.parts))


def _kind(limit: Limit) -> int:
    if isinstance(limit, Rate):
        return _LAWS[limit.algorithm]
    return _QUOTA if isinstance(limit, Quota) else _ALLOCATION


@lru_cache(maxsize=1024)
def _field(limit: Limit) -> bytes:
    """Return the field that holds the meter of a limit; `lua/records.lua` lists them."""
    if isinstance(limit, Rate):
        return f"r{_LAWS[limit.algorithm]}:{limit.window}:{limit.name}".encode()
    return (("q" if isinstance(limit, Quota) else "a") + limit.name).encode()


def _charge_args(order: Charge, verb: int, *, named: bool = True) -> tuple[bytes, ...]:
    """Return the arguments of a charge; *named* with its scope."""
    operation = order.operation
    sequenced, leased = is_sequence(operation), _LEASED if order.verb is Verb.LEASE else 0
    head = _head(order, verb, 2 if sequenced else order.keyed, order.ttl)
    if operation is not None:
        head += _NO_DIGEST if sequenced else _digest(order.fingerprint)
        head += b"" if order.made_at is None else _NUMBER.pack(order.made_at)
    return (
        head,
        b"" if sequenced else (operation or "").encode(),
        (order.holder or "").encode(),
        *[_encode_part(part, leased) for part in order.parts],
        *(() if order.scope is None or not named else (order.scope.encode(),)),
    )


def _read_args(order: Read) -> tuple[bytes, ...]:
    return (_head(order, _READ, 0, 0), b"", b"", *map(_encode_part, order.parts))


def _head(order: Charge | Read, verb: int, recognised: int, ttl: int) -> bytes:
    count, version = _part_count(order.parts), order.version
    if version is None:
        return _CHARGE.pack(verb, recognised, count, ttl)
    return _CHARGE.pack(verb, recognised + _VERSIONED, count, ttl) + _NUMBER.pack(version)


def _part_count(parts: tuple[Part, ...]) -> int:
    if len(parts) > _MOST_PARTS:
        raise ValueError(f"{len(parts)} limits in one call are more than {_MOST_PARTS}; make several calls")
    return len(parts)


@lru_cache(maxsize=1024)
def _digest(fingerprint: str) -> bytes:
    return blake2b(fingerprint.encode(), digest_size=16).digest()


def _encode_part(part: Part, flags: int = 0) -> bytes:
    limit, size, cost, ends = part
    flags |= _SHADOW if limit.mode is Mode.SHADOW else 0
    flags |= _SCOPED if limit.per else 0
    name, most = limit.name.encode(), most_of(size)
    if most is UNLIMITED:
        flags, most = flags | _UNLIMITED, MAX_COUNT
    if isinstance(limit, Rate):
        size = most
        capacity = size if limit.burst is None or limit.algorithm is not Algorithm.TOKEN_BUCKET else limit.burst
        return _PART.pack(_LAWS[limit.algorithm], flags, size, cost) + _RATE.pack(limit.window, capacity) + name
    return _PART.pack(_kind(limit), flags, _recorded(size), cost) + _ENDS.pack(*(ends or _NO_ENDS), most) + name


def _recorded(size: Size) -> int:
    """Return a size as records hold it: -1 for unlimited, -2 less the included amount for one with overage."""
    if size is UNLIMITED:
        return -1
    return -2 - int(size) if type(size) is Included else size


def _settle_args(order: orders.Settle) -> tuple[str | None, tuple[bytes, ...]]:
    amounts = order.amounts
    if order.given_up:
        mode, written = b"3", b""
    elif amounts is None:
        mode, written = b"0", b""
    elif isinstance(amounts, int):
        mode, written = b"1", _NUMBER.pack(amounts)
    else:
        mode, written = b"2", b"".join(_encode_amount(name, amount) for name, amount in amounts)
    retry = order.recharge
    recharge = () if retry is None else _charge_args(retry, _VERBS[retry.verb], named=False)
    until = _NUMBER.pack(MAX_COUNT if order.recharge_until is None else order.recharge_until)
    return order.scope, (b"settle", order.reservation.encode(), mode, written, until, *recharge)


def _encode_amount(name: str, amount: int) -> bytes:
    raw = name.encode()
    return _AMOUNT.pack(amount, len(raw)) + raw


def _total_args(order: orders.SetUsage) -> tuple[str | None, tuple[bytes, ...]]:
    header = () if order.sequence is None else (order.sequence.header(),)
    return order.scope, (b"set_usage", _encode_part(order.part), *header)


def _refund_args(order: orders.Refund) -> tuple[str | None, tuple[bytes, ...]]:
    rates = [_TAKEN.pack(line.taken, line.mark) + _encode_part(part) for part, line in order.taken]
    charged_at = b"" if order.charged_at is None else _NUMBER.pack(order.charged_at)
    if order.sequence is not None:
        rates.insert(0, order.sequence.header())
    flags = (b"2" if order.sequence is not None else b"1" if order.rates else b"0") + charged_at
    return order.scope, (b"refund", (order.operation or "").encode(), flags, *rates)


_ARGS: dict[type, Callable[[Any], tuple[str | None, tuple[bytes, ...]]]] = {
    Read: lambda order: (order.scope, _read_args(order)),
    Recall: lambda order: (order.charge.scope, _charge_args(order.charge, _RECALL, named=False)),
    orders.Settle: _settle_args,
    orders.Refund: _refund_args,
    orders.Release: lambda order: (order.scope, (b"release", order.limit.encode(), b"%d" % order.amount)),
    orders.Unassign: lambda order: (order.scope, (b"unassign", order.limit.encode(), order.holder.encode())),
    orders.SetUsage: _total_args,
    orders.ResetRate: lambda order: (order.scope, (b"reset_rate", _encode_part(order.part))),
    orders.ReadHistory: lambda order: (order.scope, (b"history", _encode_part(order.part))),
    orders.ReadHolders: lambda order: (order.scope, (b"holders", order.limit.encode())),
    orders.Forget: lambda _: (None, (b"forget",)),
    orders.Invalidate: lambda order: (None, (b"invalidate", order.account.encode())),
}
"""Scope and arguments of every order but a charge."""
