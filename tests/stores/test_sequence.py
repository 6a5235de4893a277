"""Sequence and acknowledgement on real servers: each charge counts once, and its record is what is in flight."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import redis
from histories import ACCOUNT, Clock
from injected_time import with_injected_time
from strategies import NOW
from topologies import wait_until

from entitlements import Enforcer, Policy, StoreError
from entitlements.model.answers import Line, Status
from entitlements.model.charge import Charge, Part, Read, Refund, SetUsage
from entitlements.model.instants import MINUTE, SECOND
from entitlements.model.limits import UNLIMITED, Allocation, Quota, Rate
from entitlements.model.sequence import sequence_id
from entitlements.rules.periods import month_ends
from entitlements.stores.errors import Late
from entitlements.stores.redis import RedisStore
from entitlements.stores.redis.decoding import decoder_of
from entitlements.stores.redis.encoding import encode_call
from entitlements.stores.redis.keys import account_key
from entitlements.stores.redis.scripts import make_script
from entitlements.stores.sequence import _HEADER, Producer, header_of, hold, refresh, settle

HERE, THERE = "a" * 16, "b" * 16
LEADS, API, AGENTS = Quota("leads"), Rate("api", MINUTE), Allocation("agents")
ENDS = month_ends(None, NOW)
LATE = "late"


class HEADED:
    """A sequence whose header the test sends itself."""

    header = staticmethod(bytes)


class Wire:
    """Messages to one account, each as it would travel; the clock is moved by hand."""

    def __init__(self, client, change=lambda script: script):
        client.flushdb()
        self.client, self.clock, self._change = client, Clock(), change

    def execute(self, order, header=None):
        """Carry out an order and return its answer; *header* takes the place of its sequence."""
        call = encode_call(order, "ent")
        script = with_injected_time(self._change(call.script))
        self.client.script_load(script.text)
        args = list(call.args)
        if header is not None:
            args[-1] = header
        return decoder_of(order)(self.client.evalsha(script.sha, len(call.keys), *call.keys, *args, str(self.clock())))

    def charge(self, producer, number, *, floor=None, attempt=1, seen=None, size=2, cost=1):
        """Send one attempt of a charge; return its status."""
        parts = (Part(API, 100, cost), Part(LEADS, size, cost, ENDS))
        parts = parts if size is not UNLIMITED else tuple(part._replace(size=UNLIMITED) for part in parts)
        order = Charge(ACCOUNT, parts, operation=sequence_id(producer, number))
        seen = self.clock.now if seen is None else seen
        header = _HEADER.pack(bytes.fromhex(producer), number, floor or number, attempt, seen)
        try:
            return self.execute(order, header).status
        except Late:
            return LATE

    def used(self):
        """Return the units of the quota."""
        return self.execute(Read(ACCOUNT, (Part(LEADS, 10, 1, ENDS),))).lines[0].used


@pytest.fixture
def wire(server):
    """Messages to one account of a real server."""
    with server.client() as client:
        yield Wire(client)


def test_a_repeat_counts_once_and_is_told_what_was_taken(wire):
    assert Status.ADMITTED is wire.charge(HERE, 1)
    assert [Status.REPLAYED] * 2 == [wire.charge(HERE, 1, attempt=2) for _ in range(2)]
    assert Status.ADMITTED is wire.charge(THERE, 1)
    assert 2 == wire.used()


def test_an_original_that_comes_after_its_repeat_counts_once(wire):
    assert Status.ADMITTED is wire.charge(HERE, 1, attempt=2)
    assert Status.REPLAYED is wire.charge(HERE, 1)
    assert 1 == wire.used()


def test_numbers_of_several_connections_arrive_in_any_order(wire):
    """What is above the number of an order stays, though the order is its own floor."""
    assert Status.ADMITTED is wire.charge(HERE, 9, size=100)
    order = [4, 2, 6, 3, 5]
    assert {Status.ADMITTED} == {wire.charge(THERE, number, floor=1, size=100) for number in order}
    assert Status.ADMITTED is wire.charge(THERE, 1, floor=1, size=100)
    assert {Status.REPLAYED} == {wire.charge(THERE, number, floor=1, attempt=2, size=100) for number in (6, 5, 4, 3, 2)}
    assert 7 == wire.used()


def test_an_order_below_the_floor_is_never_carried_out(wire):
    wire.charge(HERE, 5)
    assert LATE == wire.charge(HERE, 4)
    assert 1 == wire.used()


def test_a_repeat_that_is_refused_voids_the_original(wire):
    wire.charge(THERE, 1, cost=2)
    assert Status.REFUSED is wire.charge(HERE, 1, attempt=2)
    wire.execute(Refund(ACCOUNT, sequence_id(THERE, 1), taken=((Part(LEADS, 2, 2, ENDS), taken_of(2)),)))
    assert 0 == wire.used()
    assert LATE == wire.charge(HERE, 1)
    assert Status.ADMITTED is wire.charge(HERE, 1, attempt=3, size=UNLIMITED)  # promised without the store
    assert Status.REPLAYED is wire.charge(HERE, 1)
    assert 1 == wire.used()


def test_a_first_attempt_that_is_refused_writes_nothing_of_its_sequence(wire):
    assert Status.REFUSED is wire.charge(HERE, 1, cost=3)
    assert not [field for field in wire.client.hkeys(account_key("ent", ACCOUNT)) if field[:1] in b"sS"]
    wire.charge(THERE, 1, cost=2)
    before = wire.client.hgetall(account_key("ent", ACCOUNT))
    assert Status.REFUSED is wire.charge(HERE, 1)
    after = wire.client.hgetall(account_key("ent", ACCOUNT))
    assert {b"qleads"} == {field for field in after if after[field] != before.get(field)}


def test_a_producer_that_is_new_to_a_record_is_listed_without_the_general_code(server):
    """Each process is new to an account that another one has charged: the general code takes five times as long."""

    def without_general_code(script):
        return make_script(script.name, script.text.decode().replace("until true\n", "until true\nerror('general')\n"))

    with server.client() as client:
        first = Wire(client)
        producers = [f"{number:016x}" for number in range(17)]
        assert Status.ADMITTED is first.charge(producers[0], 1, size=100)
        short = Wire.__new__(Wire)
        short.client, short.clock, short._change = client, first.clock, without_general_code
        for producer in producers[1:]:
            assert Status.ADMITTED is short.charge(producer, 1, size=100)
        assert "".join(producers) == client.hget(account_key("ent", ACCOUNT), "S").hex()
        with pytest.raises(redis.ResponseError, match="general"):
            short.charge("ff" * 8, 1, size=100)
        first.clock.now += 10 * MINUTE
        assert Status.ADMITTED is first.charge(producers[1], 2, size=100)
        assert Status.ADMITTED is first.charge("ff" * 8, 1, size=100)
        assert producers[1] + "ff" * 8 == client.hget(account_key("ent", ACCOUNT), "S").hex()


@pytest.mark.parametrize("limit", [LEADS, AGENTS], ids=lambda limit: limit.name)
def test_a_total_that_comes_after_a_later_one_is_not_set(wire, limit):
    """Whatever was acknowledged last stays, and a repeat of it sets nothing that was charged since."""

    def set_to(total, number, *, floor=None, attempt=1, seen=None):
        part = Part(limit, 100, total, ENDS)
        header = _HEADER.pack(bytes.fromhex(HERE), number, floor or number, attempt, seen or wire.clock.now)
        try:
            return wire.execute(SetUsage(ACCOUNT, part, HEADED), header).line.used
        except Late:
            return LATE

    def used():
        return wire.execute(Read(ACCOUNT, (Part(limit, 100, 1, ENDS),))).lines[0].used

    assert 7 == set_to(7, 2)
    assert (LATE, 7) == (set_to(3, 1), used())
    assert 5 == set_to(5, 3)
    wire.execute(Charge(ACCOUNT, (Part(limit, 100, 2, ENDS),)))
    assert (7, 7) == (set_to(5, 3, attempt=2), used())
    assert (LATE, 7) == (set_to(9, 4, seen=wire.clock.now - 60 * MINUTE), used())
    assert 4 == wire.execute(SetUsage(ACCOUNT, Part(limit, 100, 4, ENDS))).line.used  # of a store without numbers


def test_a_producer_that_comes_back_after_its_field_was_dropped_is_late_with_old_orders_only(wire):
    sent = wire.clock.now
    wire.charge(HERE, 1, size=100)
    wire.clock.now += 10 * MINUTE
    wire.charge(THERE, 1, size=100)
    assert b"s" + bytes.fromhex(HERE) not in wire.client.hkeys(account_key("ent", ACCOUNT))

    assert LATE == wire.charge(HERE, 1, attempt=2, seen=sent, size=100)
    assert Status.ADMITTED is wire.charge(HERE, 2, floor=1, size=100)
    assert LATE == wire.charge(HERE, 1, attempt=3, seen=sent, size=100)  # the field is back, but younger than the order
    assert 3 == wire.used()


def test_a_producer_that_is_away_keeps_its_field_as_long_as_no_other_comes(wire):
    sent = wire.clock.now
    wire.charge(HERE, 1)
    wire.clock.now += 60 * MINUTE
    assert Status.REPLAYED is wire.charge(HERE, 1, attempt=2, seen=sent)


def test_orders_are_not_late_once_the_clock_of_the_server_was_set_back(wire):
    sent = wire.clock.now
    wire.charge(HERE, 1, size=100)
    wire.clock.now -= 60 * MINUTE
    assert Status.ADMITTED is wire.charge(HERE, 2, floor=1, size=100)
    assert Status.ADMITTED is wire.charge(HERE, 3, floor=1, attempt=2, size=100)  # its first attempt was lost
    assert Status.REPLAYED is wire.charge(HERE, 1, attempt=2, seen=sent, size=100)

    seen = wire.clock.now
    wire.clock.now = sent
    assert LATE == wire.charge(HERE, 4, floor=1, seen=seen, size=100)
    assert Status.ADMITTED is wire.charge(HERE, 4, floor=1, size=100)
    assert 4 == wire.used()


def taken_of(units, mark=ENDS[1]):
    """Return the line of a quota that took units."""
    return Line(True, units, mark=mark, taken=units)


def test_a_refund_is_made_once_whoever_asks_and_for_ten_minutes(wire):
    wire.charge(HERE, 1, cost=2, size=10)
    wire.charge(THERE, 1, cost=2, size=10)
    taken = ((Part(LEADS, 2, 2, ENDS), taken_of(2)),)
    first = Refund(ACCOUNT, sequence_id(HERE, 1), taken=taken, charged_at=NOW)
    assert [True, False] == [wire.execute(first), wire.execute(first)]
    wire.charge(HERE, 2, cost=2, size=10)
    wire.clock.now += 10 * MINUTE
    assert not wire.execute(Refund(ACCOUNT, sequence_id(HERE, 2), taken=taken, charged_at=NOW))
    assert 4 == wire.used()


def test_a_repeat_in_the_next_month_says_in_which_it_was_counted(wire):
    wire.clock.now = ENDS[2] - SECOND
    order = Charge(ACCOUNT, (Part(LEADS, 9, 3, ENDS),), operation=sequence_id(HERE, 1))
    wire.execute(order)
    wire.clock.now = ENDS[2] + SECOND
    later = month_ends(None, wire.clock.now)
    wire.execute(Charge(ACCOUNT, (Part(LEADS, 9, 1, later),), operation=sequence_id(THERE, 1)))
    again = wire.execute(Charge(ACCOUNT, (Part(LEADS, 9, 3, later),), operation=sequence_id(HERE, 1)))

    assert (Status.REPLAYED, ENDS[1], 3) == (again.status, again.lines[0].mark, again.lines[0].taken)
    assert wire.execute(Refund(ACCOUNT, sequence_id(HERE, 1), taken=((order.parts[0], again.lines[0]),)))


@pytest.mark.parametrize("damage", [b"", b"x" * 23, b"x" * 24, b"x" * 35, b"\xff" * 36])
def test_a_sequence_that_no_script_wrote_is_named_and_kept(wire, damage):
    wire.charge(HERE, 1)
    field = b"s" + bytes.fromhex(HERE)
    wire.client.hset(account_key("ent", ACCOUNT), field, damage)
    with pytest.raises(Exception, match="CORRUPT s"):
        wire.charge(HERE, 2)
    assert damage == wire.client.hget(account_key("ent", ACCOUNT), field)


# --- Faults that are planted on purpose ---------------------------------------------------------------------------

FAULTS = {
    "a number is not looked for": (
        "if string.find(known, entry, 25, true) then break end", "", test_an_original_that_comes_after_its_repeat_counts_once,
    ),
    "a general charge does not look either": (
        "local at = text and find(text, sequence.number)", "local at", test_a_repeat_counts_once_and_is_told_what_was_taken,
    ),
    "what is above the floor goes too": (
        "% 4294967296 < 2147483648 then", "% 4294967296 < 0 then", test_numbers_of_several_connections_arrive_in_any_order,
    ),
    "a refused repeat leaves no mark": ("settle_number(order.sequence, 0)", "", test_a_repeat_that_is_refused_voids_the_original),
    "a refused first attempt leaves one": (
        "order.sequence.attempt > 1", "order.sequence.attempt > 0", test_a_first_attempt_that_is_refused_writes_nothing_of_its_sequence,
    ),
    "nothing is below the floor": ("or sequence.number < floor", "", test_an_order_below_the_floor_is_never_carried_out),
    "a young field takes old orders": (
        "sequence.seen + KEPT <=", "not text and sequence.seen + KEPT <=",
        test_a_producer_that_comes_back_after_its_field_was_dropped_is_late_with_old_orders_only,
    ),
    "a clock that was set back makes orders late": (
        "math.min(born, now)", "born", test_orders_are_not_late_once_the_clock_of_the_server_was_set_back,
    ),
    "no field is dropped": (
        "now - last < KEPT", "true", test_a_producer_that_comes_back_after_its_field_was_dropped_is_late_with_old_orders_only,
    ),
    "a refund is made again": ("not sequence and operation('refunded:' .. id) or", "", test_a_refund_is_made_once_whoever_asks_and_for_ten_minutes),
    "a refund is made for ever": (
        "or now - charged_at >= OPERATION_TTL", "", test_a_refund_is_made_once_whoever_asks_and_for_ten_minutes,
    ),
    "a repeat names the period of today": ("period_of(part, order.made_at or moment).start", "part.period.start", test_a_repeat_in_the_next_month_says_in_which_it_was_counted),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(valkey, fault):
    before, after, story = FAULTS[fault]

    def planted(script):
        changed.append(before in script.text.decode())
        return make_script(script.name, script.text.decode().replace(before, after))

    changed = []
    with valkey.client() as client, pytest.raises(AssertionError):
        story(Wire(client, planted))
    assert any(changed)


# --- Through the enforcer -----------------------------------------------------------------------------------------

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {
        "api": {"kind": "rate", "deadline": "PT10S"},
        "leads": {"kind": "quota", "deadline": "PT10S"},
        "agents": {"kind": "allocation", "deadline": "PT10S"},
    },
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000 per hour", "leads": 1000000, "agents": 1000}}},
})  # fmt: skip


def test_ten_thousand_charges_by_four_producers_leave_less_than_two_kilobytes(valkey):
    enforcers = [Enforcer(POLICY, accounts={ACCOUNT: "one"}, store=valkey.url) for _ in range(4)]
    for number in range(10_000):
        assert enforcers[number % 4].consume(ACCOUNT, {"api": 1, "leads": 1})
    key = account_key("ent", ACCOUNT)
    with valkey.client() as client:
        fields = {field[:1] for field in client.hkeys(key)}
        assert client.memory_usage(key, samples=0) <= 2048

    assert ({b"r", b"q", b"s", b"S"}, 10_000) == (fields, enforcers[0].usage(ACCOUNT)["leads"].used)
    for enforcer in enforcers:
        enforcer.close()


def test_a_decision_is_refunded_once_into_each_of_its_limits(valkey):
    with Enforcer(POLICY, accounts={ACCOUNT: "one"}, store=valkey.url) as enforcer:
        decision = enforcer.consume(ACCOUNT, {"api": 2, "leads": 3, "agents": 4})
        assert (3, 4) == tuple(enforcer.usage(ACCOUNT)[name].used for name in ("leads", "agents"))
        assert [True, False] == [enforcer.refund(decision, rates=True) for _ in range(2)]
        with Enforcer(POLICY, accounts={ACCOUNT: "one"}, store=RedisStore(valkey.url)) as other:
            assert not other.refund(decision, rates=True)
        assert [0, 0, 0] == [enforcer.usage(ACCOUNT)[name].used for name in ("api", "leads", "agents")]


@pytest.mark.parametrize("store", ["memory://", "valkey"])
def test_a_refund_of_an_unlimited_rate_and_an_unlimited_quota_returns_the_units_of_the_quota(request, store):
    """The decision is about the limit that was counted, also if another one comes first."""
    tiers = {"one": {"rank": 1, "limits": {"api": "unlimited", "leads": "unlimited"}}}
    policy = Policy.parse({
        "policy": {"version": "1"}, "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota", "deadline": "PT10S"}}, "tiers": tiers,
    })  # fmt: skip
    url = request.getfixturevalue("valkey").url if store == "valkey" else store
    with Enforcer(policy, accounts={ACCOUNT: "one"}, store=url, expected_processes=1) as enforcer:
        decision = enforcer.consume(ACCOUNT, {"api": 1, "leads": 2})
        assert ("leads", 2) == (decision.feature, enforcer.usage(ACCOUNT)["leads"].used)
        assert [True, False] == [enforcer.refund(decision) for _ in range(2)]
        assert 0 == enforcer.usage(ACCOUNT)["leads"].used


def test_what_a_frozen_server_was_sent_counts_as_its_callers_were_told(valkey):
    """Units that were allowed count once, also when their requests arrive late; refused ones and refunded ones do not."""
    limits = {
        "leads": {"kind": "quota", "on_outage": "allow", "deadline": "PT1S"},
        "agents": {"kind": "allocation", "deadline": "PT1S"},
    }
    policy = Policy.parse({
        "policy": {"version": "1"}, "limits": limits, "tiers": {"one": {"rank": 1, "limits": {"leads": 99, "agents": 9}}},
    })  # fmt: skip
    with Enforcer(policy, accounts={ACCOUNT: "one"}, store=valkey.url, expected_processes=1) as enforcer:

        def used():
            usage = enforcer.usage(ACCOUNT)
            return usage["leads"].used, usage["agents"].used

        assert enforcer.consume(ACCOUNT, {"leads": 2, "agents": 1}).via == "store"
        valkey.stop()
        promised = [enforcer.consume(ACCOUNT, "leads", 3) for _ in range(3)]
        refused = enforcer.consume(ACCOUNT, {"leads": 1, "agents": 1})
        valkey.cont()
        wait_until(lambda: quietly(used) == (11, 1), "the journal is replayed")

        assert ([True] * 3, False) == ([decision.allowed for decision in promised], refused.allowed)
        assert ([True] * 3, [False] * 3) == tuple([enforcer.refund(each) for each in promised] for _ in range(2))
        assert ((2, 1), {}) == (used(), enforcer._numbers.accounts)


def quietly(call):
    """Return the result of a call, or None while the store fails."""
    try:
        return call()
    except StoreError:
        return None


# --- The producer -------------------------------------------------------------------------------------------------


CHARGE, OTHER = (Charge(account, (Part(LEADS, 9, 1, ENDS),)) for account in (ACCOUNT, "other"))


def next_header(charge):
    """Return number, floor, attempt and time of the next attempt."""
    return _HEADER.unpack(header_of(charge))[1:]


def test_the_floor_is_the_lowest_number_of_the_account_that_is_not_settled():
    producer = Producer()
    (first, _), (second, _), (other, _) = (producer.open(each) for each in (CHARGE, CHARGE, OTHER))
    assert (2, 1) == next_header(second)[:2]
    hold(first)  # by the journal
    producer.close(first)
    assert (2, 1) == next_header(second)[:2]
    settle(first)
    assert (2, 2, 3) == next_header(second)[:3]
    assert (3, 3) == next_header(other)[:2]


def test_attempts_keep_the_time_of_the_first_one():
    producer = Producer()
    producer.seen = 7
    charge, _ = producer.open(CHARGE)
    producer.seen = 8
    assert [(1, 7), (2, 7)] == [next_header(each)[2:] for each in (charge, replace(charge, deadline=1))]
    assert not refresh(charge, 9)


def test_an_order_that_was_sent_once_and_came_late_is_sent_anew():
    producer = Producer()
    producer.seen = 7
    charge, _ = producer.open(CHARGE)
    next_header(charge)
    assert refresh(charge, 9)
    assert (1, 9) == next_header(charge)[2:]


def test_what_is_settled_leaves_nothing_in_the_process():
    producer = Producer()
    for number in range(100):
        charge, _ = producer.open(replace(CHARGE, account=f"account {number}"))
        producer.close(charge)
    assert {} == producer.accounts


def test_a_charge_of_another_process_is_its_own_floor():
    charge = pickle.loads(pickle.dumps(Producer().open(CHARGE)[0]))  # noqa: S301 - our own bytes
    assert (1, 1, 1) == next_header(charge)[:3]
