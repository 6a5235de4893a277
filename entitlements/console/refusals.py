"""A hook that keeps the last refusals of this process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from entitlements.clock import system_clock
from entitlements.model.events import Decided
from entitlements.model.names import check_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.decision import Decision
    from entitlements.model.events import Event


class RefusedDecision(NamedTuple):
    """
    A refused decision.

    Args:
        at: Its instant, in microseconds since 1970.
        verb: can, decide, consume, peek, reserve or assign.
        decision: The decision.
    """

    at: int
    verb: str
    decision: Decision


class RecentRefusals:
    """
    A hook that keeps the last refusals of the enforcers of this process, newest first.

    Args:
        size: Most refusals that are kept.
        clock: Returns the time in microseconds since 1970.

    Raises:
        ValueError: For an invalid size.
    """

    def __init__(self, size: int = 500, *, clock: Callable[[], int] = system_clock) -> None:
        self._kept: deque[RefusedDecision] = deque(maxlen=check_count(size, "size"))
        self._clock = clock

    def __call__(self, event: Event, /) -> None:
        """Keep the decision of an event, if it refuses."""
        if isinstance(event, Decided) and not event.decision.allowed:
            self._kept.appendleft(RefusedDecision(self._clock(), event.verb, event.decision))

    def __len__(self) -> int:
        """Return the number of refusals that are kept."""
        return len(self._kept)

    def recent(self) -> list[RefusedDecision]:
        """Return the refusals, newest first."""
        return list(self._kept)
