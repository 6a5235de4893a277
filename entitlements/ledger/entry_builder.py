"""Builder of entries: the rows of what hooks recorded, and the sums of rates."""

from __future__ import annotations

import json
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from entitlements.ledger.entries import KINDS, Entry, operation_name, short
from entitlements.model.answers import Outcome, Settled, Status, Totalled
from entitlements.model.charge import Charge, Forget, Recall, Refund, Release, Settle, SetUsage, Unassign, Verb
from entitlements.model.decision_fields import fields_of, parts_of
from entitlements.model.instants import HOUR, NEVER
from entitlements.model.limits import Limit, Quota, Rate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.model.answers import Answer, Line
    from entitlements.model.charge import Order, Part
    from entitlements.model.decision import Decision
    from entitlements.model.facts import Facts

_MOST_TEMPLATES = 10_000


class Recorded(NamedTuple):
    """An order as a hook gets it, with the time of that; *order* is None for a plain charge."""

    order: Order | None
    answer: Answer
    decision: Decision | None
    at: int


Queued: TypeAlias = "str | tuple[str, str, int, int] | Recorded"
"""An entry as a JSON array; account, limit, units and instant of a rate; or an order of which no entry is made yet."""


class EntryBuilder:
    """
    Makes entries of decisions and orders.

    Args:
        writer: The id of the writer, which names what no store numbers.
    """

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._numbers = count(1)
        self._delays: deque[int] = deque(maxlen=4096)
        """
        Differences between this clock and the store's in late answers: at least what a reply takes.

        Many, because a busy process takes long for most replies, and then an order would seem to be older than it is.
        """
        self._least = 0
        """The shortest of them."""
        self._rates: dict[tuple[str, str, int], list[int]] = {}
        self._templates: dict[tuple[int, int, int | None], tuple[Facts, str]] = {}

    @property
    def summed(self) -> int:
        """Sums of rates that wait for `rates`."""
        return len(self._rates)

    def rows(self, queued: Iterable[Queued]) -> list[str]:
        """Return the entries of what was queued, each as a JSON array; units of rates are only added up."""
        found: list[str] = []
        for each in queued:
            if type(each) is str:
                found.append(each)
            elif type(each) is Recorded:
                self._note_delay(each)
                found += map(_in_json, self._of_order(each))
            else:
                self._add_rate(*each)
        return found

    def rates(self) -> list[str]:
        """Return an entry for the units of each rate of each account since the last call."""
        found = [
            _in_json(self._own(account, "charge", limit, at, "rate", units=units))
            for (account, limit, _), (units, at) in self._rates.items()
            if units
        ]
        self._rates.clear()
        return found

    def queue_plain(self, decision: Decision, queue: deque[Queued]) -> None:
        """
        Append the entries of a plain charge, those of the same facts and period by one template; of a rate its units.

        Called by any thread. A text keeps no part of the decision alive, and is no work for the collector of garbage.
        """
        for part in parts_of(decision):
            _, _, facts, receipt, line, _ = fields_of(part)
            if line is None or not line[6]:
                continue
            operation = receipt[3]
            if type(facts.limit) is Rate:
                queue.append((receipt[8], facts.feature, line[6], receipt[1]))
            elif operation is None or operation[0] != "s" or receipt[5] is not None or receipt[6]:
                entries: list[Entry] = []
                self._consumed(part, entries)
                queue.extend(map(_in_json, entries))
            else:
                kept = self._templates.get((id(facts), line[5], line[4]))
                if kept is None or kept[0] is not facts:
                    kept = self._new_template(part)
                queue.append(kept[1] % (_quoted(receipt[8]), operation, line[6], receipt[1]))

    def _new_template(self, part: Decision) -> tuple[Facts, str]:
        _, _, facts, _, line, _ = fields_of(part)
        assert line is not None
        entries: list[Entry] = []
        self._consumed(part, entries)
        entry = entries[0]
        tail = _in_json(entry[2:7])[1:-1]
        rest = _in_json(entry[9:])[1:]
        text = f'[\0s, "\0s", {tail}, \0d, \0d, {rest}'.replace("%", "%%").replace("\0", "%")
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        kept = self._templates[(id(facts), line[5], line[4])] = facts, text
        return kept

    def _consumed(self, decision: Decision, found: list[Entry], kind: str = "charge", **more: Any) -> None:
        for part in parts_of(decision):
            _, _, facts, receipt, line, _ = fields_of(part)
            if line is None or not line[6]:
                continue
            limit = facts.limit
            if type(limit) is Rate:
                self._add_rate(receipt[8], limit.name, line[6], receipt[1])
                continue
            operation: str = receipt[3]  # type: ignore[assignment]  # every counted charge has one
            name = operation if operation[0] == "s" else operation_name(operation, receipt[1])
            starts, ends = _period_of(limit, receipt[4], line, receipt[1])
            found.append(
                Entry(
                    receipt[8], name, kind, facts.feature, KINDS[type(limit)], _scope_of(limit, receipt[5]),
                    more.get("holder"), line[6], receipt[1], starts, ends, _text(facts.size), more.get("expires"),
                    None if name == operation else operation,
                )
            )  # fmt: skip

    def _add_rate(self, account: str, limit: str, units: int, at: int) -> None:
        key = account, limit, at // HOUR  # a month begins with an hour
        summed = self._rates.get(key)
        if summed is None:
            self._rates[key] = [units, at]
        else:
            summed[0] += units
            summed[1] = max(summed[1], at)

    def _of_order(self, recorded: Recorded) -> list[Entry]:
        order, answer, decision, here = recorded
        found: list[Entry] = []
        match order:
            case None if decision is not None:
                self._consumed(decision, found)
            case Charge() | Recall():
                self._charged(order.charge if isinstance(order, Recall) else order, answer, decision, found)
            case Settle() if isinstance(answer, Settled) and answer.done and answer.excess is None:
                at = answer.now or self._store_time(here)
                found = self._committed(order, answer, at) if answer.units else self._settled(order, at)
            case Refund() if decision is not None:
                self._refunded(order, decision, self._store_time(here), found)
            case Release(account=account, limit=limit) if isinstance(answer, int) and answer:
                found = [self._own(account, "release", limit, self._store_time(here), units=answer, scope=order.scope)]
            case Unassign(account=account, limit=limit) if answer:
                entry = self._own(account, "unassign", limit, self._store_time(here), scope=order.scope)
                found = [entry._replace(holder=order.holder)]
            case SetUsage(account=account, part=part) if isinstance(answer, Totalled) and answer.line is not None:
                starts, ends = _period_of(part.limit, part, answer.line, answer.now)
                kind, scope = KINDS[type(part.limit)], _scope_of(part.limit, order.scope)
                entry = self._own(account, "set", part.limit.name, answer.now, kind, units=part.cost, scope=scope)
                found = [entry._replace(starts=starts, ends=ends, size=_text(part.size))]
            case Forget(account=account):
                for each in (None,) if order.scopes is None else order.scopes:
                    found.append(self._own(account, "forget", "", self._store_time(here), None, units=0, scope=each))
            case _:
                pass
        return found

    def _charged(self, order: Charge, answer: Answer, decision: Decision | None, found: list[Entry]) -> None:
        if not isinstance(answer, Outcome) or decision is None or not decision.allowed:
            return
        if answer.status not in (Status.ADMITTED, Status.REPLAYED):
            return
        if order.verb is Verb.RESERVE:
            self._consumed(decision, found, "reserve", expires=answer.now + order.ttl)
        elif order.verb is Verb.ASSIGN:
            self._consumed(decision, found, "assign", holder=order.holder)
        elif order.verb is Verb.CONSUME:
            self._consumed(decision, found)

    def _committed(self, order: Settle, answer: Settled, at: int) -> list[Entry]:
        """Return the entries of what a commit kept, as the store told it."""
        parts = {part.limit.name: part for part in (order.recharge.parts if order.recharge else ())}
        name, found = short(f"settle:{order.reservation}@{at}"), []
        for limit, kept, line in answer.units:
            part = parts.get(limit)
            if part is not None and isinstance(part.limit, Rate):
                if line.taken and not answer.replayed:
                    self._add_rate(order.account, limit, line.taken, at)
                continue
            starts, ends = _period_of(part.limit, part, line, at) if part else (None, None)
            found.append(
                Entry(
                    order.account, name, "commit", limit, KINDS[type(part.limit)] if part else None,
                    _scope_of(part.limit, order.scope) if part else None, None, kept, at, starts, ends,
                    _text(part.size) if part else None, None, order.reservation,
                )
            )  # fmt: skip
        return found

    def _settled(self, order: Settle, at: int) -> list[Entry]:
        id = order.reservation
        name = short(f"settle:{id}@{at}")
        kind = "commit-all" if order.amounts is None else "commit"
        entry = Entry(order.account, name, kind, "", None, None, None, None, at, None, None, None, None, id)
        if order.amounts is None and order.recharge is None:
            return [entry]
        if isinstance(order.amounts, int) and order.recharge is None:
            return [entry._replace(units=order.amounts)]
        parts = {part.limit.name: part for part in (order.recharge.parts if order.recharge else ())}
        amounts = order.amounts
        kept = dict(amounts) if isinstance(amounts, tuple) else {name: part.cost for name, part in parts.items()}
        found = []
        for limit, units in kept.items():
            each = entry._replace(limit_name=limit, units=units)
            part = parts.get(limit)
            if part is not None:
                starts, ends = _ends_at(part, at)
                each = each._replace(
                    limit_kind=KINDS[type(part.limit)], starts=starts, ends=ends, size=_text(part.size),
                    scope=_scope_of(part.limit, order.recharge.scope if order.recharge else None),
                )  # fmt: skip
            if units:
                found.append(each)
        return found or [entry._replace(kind="cancel", units=0)]

    def _refunded(self, order: Refund, decision: Decision, at: int, found: list[Entry]) -> None:
        for part in parts_of(decision):
            _, _, facts, receipt, line, _ = fields_of(part)
            if line is None or not line[6]:
                continue
            limit = facts.limit
            if type(limit) is Rate:
                if order.rates:
                    self._add_rate(receipt[8], limit.name, -line[6], at)
                continue
            operation: str = receipt[3]  # type: ignore[assignment]
            name = short(f"refund:{operation_name(operation, receipt[1])}")
            starts, ends = _period_of(limit, receipt[4], line, receipt[1])
            found.append(
                Entry(
                    receipt[8], name, "refund", facts.feature, KINDS[type(limit)], _scope_of(limit, receipt[5]),
                    None, line[6], at, starts, ends, None, None, operation,
                )
            )  # fmt: skip

    def _own(
        self,
        account: str,
        kind: str,
        limit: str,
        at: int,
        limit_kind: str | None = "allocation",
        *,
        units: int = 1,
        scope: str | None = None,
    ) -> Entry:
        """Return an entry that no store numbers."""
        name = f"w:{self._writer}:{next(self._numbers)}"
        return Entry(account, name, kind, limit, limit_kind, scope, None, units, at, None, None, None, None, None)

    def _store_time(self, here: int) -> int:
        """Return the store's time of an order whose answer has none: never before it was carried out."""
        return here - self._least

    def _note_delay(self, recorded: Recorded) -> None:
        answer = recorded.answer
        now = answer.now if isinstance(answer, Outcome | Settled | Totalled) else 0
        if now and not (isinstance(answer, Outcome) and answer.status is Status.REPLAYED):
            delays, delay = self._delays, recorded.at - now
            leaves = delays[0] if len(delays) == delays.maxlen else None
            delays.append(delay)
            self._least = min(delays) if leaves == self._least or len(delays) == 1 else min(self._least, delay)


def _in_json(entry: tuple[object, ...]) -> str:
    return json.dumps(entry, ensure_ascii=False)


_quoted = json.encoder.encode_basestring
"""Return a text in JSON, as `_in_json` does."""


def _period_of(limit: Limit | None, part: Part | None, line: Line, now: int) -> tuple[int | None, int | None]:
    if type(limit) is not Quota:
        return None, None
    if line.mark or part is None or part.ends is None:
        return line.mark, NEVER if line.resets_at is None else line.resets_at
    return _ends_at(part, now)  # promised without the store


def _ends_at(part: Part, now: int) -> tuple[int | None, int | None]:
    """Return the period of a part at *now*, by its ends alone."""
    ends = part.ends
    if not isinstance(part.limit, Quota) or ends is None:
        return None, None
    return max((each for each in ends if each <= now), default=ends[0]), next((e for e in ends if e > now), ends[3])


def _scope_of(limit: Limit | None, scope: str | None) -> str | None:
    return scope if limit is not None and limit.per else None


def _text(size: object) -> str | None:
    return str(int(size)) if isinstance(size, int) else (None if size is None else "unlimited")
