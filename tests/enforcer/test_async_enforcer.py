"""`AsyncEnforcer`: the same verbs awaited, one core, one set of counters."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from trade import ACCOUNTS, DAY, START, enforcer, fields, policy

from entitlements import Account, AsyncEnforcer, Denied, Enforcer, MemoryStore, NotLoaded, Reason, Trial, can, use
from entitlements.testing import FakeClock, RecordingHook


def make(accounts=None, **named):
    clock = FakeClock(START)
    return AsyncEnforcer(policy(), accounts=dict(accounts or ACCOUNTS), clock=clock, **named), clock


async def test_every_verb_answers_as_the_sync_one_does():
    """The two shells give equal decisions, usages and histories for the same story."""
    sync, _ = enforcer()
    ent, _ = make()

    calls = [
        ("can", ("petra", "chat"), {}),
        ("value", ("petra", "support"), {}),
        ("peek", ("petra", "leads", 4), {}),
        ("consume", ("petra", {"api": 3, "leads": 4}), {"key": "k"}),
        ("consume", ("petra", {"api": 3, "leads": 4}), {"key": "k"}),
        ("consume", ("petra", "leads", 11), {}),
        ("consume", ("petra", "per-ip"), {"scope": "10.0.0.1"}),
        ("decide", ("petra", "reports:full"), {}),
        ("assign", ("petra", "agents", "u1"), {}),
        ("holders", ("petra", "agents"), {}),
        ("unassign", ("petra", "agents", "u1"), {}),
        ("consume", ("petra", "agents", 2), {}),
        ("release", ("petra", "agents", 1), {}),
        ("set_usage", ("petra", "leads", 9), {}),
        ("usage", ("petra",), {"scope": "10.0.0.1"}),
        ("history", ("petra", "leads"), {}),
        ("forget", ("petra",), {}),
        ("usage", ("petra",), {}),
    ]
    for verb, args, named in calls:
        there, here = getattr(sync, verb)(*args, **named), await getattr(ent, verb)(*args, **named)
        assert _plain(there) == _plain(here), verb


def _plain(answer):
    return answer.to_dict() if hasattr(answer, "to_dict") else answer


async def test_a_reservation_is_awaited_or_entered():
    """The same object grants when awaited, commits when its block ends, cancels on an exception."""
    ent, _ = make()

    async with ent.reserve("petra", "leads", 3) as reservation:
        assert reservation.decision.allowed
    with pytest.raises(ZeroDivisionError):
        async with ent.reserve("petra", "leads", 5):
            _ = 1 / 0
    awaited = await ent.reserve("petra", "leads", 4, ttl=60)
    assert (True, START + timedelta(seconds=60)) == (bool(awaited), awaited.expires_at)
    await awaited.commit(2)
    await awaited.commit(4)

    assert 5 == (await ent.usage("petra"))["leads"].used


async def test_a_refused_reservation_cannot_be_entered():
    """Entering a reservation that was not granted raises `Denied`; awaited, it is falsy."""
    ent, _ = make()

    with pytest.raises(Denied):
        async with ent.reserve("petra", "leads", 11):
            pass
    assert not await ent.reserve("petra", "leads", 11)


async def test_the_repr_of_a_reservation_is_its_state():
    ent, _ = make()
    reservation = ent.reserve("petra", "leads", 4, ttl=60)
    refused = await ent.reserve("petra", "leads", 11)

    assert ("<AsyncReservation not made>", "<AsyncReservation refused>") == (repr(reservation), repr(refused))
    await reservation
    assert f"<AsyncReservation {reservation.id!r} until {START + timedelta(seconds=60)}>" == repr(reservation)
    assert "<AsyncReservation 'o:1' until None>" == repr(ent.reservation("petra", "o:1"))


async def test_a_reservation_is_finished_elsewhere_by_its_id():
    """A handle by id commits what another task reserved."""
    ent, _ = make()
    reservation = await ent.reserve("petra", "leads", 4)

    await ent.reservation("petra", reservation.id).commit(3)

    assert (3, 0) == fields((await ent.usage("petra"))["leads"], "used", "reserved")


async def test_a_bound_account_answers_plain_calls():
    """A handle's `can`, `value`, `decide` and `entitlements` need no await; its other verbs do."""
    ent, clock = make({"petra": Account("petra", "pro", trial=Trial("max", START, START + DAY))})
    petra = await ent.account("petra")

    assert (True, "full", Reason.INCLUDED) == (petra.can("sso"), petra.value("reports"), petra.decide("sso").reason)
    assert (await petra.consume("leads")).allowed
    clock.advance(DAY)

    assert not petra.can("sso")


