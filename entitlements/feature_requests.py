"""Denied-feature log: an opt-in, in-memory hook that counts refusals for want of a higher tier."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.clock import check_clock, system_clock
from entitlements.model.account import Account
from entitlements.model.events import Decided
from entitlements.model.instants import to_datetime
from entitlements.model.reasons import Reason
from entitlements.tiering.triggers import FeatureRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.events import Event
    from entitlements.ports import Clock

_DENIED = frozenset({Reason.NOT_INCLUDED, Reason.LEVEL_TOO_LOW})


class FeatureRequests:
    """
    Counts, per account, the features that were denied because the tier has less; for reviews.

    Pass it as `hooks=[requests]`. Every `can`, `decide` and charge that is refused as not
    included then counts as a request. Only the decisions of this process are seen; use
    *on_request* to store requests for other processes.

    Args:
        clock: Returns the time in microseconds since 1970; the system's by default.
        max_accounts: Most accounts remembered; the least recent requester is dropped.
        on_request: Called with the account's id and the updated request.
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
        self._requests: OrderedDict[str, dict[str, FeatureRequest]] = OrderedDict()
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the lock; called in a forked child too, where the old one may be held for ever."""
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Count a decision that was refused because the tier has less."""
        if not isinstance(event, Decided) or event.decision.allowed or event.decision.reason not in _DENIED:
            return
        decision = event.decision
        request = self._count(decision.account, decision.feature)
        if self._on_request is not None:
            self._on_request(decision.account, request)

    def of(self, account: str | Account) -> tuple[FeatureRequest, ...]:
        """Return the account's requests, the most frequent first."""
        id = account.id if isinstance(account, Account) else account
        with self._lock:
            requests = tuple(self._requests.get(id, {}).values())
        return tuple(sorted(requests, key=lambda request: (-request.times, request.feature)))

    def forget(self, account: str) -> None:
        """Drop the requests of the account."""
        with self._lock:
            self._requests.pop(account, None)

    def _count(self, account: str, feature: str) -> FeatureRequest:
        now = to_datetime(self._clock())
        with self._lock:
            requests = self._requests.setdefault(account, {})
            self._requests.move_to_end(account)
            while len(self._requests) > self._max_accounts:
                self._requests.popitem(last=False)
            earlier = requests.get(feature) or FeatureRequest(feature, first=now, last=now, times=0)
            request = requests[feature] = replace(earlier, times=earlier.times + 1, last=now)
        return request
