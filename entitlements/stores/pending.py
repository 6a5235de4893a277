"""A call that waits for a networked store's answer on an event loop, and who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from entitlements.errors import StoreError
    from entitlements.model.answers import Answer
    from entitlements.stores.redis.encoding import Request
    from entitlements.stores.resilience.circuit_breaker import Ticket


class Asked(NamedTuple):
    """
    A call that waits for its answer.

    Args:
        answer: Where the answer goes; done before where somebody has given up.
        since: When it was asked, in monotonic seconds.
        patience: Seconds that it may wait while nobody is answered.
        request: What was asked.
        asker: Makes the answer of the reply.
        order: What the asker itself was asked, and its leave to ask the store; None where it asks on its own account.
        ticket: Likewise.
    """

    answer: asyncio.Future[Any]
    since: float
    patience: float
    request: Request
    asker: Asker
    order: Any = None
    ticket: Any = None


class Asker(Protocol):
    """Who asks over a connection."""

    def heard(self, asked: Asked, reply: Any, now: int, /) -> Any:
        """
        Return the answer that a reply is.

        Args:
            asked: The call.
            reply: As it came, and no error of the server's.
            now: When it came, in monotonic microseconds.

        Raises:
            StoreError: For a reply that is none.
        """

    def failed(self, asked: Asked, error: StoreError, /) -> Exception:
        """Return what whoever waits for the answer is to be raised."""


class _AsIs:
    """Asks for itself, and takes replies and errors as they are."""

    @staticmethod
    def heard(_: Asked, reply: Any, __: int) -> Any:
        return reply

    @staticmethod
    def failed(_: Asked, error: StoreError) -> Exception:
        return error


AS_IS = _AsIs()


def fail(waiting: Iterable[Asked], told: StoreError, cause: BaseException | None = None) -> None:
    """Raise an error of each who waits: one of its own, as each raise adds to an error's traceback."""
    for asked in waiting:
        if not asked.answer.done():
            error = type(told)(*told.args)
            error.__cause__ = cause
            asked.answer.set_exception(asked.asker.failed(asked, error))


async def known(answer: Answer) -> Answer:
    """Bring an answer that need not be waited for to whoever awaits one."""
    return answer


class Failed(Exception):
    """
    A store has failed an order that was asked at ease, and whoever asked goes on without it.

    Args:
        error: What it has failed with.
        ticket: The leave to ask.
        began: When it was asked, in monotonic microseconds.
    """

    def __init__(self, error: StoreError, ticket: Ticket, began: int) -> None:
        super().__init__(error, ticket, began)
        self.error, self.ticket, self.began = error, ticket, began
