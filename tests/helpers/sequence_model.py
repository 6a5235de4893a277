"""
Random model of sequence and acknowledgement: one account, several producers, and messages that are late, lost or answered in vain.

A *producer* is the store object of one process. Each message carries the sequence number of its order, the floor (the
lowest number of the account that the producer has not settled), the number of the attempt, and the store's time that
the producer had seen when it first sent the order. `Account` is the store's side, `Process` the caller's. Messages
arrive in any order, as those of several connections do.

The account keeps a field per producer: the floor, the numbers at or above it that were carried out or made void, and
the times of its birth and of its last order. The rules:

- An order below the floor is settled, and never carried out. One whose number was carried out is a repeat.
- A repeat that is refused makes its number void, and so does an undo: the original is refused if it comes later.
  A journalled charge overrides the void of its own repeat.
- A field is dropped `KEPT` after its last order. A message that was first sent `KEPT` before the field was born is
  late: an attempt of it may have been carried out under the former field. Only an order that was sent once is sent
  again with the store's time; any other is given up as lost.
- A refund is made once per charge, and only within `KEPT` of it. A refund of a keyed charge frees the key for orders
  that were first sent after it.

Each order is one unit. At rest the account holds exactly the units of the orders whose callers were told so. Orders
whose fate a fault leaves open (a caller that was cancelled, a process that died, a write that a failover lost, an
order that was given up) may count or not, but never twice.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

KEPT = 100
"""Time for which a producer's field, a refund, an ended reservation and a key are kept."""
TTL = 20
"""Lifetime of a reservation."""

HOLES = {
    "none": "the rules as they are",
    "no floor": "an order below the floor is taken for a new one",
    "no void by undo": "an undo leaves no mark, so that a late original counts",
    "no void by refusal": "a repeat that is refused leaves no mark",
    "void stops journal": "a journalled charge is stopped by the mark of its own refused repeat",
    "fresh seen": "a repeat carries the store's time of the repeat, not of its first attempt",
    "no seen": "a message from before its producer's field was dropped is taken",
    "no born": "a field does not say since when it is kept, so only a message that finds none is late",
    "early drop": "a field is dropped while its producer still has orders open",
    "floor of sent": "the floor is the number of the order itself, whatever else is open",
    "journal lets go": "a journalled order no longer holds the floor down",
    "refunds not kept": "a second refund of one decision gives back again",
    "old refund": "a decision is refunded however long ago it was made",
    "key freed without time": "a refund frees a key for messages from before it too",
    "no mark by key": "a repeat that is answered by its key leaves no mark",
    "no void by gone": "a repeated commit that finds its reservation gone leaves no mark",
    "old commit": "a lapsed reservation is charged again however long ago it lapsed",
    "no ended": "a settled reservation leaves no record, so that a repeated commit charges again",
    "number shared": "a process that has died and started again goes on with the same producer id and numbers",
}
"""Faults that are planted on purpose: the model must find each."""


@dataclass
class Field:
    """State that the account keeps of one producer."""

    born: int
    floor: int = 0
    admitted: dict[int, int] = field(default_factory=dict)
    void: set[int] = field(default_factory=set)
    last: int = 0


@dataclass(frozen=True)
class Message:
    """One attempt of one order."""

    kind: str
    order: Order = field(repr=False)
    producer: int
    number: int
    floor: int
    attempt: int
    seen: int


@dataclass(eq=False)
class Order:
    """One unit that a caller asked for, and what he was told."""

    id: int
    process: Process
    number: int
    mode: str
    state: str
    key: str | None = None
    of: Order | None = None
    attempts: int = 0
    latest: Message | None = None
    unit: int = 0
    seen: int = 0
    made: int = 0


