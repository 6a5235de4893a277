"""A hook that notes which features accounts ask for and are denied: opt-in, and in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.clock import check_clock, system_clock
from entitlements.model.account import Account
from entitlements.model.events import Decided
from entitlements.model.facts import Reason
from entitlements.model.instants import to_datetime
from entitlements.tiering.triggers import FeatureRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.events import Event
    from entitlements.ports import Clock

_DENIED = frozenset({Reason.NOT_INCLUDED, Reason.LEVEL_TOO_LOW})


class FeatureRequests:
    """
    Keeps what was denied for want of a higher tier, per account, for reviews.

    Pass it as `hooks=[requests]`; every `can`, `decide` and charge that is refused as not
    included then counts as a request. It holds what this process saw: *on_request* is
    where to write it down for others.

    Args:
        clock: Tells the time in microseconds since 1970; the system's by default.
        max_accounts: Most accounts remembered; who asked longest ago makes room.
        on_request: Called with the account's id and the request as it now stands.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        max_accounts: int = 10_000,
        on_request: Callable[[str, FeatureRequest], object] | None = None,
    ) -> None:
        self._clock = check_clock(clock or system_clock)
        self._max_accounts = max_accounts
        self._on_request = on_request
        self._noted: OrderedDict[str, dict[str, FeatureRequest]] = OrderedDict()
        self._lock = threading.Lock()
        renew_after_fork(self)

    def renew(self) -> None:
        """Take a fresh lock, in a forked child."""
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Note a decision that was refused because the tier has less."""
        if not isinstance(event, Decided) or event.decision.allowed or event.decision.reason not in _DENIED:
            return
        decision = event.decision
        noted = self._note(decision.account, decision.feature)
        if self._on_request is not None:
            self._on_request(decision.account, noted)

    def of(self, account: str | Account) -> tuple[FeatureRequest, ...]:
        """Return the account's requests, the most frequent first."""
        id = account.id if isinstance(account, Account) else account
        with self._lock:
            noted = tuple(self._noted.get(id, {}).values())
        return tuple(sorted(noted, key=lambda request: (-request.times, request.feature)))

    def forget(self, account: str) -> None:
        """Drop what is noted of the account."""
        with self._lock:
            self._noted.pop(account, None)

    def _note(self, account: str, feature: str) -> FeatureRequest:
        now = to_datetime(self._clock())
        with self._lock:
            requests = self._noted.setdefault(account, {})
            self._noted.move_to_end(account)
            while len(self._noted) > self._max_accounts:
                self._noted.popitem(last=False)
            before = requests.get(feature)
            after = (
                replace(before, times=before.times + 1, last=now)
                if before
                else FeatureRequest(feature, first=now, last=now)
            )
            requests[feature] = after
        return after