async def test_the_module_level_can_never_does_io_under_an_async_enforcer():
    """An account that no call has awaited raises `NotLoaded`; a loaded one is answered."""
    ent, clock = make()

    with use(ent):
        with pytest.raises(NotLoaded, match="await"):
            can("petra", "chat")
        await ent.account("petra")
        assert can("petra", "chat")
        clock.advance(timedelta(seconds=45))
        assert can("petra", "chat")
        clock.advance(timedelta(seconds=45))
        with pytest.raises(NotLoaded):
            can("petra", "chat")
        assert can(Account("x", "max"), "sso")


async def test_async_and_blocking_sources_both_serve():
    """An async source is awaited; a blocking one runs in a thread."""

    class Async:
        async def find(self, id):
            await asyncio.sleep(0)
            return Account(id, "pro") if id == "a" else None

    class Blocking:
        def find(self, id):
            return Account(id, "max") if id == "b" else None

    first = AsyncEnforcer(policy(), accounts=Async())
    second = AsyncEnforcer(policy(), accounts=Blocking())

    assert (True, False, True) == (
        await first.can("a", "chat"), await first.can("b", "chat"), await second.can("b", "sso"),
    )  # fmt: skip
    with pytest.raises(TypeError, match="async"):
        Enforcer(policy(), accounts=Async())


async def test_both_enforcers_share_one_store():
    """A `MemoryStore` handed to both shells holds one set of counters."""
    clock = FakeClock(START)
    store = MemoryStore(clock)
    sync = Enforcer(policy(), accounts=ACCOUNTS, clock=clock, store=store)
    ent = AsyncEnforcer(policy(), accounts=ACCOUNTS, clock=clock, store=store)

    sync.consume("petra", "leads", 4)

    assert 9 == (await ent.consume("petra", "leads", 5)).used


async def test_a_thousand_tasks_admit_exactly_the_limit():
    """Concurrent charges never oversell."""
    ent, _ = make()

    decisions = await asyncio.gather(*(ent.consume("petra", "leads") for _ in range(1000)))

    assert 10 == sum(decision.allowed for decision in decisions)


async def test_refresh_and_reload_are_awaited_like_every_verb():
    """After a refresh the directory is asked again; after a reload the new policy answers."""
    accounts = dict(ACCOUNTS)
    hook = RecordingHook()
    ent = AsyncEnforcer(policy(), accounts=accounts, hooks=(hook,), clock=FakeClock(START))
    assert not await ent.can("petra", "sso")
    accounts["petra"] = "max"
    await ent.refresh("petra")
    assert await ent.can("petra", "sso")

    await ent.reload(policy(policy={"version": "t2"}))

    assert "t2" == (await ent.decide("petra", "sso")).policy


async def test_it_closes_as_a_context_manager():
    """`async with AsyncEnforcer(...)` closes its store at the end."""
    async with AsyncEnforcer(policy(), accounts=ACCOUNTS) as ent:
        assert await ent.can("petra", "chat")


async def test_a_handle_sees_what_was_loaded_since():
    """A suspension shows in plain calls as soon as any awaited call, or a refresh, has seen it."""
    accounts = {"petra": Account("petra", "pro")}
    clock = FakeClock(START)
    ent = AsyncEnforcer(policy(), accounts=accounts, clock=clock)
    petra, other = await ent.account("petra"), await ent.account("petra")
    accounts["petra"] = Account("petra", "pro", status="suspended")

    clock.advance(timedelta(seconds=1))
    await petra.refresh()

    assert [False, False] == [petra.can("chat"), other.can("chat")]


async def test_a_reservation_whose_making_failed_is_not_granted():
    """After a timeout or an error it is falsy, and awaiting it again makes it; two tasks make it once."""

    class Slow:
        waits = 0.05

        async def find(self, id):
            await asyncio.sleep(self.waits)
            return Account(id, "pro")

    source = Slow()
    ent = AsyncEnforcer(policy(), accounts=source)
    reservation = ent.reserve("petra", "leads", 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reservation, 0.001)
    assert not reservation
    source.waits = 0

    await asyncio.gather(reservation, reservation)

    assert (True, 5) == (bool(reservation), (await ent.usage("petra"))["leads"].reserved)