class Account:
    """The record of the account in the store, by the rules; *hole* leaves one of them out."""

    def __init__(self, capacity: int, hole: str) -> None:
        self.capacity, self.hole, self.now = capacity, hole, 1_000
        self.fields: dict[int, Field] = {}
        self.counted: Counter[int] = Counter()
        self.held: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.refunded: dict[int, int] = {}
        self.keys: dict[str, tuple[int, int]] = {}
        self.freed: dict[str, int] = {}

    def used(self) -> int:
        """Return the units counted and reserved."""
        return self.counted.total() + len(self.held)

    def handle(self, message: Message) -> tuple[str, int]:
        """Carry out one message; return the reply, and the order whose unit it is about."""
        self.now += 1
        self.lapse()
        kept = self._enter(message)
        if kept is None:
            return "late", 0
        if message.number < kept.floor:
            return "settled", 0
        reply = getattr(self, "_" + message.kind)(message, kept)
        return reply if isinstance(reply, tuple) else (reply, 0)

    def _enter(self, message: Message) -> Field | None:
        """Return the producer's field after raising its floor; None for a message that is late."""
        kept = self.fields.get(message.producer)
        if kept is None:
            for producer, other in list(self.fields.items()):
                if other.last + (KEPT if self.hole != "early drop" else 5) <= self.now:
                    del self.fields[producer]
            kept = Field(born=self.now)
        if (
            message.seen + KEPT <= (kept.born if self.hole != "no born" or kept.born == self.now else 0)
            and self.hole != "no seen"
        ):
            return None
        self.fields[message.producer] = kept
        kept.last = self.now
        if self.hole != "no floor":
            kept.floor = max(kept.floor, message.floor)
        low = max(kept.floor, message.floor)
        kept.admitted = {each: unit for each, unit in kept.admitted.items() if each >= low}
        kept.void = {each for each in kept.void if each >= low}
        return kept

    def _charge(self, message: Message, kept: Field) -> tuple[str, int] | str:
        order, number = message.order, message.number
        applies = message.kind == "apply"
        if number in kept.admitted:
            return "admitted", kept.admitted[number]
        if number in kept.void and not (applies and self.hole != "void stops journal"):
            return "refused"
        if order.key is not None:
            found = self.keys.get(order.key)
            if found is not None and self.now < found[1]:
                if message.attempt > 1 and self.hole != "no mark by key":
                    kept.admitted[number] = found[0]
                return "admitted", found[0]
            if message.seen < self.freed.get(order.key, 0) and self.hole != "key freed without time":
                return "again"
        if not applies and self.used() >= self.capacity:
            if message.attempt > 1 and self.hole != "no void by refusal":
                kept.void.add(number)
            return "refused"
        kept.void.discard(number)
        kept.admitted[number] = order.id
        if order.key is not None:
            self.keys[order.key] = (order.id, self.now + KEPT)
        if message.kind == "reserve":
            self.held[order.id] = self.now + TTL
        else:
            self.counted[order.id] += 1
        return "admitted", order.id

    _apply = _reserve = _charge

    def _undo(self, message: Message, kept: Field) -> str:
        if message.number in kept.admitted:
            del kept.admitted[message.number]
            self.held.pop(message.order.id, None)
            if self.counted[message.order.id]:
                self.counted[message.order.id] -= 1
        if self.hole != "no void by undo":
            kept.void.add(message.number)
        return "done"

    def _refund(self, message: Message, kept: Field) -> str:
        charge = message.order.of
        assert charge is not None
        if message.number in kept.admitted:
            return "done"
        if charge.made + KEPT <= self.now and self.hole != "old refund":
            return "too old"
        if self.refunded.get(charge.unit, 0) > self.now and self.hole != "refunds not kept":
            return "again"
        if charge.key is not None and self.keys.get(charge.key, (0, 0))[0] != charge.unit:
            return "not kept"
        kept.admitted[message.number] = charge.unit
        self.refunded[charge.unit] = self.now + KEPT
        self.counted[charge.unit] -= 1
        if charge.key is not None:
            del self.keys[charge.key]
            self.freed[charge.key] = self.now
        return "done"

    def _commit(self, message: Message, kept: Field) -> str:
        reserved = message.order.of
        assert reserved is not None
        lapses, is_held = reserved.made + TTL, reserved.id in self.held
        if message.number in kept.admitted or (self.ended.get(reserved.id, 0) > self.now and self.hole != "no ended"):
            return "done"
        if message.number in kept.void:
            return "gone"
        if not is_held and (self.used() >= self.capacity or (lapses + KEPT <= self.now and self.hole != "old commit")):
            if message.attempt > 1 and self.hole != "no void by gone":
                kept.void.add(message.number)
            return "gone"
        self.held.pop(reserved.id, None)
        kept.admitted[message.number] = reserved.id
        self.ended[reserved.id] = max(self.now, lapses) + KEPT
        self.counted[reserved.id] += 1
        return "done"

    def _cancel(self, message: Message, _: Field) -> str:
        reserved = message.order.of
        assert reserved is not None
        self.held.pop(reserved.id, None)
        self.ended[reserved.id] = max(self.now, reserved.made + TTL) + KEPT
        return "done"

    def lapse(self) -> None:
        """End the reservations that have lapsed."""
        self.held = {id: lapses for id, lapses in self.held.items() if self.now < lapses}


@dataclass(eq=False)
class Process:
    """A process: its producer id, its numbers, and the orders that it has not settled."""

    producer: int
    seen: int
    number: int = 0
    open: list[Order] = field(default_factory=list)

    def next_number(self) -> int:
        """Return the next sequence number."""
        self.number += 1
        return self.number


