"""Without the store, each limit is decided by its fallback, and a charge stays all or nothing."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from random import Random

import pytest
from strategies import NOW

from entitlements.model.answers import Fallback, Line, Outcome, Status
from entitlements.model.charge import Charge, Part, Refund, Settle, Verb
from entitlements.model.instants import MINUTE
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, Mode, OnOutage, Quota, Rate
from entitlements.model.overage import Included
from entitlements.rules.fallbacks import (
    fallback_outcome,
    fallbacks_of,
    local_charge,
    mark_journalled,
    raise_meter,
    share_of,
    to_journal,
    undo_orders,
    without_journal,
)
from entitlements.rules.ledger import Ledger

ENDS = (NOW - 2, NOW - 1, NOW + 1, NOW + 2)
RATE = Part(Rate("api", MINUTE), 10, 2)
PARTS = (
    RATE,
    Part(Rate("burst", MINUTE, Algorithm.TOKEN_BUCKET, 5), 7),
    Part(Rate("address", MINUTE, per="ip"), 1),
    Part(Rate("never", MINUTE), 0),
    Part(Rate("free", MINUTE), UNLIMITED),
    Part(Rate("let", MINUTE, on_outage=OnOutage.ALLOW), 10),
    Part(Rate("stop", MINUTE, on_outage=OnOutage.DENY), 10),
    Part(Rate("watch", MINUTE, on_outage=OnOutage.DENY, mode=Mode.SHADOW), 10),
    Part(Rate("look", MINUTE, mode=Mode.SHADOW), 10),
    Part(Quota("leads", on_outage=OnOutage.ALLOW), 10, 3, ENDS),
    Part(Quota("paid", on_outage=OnOutage.DENY), 10, 1, ENDS),
    Part(Quota("open", on_outage=OnOutage.DENY), Included(5, UNLIMITED), 4, ENDS),
    Part(Allocation("seats", on_outage=OnOutage.ALLOW), 10, 2, ENDS),
)
JOURNAL, ALLOW, DENY, LOCAL = Fallback.JOURNAL, Fallback.ALLOW, Fallback.DENY, Fallback.LOCAL
FALLBACKS = (LOCAL, LOCAL, LOCAL, LOCAL, ALLOW, ALLOW, DENY, DENY, LOCAL, JOURNAL, DENY, JOURNAL, JOURNAL)


def test_each_limit_has_the_fallback_of_its_definition_unless_it_is_unlimited_or_leased():
    assert FALLBACKS == fallbacks_of(Charge("acme", PARTS))
    assert tuple(ALLOW if each is JOURNAL else each for each in FALLBACKS) == fallbacks_of(
        Charge("acme", PARTS, Verb.PEEK)
    )
    assert {DENY} == set(fallbacks_of(Charge("acme", PARTS, Verb.LEASE)))


@pytest.mark.parametrize(("size", "processes", "share"), [(10, 1, 10), (10, 3, 4), (9, 3, 3), (1, 4, 1), (0, 2, 0)])
def test_a_share_is_an_even_part_rounded_up(size, processes, share):
    assert share == share_of(size, processes)


def test_a_charge_without_the_store_is_decided_part_by_part_and_counts_all_or_nothing():
    random = Random(1)
    for _ in range(1_500):
        order = Charge(
            "acme", tuple(random.sample(PARTS, random.randint(1, 3))), random.choice([Verb.CONSUME, Verb.PEEK]), "a"
        )
        check_outcome(order, random.randint(1, 3), random.random() < 0.5, random)


def check_outcome(order, processes, shared, random):
    """Check the local charge of an order, and its outcome for some outcome of that."""
    fallbacks = fallbacks_of(order)
    local = [part for part, each in zip(order.parts, fallbacks, strict=True) if each is LOCAL]
    shares = tuple(
        part._replace(
            size=ceil(part.size / processes),
            limit=replace(part.limit, burst=ceil(part.limit.burst / processes)) if part.limit.burst else part.limit,
        )
        for part in local
    )
    stops = any(part.limit.name in {"stop", "paid"} for part in order.parts)
    verb = Verb.CONSUME if order.verb is Verb.CONSUME and not stops else Verb.PEEK
    scope = "a" if any(part.limit.per for part in local) else None
    expected = Charge("acme", shares, verb, scope) if local else None

    assert expected == local_charge(order, fallbacks, processes)

    def line():
        fits, retry_at = random.random() < 0.6, random.choice([None, NOW + 1, NOW + 9])
        return Line(fits, random.randint(0, 9), 0, None if fits else retry_at, NOW + 5, 6, random.randint(0, 2) * fits)

    here = {part.limit.name: line() for part in local} if random.random() < 0.9 else {}
    outcome = Outcome(Status.ADMITTED, NOW, tuple(here.values())) if here else None
    lines, found = [], []
    for part, fallback in zip(order.parts, fallbacks, strict=True):
        known = here.get(part.limit.name)
        above_share = known and not known.fits and known.retry_at is None and part.size
        if fallback is DENY or (fallback is LOCAL and (known is None or above_share)):
            lines.append(Line(False, None, 0, NOW + 5))
            found.append(DENY)
            continue
        if fallback is LOCAL:
            retry_at = min(known.retry_at, NOW + 5) if shared and known.retry_at is not None else known.retry_at
            lines.append(known._replace(used=None, retry_at=retry_at))
        else:
            lines.append(Line(True, None))
        found.append(fallback)
    refused = [
        part for part, each in zip(order.parts, lines, strict=True)
        if not each.fits and part.limit.mode is Mode.ENFORCE
    ]  # fmt: skip
    status = Status.REFUSED if refused else Status.ADMITTED
    if refused:
        lines = [each._replace(taken=0) for each in lines]
        found = [ALLOW if each is JOURNAL else each for each in found]

    assert Outcome(status, NOW, tuple(lines), fallbacks=tuple(found)) == fallback_outcome(
        order, fallbacks, outcome, NOW, NOW + 5, shared=shared
    )


def test_an_outcome_without_shares_waits_for_the_process_alone():
    local = Outcome(Status.REFUSED, NOW, (Line(False, 9, 0, NOW + 9),))

    outcome = fallback_outcome(Charge("acme", (RATE,)), (LOCAL,), local, NOW, NOW + 5)

    assert NOW + 9 == outcome.lines[0].retry_at


MIXED = Charge("acme", (RATE, PARTS[-1]), scope="a", operation="o:1", version=3)


def test_what_is_journalled_counts_later_without_a_bound_and_can_be_refunded():
    outcome = Outcome(Status.ADMITTED, NOW, (Line(True, None, taken=2), Line(True, None)), fallbacks=(LOCAL, JOURNAL))

    later = to_journal(MIXED, outcome)

    assert (NOW, None, "o:1") == (later.made_at, later.version, later.operation)
    assert [UNLIMITED, UNLIMITED] == [part.size for part in later.parts]
    assert [2, 2] == [line.taken for line in mark_journalled(MIXED, outcome).lines]
    assert [0, 2] == [
        line.taken for line in mark_journalled(MIXED, outcome._replace(lines=(Line(True, None),) * 2)).lines
    ]
    assert (LOCAL, ALLOW) == without_journal(outcome).fallbacks
    assert to_journal(MIXED, outcome._replace(status=Status.REFUSED)) is None
    assert to_journal(replace(MIXED, verb=Verb.PEEK), outcome) is None
    assert to_journal(replace(MIXED, parts=(RATE,)), outcome) is None


def test_an_undo_repeats_a_charge_and_refunds_it_or_cancels_a_reservation():
    slow = replace(MIXED.parts[1].limit, deadline=RATE.limit.deadline + 7)
    order = replace(MIXED, parts=(RATE, MIXED.parts[1]._replace(limit=slow)))
    again, refund = undo_orders(order)

    assert (None, None, "o:1") == (again.made_at, again.version, again.operation)
    assert Refund("acme", "o:1", scope="a", deadline=slow.deadline) == refund
    assert (Settle("acme", "o:1", (), deadline=slow.deadline, scope="a"),) == undo_orders(
        replace(order, verb=Verb.RESERVE)
    )
    for kept in ({"operation": None}, {"keyed": True}, {"verb": Verb.ASSIGN}):
        assert () == undo_orders(replace(order, **kept))


@pytest.mark.parametrize(("used", "after"), [(3, 4), (4, 4), (5, 5), (9, 9)])
def test_a_meter_is_raised_to_what_was_counted_elsewhere_and_never_lowered(used, after):
    ledger, empty = Ledger(), Ledger()
    for raised, units in ((ledger, 4), (ledger, used), (empty, used)):
        raise_meter(raised, RATE, units, NOW)

    lines = [each.rates[RATE.limit.meter_name].peek(10, 1, NOW) for each in (ledger, empty)]
    assert [after, used] == [line.used for line in lines]


def test_a_meter_that_nothing_was_counted_for_stays_empty():
    ledger = Ledger()
    raise_meter(ledger, RATE, 0, NOW)

    assert ledger.rates[RATE.limit.meter_name].idle_at() <= 0
