"""Drift: every kind of difference between counters and ledger is found, and nothing is written."""

from __future__ import annotations

import json

import pytest
from ledgers import counters, enforcer, ledger_in
from sqlalchemy import delete, insert, text, update
from trade import DAY, START

from entitlements import UnknownAccount
from entitlements.ledger.tables import ENTRIES
from entitlements.model.charge import Charge, Part, Refund, Release, SetUsage, Unassign, Verb
from entitlements.model.limits import UNLIMITED, Allocation, Quota
from entitlements.rules.counted_meters import QuotaMeter, QuotaPeriod
from entitlements.stores import MemoryStore
from entitlements.testing import FakeClock

# Each kind is planted on the record of the account in the store, by an order that no ledger hears of, or in the ledger.


def record(app):
    return app._store._counts["acme"]


def quota(app):
    return record(app).quotas["leads"]


def order(app, made):
    app._store.execute(made)


def ends(app):
    period = quota(app).periods[0]
    return (period.start, period.start, period.end, period.end + 1)


def in_ledger(statement):
    return lambda _, ledger: _execute(ledger, statement)


def _execute(ledger, statement):
    with ledger._engine.begin() as connection:
        connection.execute(statement)


def entry(**values):
    row = {
        "account": "acme", "entry": "s:planted:1", "kind": "charge", "limit_name": "agents",
        "limit_kind": "allocation", "units": 1, "at": 1_773_144_000_000_000, "writer": "w",
    }  # fmt: skip
    return insert(ENTRIES).values(**row | values)


def of(kind, limit="leads"):
    return (ENTRIES.c.account == "acme", ENTRIES.c.kind == kind, ENTRIES.c.limit_name == limit)


PLANTED = {
    "a quota counts too much": lambda app, _: setattr(quota(app).periods[0], "used", 50),
    "a quota counts too little": lambda app, _: setattr(quota(app).periods[0], "used", 8),
    "a quota's counter is gone": lambda app, _: record(app).quotas.pop("leads"),
    "a past period counts too much": lambda app, _: setattr(quota(app).periods[1], "used", 50),
    "a past period counts too little": lambda app, _: setattr(quota(app).periods[1], "used", 1),
    "a past period is gone": lambda app, _: quota(app).periods.pop(),
    "a period is there that never was": lambda app, _: quota(app).periods.append(
        QuotaPeriod(1_764_547_200_000_000, 1_767_225_600_000_000, 60, 4)
    ),
    "a period has another start": lambda app, _: setattr(quota(app).periods[0], "start", quota(app).periods[0].start - 1),
    "the account's record is gone": lambda app, _: app._store._counts.pop("acme"),
    "a reservation is gone": lambda app, _: setattr(quota(app).periods[0], "reserved", 0),
    "a reservation is there without an entry": lambda app, _: setattr(quota(app).periods[0], "reserved", 8),
    "an allocation holds too much": lambda app, _: setattr(record(app).allocations["agents"], "anonymous", 9),
    "an allocation holds too little": lambda app, _: setattr(record(app).allocations["agents"], "anonymous", 0),
    "an allocation's counter is gone": lambda app, _: record(app).allocations.pop("agents"),
    "a holder is there without an entry": lambda app, _: record(app).allocations["agents"].holders.add("ghost"),
    "a holder is gone": lambda app, _: record(app).allocations["agents"].holders.discard("ann"),
    "a holder has another's unit": lambda app, _: (
        record(app).allocations["agents"].holders.symmetric_difference_update({"ann", "ghost"})
    ),
    "a charge that no hook heard of": lambda app, _: order(
        app, Charge("acme", (Part(Quota("leads"), UNLIMITED, 1, ends(app)),), operation="o:1")
    ),
    "a total that no hook heard of": lambda app, _: order(
        app, SetUsage("acme", Part(Quota("leads"), 60, 33, ends(app)))
    ),
    "a release that no hook heard of": lambda app, _: order(app, Release("acme", "agents", 1)),
    "an unassignment that no hook heard of": lambda app, _: order(app, Unassign("acme", "agents", "ann")),
    "an assignment that no hook heard of": lambda app, _: order(
        app, Charge("acme", (Part(Allocation("agents"), 9),), Verb.ASSIGN, operation="o:2", holder="eve")
    ),
    "a counter of a limit that the ledger does not know": lambda app, _: record(app).quotas.__setitem__(
        "trials", QuotaMeter([QuotaPeriod(quota(app).periods[0].start, quota(app).periods[0].end, 5, 3)])
    ),
    "an entry was deleted": in_ledger(delete(ENTRIES).where(*of("charge"))),
    "an entry was changed": in_ledger(update(ENTRIES).where(*of("charge")).values(units=99)),
    "an entry was added": in_ledger(entry()),
    "the database has another number of seats": lambda *_: None,
}  # fmt: skip

STAY = {"a quota's counter is gone", "a reservation is gone", "a past period is gone", "a period has another start"}
"""Drifts that no order of a store sets right, and that a rebuild lists; the loss of a whole record is none of them."""


@pytest.fixture
def app_and_ledger():
    """An account with two periods, a reservation, seats and a holder; its ledger agrees."""
    clock = FakeClock(START)
    ledger, store = ledger_in("sqlite://", clock=clock), MemoryStore(clock)
    with ledger, enforcer(ledger, store, clock=clock) as app:
        app.consume("acme", "leads", 5)
        clock.advance(31 * DAY)
        app.consume("acme", "leads", 20)
        app.reserve("acme", "leads", 4, ttl=10_000)
        app.consume("acme", "agents", 3)
        app.assign("acme", "agents", "ann")
        clock.advance(DAY / 100)
        yield app, ledger, store