class History:
    """
    A random history.

    Args:
        seed: Seed of the random choices.
        hole: The rule to leave out.
    """

    def __init__(self, seed: int, hole: str = "none") -> None:
        self.random, self.hole = Random(seed), hole
        self.account = Account(self.random.choice([1, 2, 3]), hole)
        self.replica = deepcopy(self.account)
        self.processes = [Process(each, self.account.now) for each in range(2)]
        self.wire: list[Message] = []
        self.orders: list[Order] = []
        self.admitted: list[Order] = []
        self.reserved: list[Order] = []
        self.settled: dict[int, str] = {}
        self.misled = False
        self.key = self.random.choice([None, "a"])
        """Key of the charges of this history."""
        self.most = self.random.choice([3, 4, 5, 9])
        self.kinds = self.random.choice([(4, 1, 2), (4, 0, 3), (1, 4, 3)])
        self.delay = self.random.choice([1, 2, 5])
        self.loss = self.random.choice([0.1, 0.3, 0.6])
        self.told: set[int] = set()
        self.returned: set[int] = set()
        self.uncertain: set[int] = set()
        self.touched: set[int] = set()
        self.lost: set[int] = set()

    def run(self, steps: int = 200) -> str | None:
        """Play, come to rest, and return what is wrong; None if nothing is."""
        for _ in range(steps):
            moves = self._moves()
            if not moves:
                break
            self.random.choice(moves)()
            if any(not -(id in self.lost) <= count <= 1 for id, count in self.account.counted.items()):
                return f"counted {dict(self.account.counted)}"
        self._rest()
        return self._difference()

    # -- moves -------------------------------------------------------------------------

    def _moves(self) -> list:
        moves = [self._wait]
        charges, reservations, ends = self.kinds
        if len(self.orders) < self.most:
            moves += [self._consume] * charges + [self._reserve] * reservations
            if self.admitted:
                moves += [self._refund_one] * ends
        if self.reserved:
            moves += [self._settle] * ends
        if self.wire:
            moves += [self._deliver] * self.delay + [self._lose]
        if any(process.open for process in self.processes):
            moves += [self._time_out] * 2 + [self._cancel_caller]
        if len(self.orders) >= self.most and not self.wire and not any(process.open for process in self.processes):
            return []
        return moves + [self.random.choice([self._replicate, self._fail_over, self._die])] * (
            self.random.random() < 0.1
        )

    def _wait(self) -> None:
        self.account.now += self.random.choice([1, 1, 1, 1, 1, 5, 5, 10, TTL, KEPT])

    def _new(self, state: str, **named) -> Order:
        process = self.random.choice(self.processes)
        order = Order(
            len(self.orders) + 1, process, process.next_number(), self.random.choice(["deny", "allow"]), state
        )
        for name, value in named.items():
            setattr(order, name, value)
        self.orders.append(order)
        process.open.append(order)
        self._send(order, order.state)
        return order

    def _consume(self) -> None:
        open_keys = {order.key for process in self.processes for order in process.open}
        self._new("charge", key=None if self.key in open_keys else self.key)

    def _reserve(self) -> None:
        self._new("reserve", mode="deny")

    def _refund_one(self) -> None:
        charge = self.random.choice(self.admitted)
        if self.random.random() < 0.7:  # else it is refunded again, perhaps elsewhere
            self.admitted.remove(charge)
        self._new("refund", of=charge)

    def _settle(self) -> None:
        reserved = self.random.choice(self.reserved)
        if self.random.random() < 0.7:  # else it is settled again, perhaps elsewhere
            self.reserved.remove(reserved)
        if not self.settled.get(reserved.id):
            self.settled[reserved.id] = self.random.choice(["commit", "commit", "cancel"])
        self._new(self.settled[reserved.id], of=reserved)

    def _send(self, order: Order, kind: str) -> None:
        process = order.process
        order.attempts += 1
        if order.attempts == 1 or self.hole == "fresh seen":
            order.seen = process.seen
        holding = [
            each for each in process.open if self.hole != "journal lets go" or each.state not in ("undo", "apply")
        ]
        floor = (
            order.number if self.hole == "floor of sent" else min([each.number for each in holding] + [order.number])
        )
        order.latest = Message(kind, order, process.producer, order.number, floor, order.attempts, order.seen)
        self.wire.append(order.latest)

    def _deliver(self) -> None:
        message = self.wire.pop(self.random.randrange(len(self.wire)))
        reply, unit = self._handle(message)
        if self.random.random() < self.loss:  # the reply is lost
            return
        order, process = message.order, message.order.process
        process.seen = self.account.now
        if order not in process.open or order.latest is not message:  # nobody waits for this one any more
            return
        self._answer(order, reply, unit)

    def _answer(self, order: Order, reply: str, unit: int) -> None:
        """Settle an order; or send it once more with the store's time, if no earlier attempt can have been applied."""
        process = order.process
        self.misled |= reply == "settled"
        if reply == "again" or (reply == "late" and order.attempts == 1):
            order.seen = process.seen
            self._send(order, order.state)
            order.attempts -= reply == "late"
        elif reply == "late":  # an earlier attempt may have been applied before the field was dropped: logged as lost
            process.open.remove(order)
            self._leave_open(order)
        else:
            self._reply(order, reply, unit)

    def _leave_open(self, order: Order) -> None:
        """Note that the unit of an order may count or not."""
        (self.lost if order.of else self.uncertain).add(order.of.unit if order.of else order.id)

    def _handle(self, message: Message) -> tuple[str, int]:
        before = deepcopy(self.account)
        reply = self.account.handle(message)
        for name in ("counted", "held", "ended", "refunded", "keys", "fields"):
            if getattr(before, name) != getattr(self.account, name):
                self.touched |= {message.order.id, message.order.of.unit if message.order.of else 0}
        return reply

    def _reply(self, order: Order, reply: str, unit: int) -> None:
        order.process.open.remove(order)
        match order.state, reply:
            case (("charge" | "apply"), "admitted"):
                if order.state == "charge" or unit != order.id:
                    self.told.discard(order.id)
                    self.told.add(unit)
                    self.uncertain.discard(unit)
                order.unit, order.made = unit, self.account.now
                self.admitted.append(order)
            case "reserve", "admitted":
                order.unit, order.made = order.id, self.account.now
                self.reserved.append(order)
            case "commit", "done":
                assert order.of is not None
                self.told.add(order.of.id)
            case "refund", "done":
                assert order.of is not None
                self.returned.add(order.of.unit)
            case _:
                pass

    def _lose(self) -> None:
        self.wire.pop(self.random.randrange(len(self.wire)))

    def _open_order(self) -> Order:
        return self.random.choice([order for process in self.processes for order in process.open])

    def _time_out(self) -> None:
        self._give_up(self._open_order())

    def _give_up(self, order: Order) -> None:
        """Repeat once; then tell the caller, and journal what the store must learn."""
        if order.state in ("charge", "reserve") and order.attempts >= 2:
            if order.key is not None and order.mode == "deny":  # its caller repeats it with the key
                self.uncertain.add(order.id)
                order.process.open.remove(order)
                return
            order.state = "apply" if order.mode == "allow" else "undo"
            if order.state == "apply":
                self.told.add(order.id)
        self._send(order, order.state)

    def _cancel_caller(self) -> None:
        order = self._open_order()
        if order.state == "charge":
            self.uncertain.add(order.id)
            order.process.open.remove(order)
        elif order.state == "reserve":
            order.state = "undo"
            self._send(order, order.state)

    # -- faults of the server and of processes ------------------------------------------

    def _replicate(self) -> None:
        self.replica, self.touched = deepcopy(self.account), set()

    def _fail_over(self) -> None:
        """Promote the replica: what was written since is lost, and so is what was on the way."""
        now = self.account.now
        self.account = deepcopy(self.replica)
        self.account.now = now
        self.lost |= self.touched
        self.touched, self.wire = set(), []

    def _die(self) -> None:
        """End a process: its journal goes with it, and its successor is another producer."""
        process = self.random.choice(self.processes)
        for order in process.open:
            self._leave_open(order)
        self.reserved = [order for order in self.reserved if order.process is not process]
        same = self.hole == "number shared"
        self.processes[self.processes.index(process)] = Process(
            process.producer if same else process.producer + 2, self.account.now
        )

    # -- at rest -------------------------------------------------------------------------

    def _rest(self) -> None:
        """Bring what is open, then let what is late arrive, and let time pass."""
        late, self.wire = self.wire, []
        for process in self.processes:
            for order in list(process.open):
                if order.state in ("charge", "reserve"):
                    order.attempts = max(order.attempts, 2)
                    self._give_up(order)
                for _ in range(3):
                    if order not in process.open:
                        break
                    self._send(order, order.state)
                    assert order.latest is not None
                    reply, unit = self._handle(order.latest)
                    process.seen = self.account.now
                    self._answer(order, reply, unit)
        self.random.shuffle(late)
        for message in late:
            self.account.now += self.random.choice([0, 0, 0, 0, 5, KEPT])
            self._handle(message)
        self.account.now += TTL
        self.account.lapse()

    def _difference(self) -> str | None:
        if self.misled:
            return "an order whose caller waits was below the floor"
        if self.account.held:
            return f"held after their ttl: {self.account.held}"
        for order in self.orders:
            counted, told = self.account.counted[order.id], order.id in self.told - self.returned
            open_fate = order.id in self.uncertain | self.lost
            if counted != told and not (open_fate and -(order.id in self.lost) <= counted <= 1):
                return f"{order}: told {told}, counted {counted}"
        return None
