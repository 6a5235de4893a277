"""Decode the replies of the scripts in `lua/` into answers. Pure."""

from __future__ import annotations

import struct
from functools import lru_cache, partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from entitlements.errors import StoreError
from entitlements.model import charge as orders
from entitlements.model.answers import (
    Answer,
    Invalidated,
    Line,
    Outcome,
    Outdated,
    PeriodCount,
    Periods,
    ScopePage,
    Settled,
    SettledUnits,
    Status,
    Totalled,
)
from entitlements.model.charge import Charge, Order
from entitlements.model.limits import UNLIMITED, Size
from entitlements.model.overage import Included
from entitlements.stores.errors import Late

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUSES = (Status.ADMITTED, Status.REFUSED, Status.REPLAYED, Status.REUSED, Status.UNKNOWN, Status.STALE)
_LATE, _OUTDATED = 6, 7

_WITH_LINES = _STATUSES[:3]
_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much

_OUTCOME = Struct(">BqIB")
_LINE = Struct(">Bqqqqqqq")
_SETTLED = Struct(">BBq")
_IS_OUTDATED = 2
"""In place of True for stale."""
_TOTALLED = Struct(">BBqq")
_INVALIDATED = Struct(">qq")
_PERIODS = Struct(">Bq")
_PERIOD = Struct(">qqqqqq")
_NUMBER = Struct(">q")
_WITHIN = 1 + 2 + 8
"""Flags of a line that fits, is counted and is reset some time: that of most admitted parts."""
_LASTING = 1 + 2
"""Flags of a line that fits, is counted and is never reset: that of allocations."""


def decoder_of(order: Order) -> Callable[[Any], Answer]:
    """
    Return a function that decodes a reply to *order*.

    It raises `StoreError` for a reply that the scripts never give.
    """
    return _charge_decoder(len(order.parts)) if isinstance(order, Charge) else partial(_decode, order)


def _decode(order: Order, reply: Any) -> Answer:
    try:
        return _DECODERS[type(order)](order, reply)
    except (struct.error, TypeError, LookupError, ArithmeticError, AttributeError, ValueError) as error:
        raise _foreign(type(order).__name__, reply) from error


def _foreign(order: str, reply: object) -> StoreError:
    shown = repr(reply)[:80]
    return StoreError(
        f"the store answered {shown} to {order}, which is no answer of ours; a proxy between may have changed it"
    )


@lru_cache(maxsize=256)
def _charge_decoder(count: int) -> Callable[[Any], Outcome | Outdated]:
    """Return the decoder of charges of *count* parts; all such charges share it, so it stays in the processor's cache."""
    admitted = Struct(_OUTCOME.format + "Bqqqqqqq" * count)
    unpack, size, places, status = admitted.unpack, admitted.size, range(4, 4 + 8 * count, 8), Status.ADMITTED

    def decode(reply: Any) -> Outcome | Outdated:
        try:
            if reply[0] or len(reply) != size:
                return _outcome(reply, count)
            values = unpack(reply)
            lines = []
            for at in places:  # a comprehension is one call more
                flags, used, reserved, _, resets_at, mark, taken, _ = values[at : at + 8]
                if flags == _WITHIN:
                    lines.append(_new_tuple(Line, (True, used, reserved, None, resets_at, mark, taken)))
                elif flags == _LASTING:
                    lines.append(_new_tuple(Line, (True, used, reserved, None, None, mark, taken)))
                else:
                    lines.append(_line(values[at : at + 8]))
            return _new_tuple(Outcome, (status, values[1], tuple(lines), values[2], (), (), ""))
        except (struct.error, TypeError, LookupError, ArithmeticError, ValueError) as error:
            raise _foreign("Charge", reply) from error

    return decode


