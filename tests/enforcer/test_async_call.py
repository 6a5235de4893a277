"""A forgotten `await`: what an async verb returns has no truth value."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from trade import policy

from entitlements import AsyncEnforcer
from entitlements.async_call import AsyncCall
from entitlements.handles import AsyncBoundAccount
from entitlements.reservations import AsyncReservation

CALLS = [
    lambda e: e.can("pro", "sso"),
    lambda e: e.decide("pro", "sso"),
    lambda e: e.consume("pro", "leads"),
    lambda e: e.peek("pro", "leads"),
    lambda e: e.assign("pro", "agents", "ada"),
    lambda e: e.unassign("pro", "agents", "ada"),
    lambda e: e.release("pro", "agents"),
    lambda e: e.reserve("pro", "leads"),
    lambda e: e.reservation("pro", "o:1").commit(),
]


@pytest.fixture
def enforcer():
    return AsyncEnforcer(policy(), accounts={"pro": "pro"})


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("ask", [bool, lambda made: not made, lambda made: made and True])
async def test_what_is_not_awaited_has_no_truth_value(enforcer, call, ask):
    with pytest.raises(TypeError, match=r"not awaited, so it has no truth value; write `await` before"):
        ask(call(enforcer))

    assert 0 == (await enforcer.usage("pro"))["leads"].used


@pytest.mark.parametrize(
    "compare",
    [
        lambda made: made == "none",
        lambda made: made != "none",
        lambda made: "none" == made,
        lambda made: made in ("none", "basic"),
        lambda made: made == None,  # noqa: E711 - compared, not asked for its identity
        lambda made: made < 3,
        lambda made: "none" in made,
    ],
)
async def test_what_is_not_awaited_cannot_be_compared(enforcer, compare):
    made = enforcer.value("pro", "chat")

    with pytest.raises(TypeError):
        compare(made)
    made.close()


async def test_a_comparison_names_the_cure(enforcer):
    with pytest.raises(
        TypeError, match=r"value\(\) was not awaited, so it cannot be compared with 'none'; write `await`"
    ):
        enforcer.value("pro", "chat") == "none"  # noqa: B015


async def test_calls_are_told_apart_in_containers_as_coroutines_are(enforcer):
    one, other = enforcer.can("pro", "sso"), enforcer.can("pro", "chat")

    assert one != other
    assert {one: 1, other: 2}[other] == 2
    assert [other, one].index(one) == 1
    assert [False, True] == await asyncio.gather(one, other)


@pytest.mark.parametrize(
    ("use", "error", "says"),
    [
        (
            lambda made: made.allowed,
            AttributeError,
            r"consume\(\) was not awaited, so it has no 'allowed'; write `await`",
        ),
        (
            lambda made: made["leads"],
            TypeError,
            r"consume\(\) was not awaited, so it has no item 'leads'; write `await`",
        ),
    ],
)
async def test_what_is_not_awaited_has_no_attributes_and_no_items(enforcer, use, error, says):
    made = enforcer.consume("pro", "leads")
    with pytest.raises(error, match=says):
        use(made)

    assert not hasattr(made, "__setstate__")
    assert 1 == (await made).used


async def test_the_verbs_of_a_handle_have_none_either(enforcer):
    handle = await enforcer.account("pro")
    decision = await handle.consume("leads")

    for make in (lambda: handle.consume("leads"), lambda: handle.refund(decision), handle.refresh):
        with pytest.raises(TypeError, match="write `await`"):
            assert make()
    with pytest.raises(TypeError, match=r"AsyncEnforcer\.consume\(\) was not awaited"):
        assert handle.consume("leads")


@pytest.mark.parametrize("owner", [AsyncEnforcer, AsyncReservation, AsyncBoundAccount])
async def test_every_async_verb_is_such_a_call(owner):
    plain = [
        name
        for name, each in vars(owner).items()
        if not name.startswith("_")
        and inspect.iscoroutinefunction(inspect.unwrap(each))
        and not hasattr(each, "__wrapped__")
    ]

    assert [] == plain


async def test_a_call_is_a_coroutine_to_asyncio(enforcer):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(enforcer.consume("pro", "leads"))
    gathered = await asyncio.gather(enforcer.consume("pro", "leads"), asyncio.shield(enforcer.can("pro", "chat")))
    waited = await asyncio.wait_for(enforcer.consume("pro", "leads"), 60)

    assert [1, 2, True, 3] == [task.result().used, gathered[0].used, gathered[1], waited.used]
    assert isinstance(call := enforcer.can("pro", "chat"), AsyncCall)
    assert "AsyncEnforcer.can" in repr(call)
    assert await call


def test_a_call_can_be_run(enforcer):
    assert asyncio.run(enforcer.can("pro", "chat"))


async def test_a_call_passes_exceptions_in(enforcer):
    call = enforcer.can("pro", "chat")
    with pytest.raises(KeyError, match="pro"):
        call.throw(KeyError("pro"))
    again = enforcer.can("pro", "chat")
    with pytest.raises(KeyError, match="pro"):
        again.throw(KeyError, KeyError("pro"), None)
    enforcer.can("pro", "chat").close()


async def test_a_reservation_that_was_made_says_if_it_was_granted(enforcer):
    granted, refused = await enforcer.reserve("pro", "leads", 10), await enforcer.reserve("pro", "leads", 10)

    assert (True, False) == (bool(granted), bool(refused))