@pytest.mark.parametrize("kind", PLANTED)
def test_every_planted_drift_is_found_and_nothing_is_written(app_and_ledger, kind):
    app, ledger, store = app_and_ledger
    limits = {"trials": "quota"}
    ledger.flush()
    assert () == ledger.drift(store=store, settle=0, limits=limits)
    counts = {"agents": lambda _: 5} if kind.startswith("the database") else None
    PLANTED[kind](app, ledger)
    before = dump(ledger), content(store)

    found = ledger.drift(store=store, settle=0, counts=counts, limits=limits)

    assert found
    assert {"acme"} == {drift.account for drift in found}
    assert all(str(drift) and json.dumps(drift.to_dict()) for drift in found)
    assert before == (dump(ledger), content(store))


def dump(ledger):
    """Return every row of every table of the ledger."""
    with ledger._engine.connect() as connection:
        names = connection.execute(text("select name from sqlite_master where type = 'table'")).scalars().all()
        return {name: connection.execute(text(f"select * from {name}")).all() for name in names}  # noqa: S608


def content(store):
    return repr(sorted(store._counts.items()))


def test_drift_says_what_differs_by_how_much(app_and_ledger):
    app, ledger, store = app_and_ledger
    quota(app).periods[0].used = 21

    (found,) = ledger.drift("acme", store=store, settle=0)

    assert ("acme", "leads", "used", 21, 24) == (found.account, found.limit, found.what, found.store, found.ledger)
    assert "acme: leads in the period of 2026-04-01T00:00:00+00:00: 21 used in the store, 24 by the ledger" == str(
        found
    )


def test_counts_of_the_application_are_compared_with_both(app_and_ledger):
    _, ledger, store = app_and_ledger
    asked = []

    def count(account):
        asked.append(account)
        return 4

    assert () == ledger.drift(store=store, counts={"agents": count}, settle=0)
    assert ["acme"] == asked

    (found,) = ledger.drift(store=store, counts={"agents": lambda _: 5}, settle=0)
    assert ("count", 4, 4, 5) == (found.what, found.store, found.ledger, found.counted)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"counts": {"agent": lambda _: 1}}, ValueError, "of that name; did you mean 'agents'\\?; if it has never been"),
        ({"counts": {"rooms": lambda _: 1}}, ValueError, r"limits={'rooms': 'allocation'}"),
        ({"counts": {"agents": 4}}, TypeError, "count of 'agents' is 4, which cannot be called; pass a function"),
        ({"counts": {"agents": lambda _: "4"}}, ValueError, "count of 'agents' returned '4' for account 'acme'"),
        ({"limits": {"rooms": "rate"}}, ValueError, "limit 'rooms' is of the kind 'rate'; write one of quota, alloc"),
        ({"settle": -1}, ValueError, "settle -1 must be above 0"),
        ({"settle": "3"}, ValueError, "settle '3' must be seconds"),
        ({"account": "nobody"}, UnknownAccount, "account 'nobody' has no entry in the ledger"),
        ({"accounts": [""]}, ValueError, "account"),
    ],
)  # fmt: skip
def test_bad_arguments_of_a_comparison_are_named_with_the_cure(app_and_ledger, arguments, error, message):
    _, ledger, store = app_and_ledger

    with pytest.raises(error, match=message):
        ledger.drift(**{"store": store, "settle": 0} | arguments)


def test_a_limit_that_was_never_charged_is_compared_if_its_kind_is_named(app_and_ledger):
    _, ledger, store = app_and_ledger

    (found,) = ledger.drift(store=store, settle=0, counts={"rooms": lambda _: 2}, limits={"rooms": "allocation"})

    assert ("rooms", "count", 0, 0, 2) == (found.limit, found.what, found.store, found.ledger, found.counted)


def test_accounts_that_the_ledger_does_not_know_are_compared_if_they_are_named(app_and_ledger):
    app, ledger, store = app_and_ledger
    order(app, Charge("globex", (Part(Quota("leads"), 60, 2, ends(app)),), operation="o:3"))

    assert () == ledger.drift(store=store, settle=0)
    (found,) = ledger.drift(store=store, settle=0, accounts=["globex", "acme"])

    assert ("globex", 2, 0) == (found.account, found.store, found.ledger)
    assert (found,) == ledger.drift("globex", store=store, settle=0, accounts=["globex"])


@pytest.mark.parametrize(
    "kind", [kind for kind in PLANTED if not kind.startswith(("the database", "a reservation is there"))]
)
def test_a_rebuild_sets_every_planted_drift_right(app_and_ledger, kind):
    app, ledger, store = app_and_ledger
    ledger.flush()
    PLANTED[kind](app, ledger)
    limits = {"trials": "quota"}

    left = ledger.rebuild(None, store, settle=0, limits=limits).left

    named = {(drift.limit, drift.what) for drift in left}
    assert {(drift.limit, drift.what) for drift in ledger.drift(store=store, settle=0, limits=limits)} <= named
    assert not left or kind in STAY


def test_refunds_without_an_order_are_found(app_and_ledger):
    app, ledger, store = app_and_ledger
    decision = app.consume("acme", "leads", 3)
    ledger.flush()
    from entitlements.rules.decisions import refund_of

    made = refund_of(decision, rates=False)
    assert isinstance(made, Refund)
    order(app, made)

    (found,) = ledger.drift(store=store, settle=0)

    assert -3 == found.store - found.ledger
    assert counters(app, ["acme"])
