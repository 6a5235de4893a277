"""Questions: decisions in progress, as generators that yield charges, and what carries them out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.account import Account
    from entitlements.model.decision import Decision

T = TypeVar("T")


class ChargeCall(NamedTuple):
    """The arguments of `consume` for the charge of a request or a message."""

    account: str | Account
    what: str | Mapping[str, int]
    n: int
    scope: str | None
    key: str | None = None


Question = Generator[ChargeCall, "Decision", T]
"""A decision in progress: yields charges, takes their decisions."""


def run_sync(question: Question[T], consume: Callable[[ChargeCall], Decision]) -> T:
    """Carry out a question with a blocking *consume*."""
    try:
        call = next(question)
        while True:
            try:
                decision = consume(call)
            except Exception as error:  # noqa: BLE001 - the question says what an error means
                call = question.throw(error)
            else:
                call = question.send(decision)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def run_async(question: Question[T], consume: Callable[[ChargeCall], Awaitable[Decision]]) -> T:
    """Carry out a question with an async *consume*."""
    try:
        call = next(question)
        while True:
            try:
                decision = await consume(call)
            except Exception as error:  # noqa: BLE001 - as above
                call = question.throw(error)
            else:
                call = question.send(decision)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