def _outcome(reply: bytes, parts: int) -> Outcome | Outdated:
    code, now, forgotten, count = _OUTCOME.unpack_from(reply)
    if code == _LATE:
        raise Late(now)
    if code == _OUTDATED:
        return Outdated(_NUMBER.unpack_from(reply, _OUTCOME.size)[0], now)
    status, at = _STATUSES[code], _OUTCOME.size
    sizes_at = at + count * _LINE.size
    lines = tuple(_line(_LINE.unpack_from(reply, at + index * _LINE.size)) for index in range(count))
    if count != parts and status in _WITH_LINES:
        raise ValueError(f"{count} lines answer {parts} parts")
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
    """Return a token bucket's line, computed here: its backlog and instants may exceed the server's numbers."""
    flags, tokens, rest, excess, size, start, taken, window = packed
    backlog = tokens * window + rest
    over = backlog + excess * window
    retry_at = None if flags & 1 or excess > 0 else start - (-over // size)
    return Line(bool(flags & 1), -(-backlog // window), 0, retry_at, start - (-backlog // size), start, taken)


def _size(number: int) -> Size:
    if number < -1:
        return Included(-2 - number, UNLIMITED)
    return UNLIMITED if number == -1 else number


def _settled(_: orders.Settle, reply: bytes) -> Settled | Outdated:
    flags, stale, now = _SETTLED.unpack_from(reply)
    if stale == _IS_OUTDATED:
        return Outdated(_NUMBER.unpack_from(reply, _SETTLED.size)[0], now)
    excess, at = _name(reply, _SETTLED.size)
    units = []
    while at < len(reply):
        name, at = _name(reply, at)
        (kept,), line = _NUMBER.unpack_from(reply, at), _line(_LINE.unpack_from(reply, at + 8))
        units.append(SettledUnits(name, kept, line))
        at += 8 + _LINE.size
    return Settled(bool(flags & 1), excess or None, bool(stale), now, tuple(units), bool(flags & 2))


def _name(reply: bytes, at: int) -> tuple[str, int]:
    """Return the name at a position, behind its length in one byte, and the position behind it."""
    end = at + 1 + reply[at]
    return reply[at + 1 : end].decode(), end


_LATE_TOTAL = 2


def _totalled(_: orders.SetUsage, reply: bytes) -> Totalled:
    has_line, stale, least, now = _TOTALLED.unpack_from(reply)
    if stale == _LATE_TOTAL:
        raise Late(now)
    line = _line(_LINE.unpack_from(reply, _TOTALLED.size)) if has_line else None
    return Totalled(line, least, bool(stale), now)


def _invalidated(_: orders.Invalidate, reply: bytes) -> Invalidated:
    version, now = _INVALIDATED.unpack_from(reply)
    return Invalidated(version, now, reply[_INVALIDATED.size :].decode())


def _periods(_: orders.ReadHistory, reply: bytes) -> Periods:
    stale, now = _PERIODS.unpack_from(reply)
    counts = tuple(
        PeriodCount(start, end, used, denied, _size(size))
        for start, end, size, used, _reserved, denied in _PERIOD.iter_unpack(reply[_PERIODS.size :])
    )
    return Periods(counts, bool(stale), now)


def _scope_page(_: orders.ReadScopes, reply: list[bytes]) -> ScopePage:
    after, *scopes = [each.decode() for each in reply]
    return ScopePage(tuple(scopes), after or None)


_DECODERS: dict[type, Callable[[Any, Any], Answer]] = {
    orders.Recall: lambda order, reply: _outcome(reply, len(order.charge.parts)),
    orders.Read: lambda order, reply: _outcome(reply, len(order.parts)),
    orders.Settle: _settled,
    orders.Refund: lambda _, reply: _whole(reply) == 1,
    orders.Release: lambda _, reply: _whole(reply),
    orders.Unassign: lambda _, reply: _whole(reply) == 1,
    orders.SetUsage: _totalled,
    orders.ResetRate: lambda *_: None,
    orders.ReadHistory: _periods,
    orders.ReadHolders: lambda _, reply: tuple(sorted(each.decode() for each in reply)),
    orders.ReadScopes: _scope_page,
    orders.Forget: lambda *_: None,
    orders.Invalidate: _invalidated,
}


def _whole(reply: object) -> int:
    if type(reply) is not int:
        raise TypeError(reply)
    return reply
