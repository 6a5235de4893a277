"""Handles of accounts for the names of one policy."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from datetime import timedelta

    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import NotIncluded
    from entitlements.model.tier import Value
    from entitlements.model.usage import Period, Usage
    from entitlements.reservations import AsyncReservation, Reservation

F_contra = TypeVar("F_contra", bound=str, contravariant=True)
"""Names that `can` and `decide` know: features, `feature:level`, limits."""
L_contra = TypeVar("L_contra", bound=str, contravariant=True)
"""Names of limits."""
V_contra = TypeVar("V_contra", bound=str, contravariant=True)
"""Keys of values, inner nodes, and features with levels."""
T = TypeVar("T")
D = TypeVar("D")


class TypedBoundAccount(Protocol[F_contra, L_contra, V_contra]):
    """The verbs of a `BoundAccount` that take a name, for the names of one policy; `Enforcer` documents them."""

    @property
    def id(self) -> str:
        """The account's id."""
        ...

    def can(self, feature: F_contra) -> bool:
        """See `Enforcer.can`."""
        ...

    def decide(self, feature: F_contra) -> Decision:
        """See `Enforcer.decide`."""
        ...

    @overload
    def value(self, key: V_contra) -> Value | NotIncluded: ...
    @overload
    def value(self, key: V_contra, kind: type[T]) -> T | None: ...
    @overload
    def value(self, key: V_contra, kind: type[T], *, default: D) -> T | D: ...

    def entitlements(self) -> Entitlements:
        """See `Enforcer.entitlements`."""
        ...

    def consume(
        self,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        key: str | None = None,
        scope: str | None = None,
    ) -> Decision:
        """See `Enforcer.consume`."""
        ...

    def peek(self, what: L_contra | Mapping[L_contra, int], n: int = 1, *, scope: str | None = None) -> Decision:
        """See `Enforcer.peek`."""
        ...

    def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """See `Enforcer.refund`."""
        ...

    def reserve(
        self,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        ttl: float | timedelta = 60,
        key: str | None = None,
        scope: str | None = None,
    ) -> Reservation:
        """See `Enforcer.reserve`."""
        ...

    def assign(self, limit: L_contra, holder: str, *, scope: str | None = None) -> Decision:
        """See `Enforcer.assign`."""
        ...

    def unassign(self, limit: L_contra, holder: str, *, scope: str | None = None) -> bool:
        """See `Enforcer.unassign`."""
        ...

    def release(self, limit: L_contra, amount: int = 1, *, scope: str | None = None) -> int:
        """See `Enforcer.release`."""
        ...

    def holders(self, limit: L_contra, *, scope: str | None = None) -> tuple[str, ...]:
        """See `Enforcer.holders`."""
        ...

    def set_usage(self, limit: L_contra, total: int, *, scope: str | None = None) -> Usage:
        """See `Enforcer.set_usage`."""
        ...

    def reset(self, limit: L_contra, *, scope: str | None = None) -> None:
        """See `Enforcer.reset`."""
        ...

    def usage(self, *, scope: str | None = None) -> dict[str, Usage]:
        """See `Enforcer.usage`."""
        ...

    def history(self, limit: L_contra, *, refusals: bool = False, scope: str | None = None) -> tuple[Period, ...]:
        """See `Enforcer.history`."""
        ...

    def scopes(self, limit: L_contra | None = None, *, after: str | None = None, size: int = 250) -> tuple[str, ...]:
        """See `Enforcer.scopes`."""
        ...


class TypedAsyncBoundAccount(Protocol[F_contra, L_contra, V_contra]):
    """The verbs of an `AsyncBoundAccount` that take a name, for the names of one policy; `Enforcer` documents them."""

    @property
    def id(self) -> str:
        """The account's id."""
        ...

    def can(self, feature: F_contra) -> bool:
        """See `Enforcer.can`."""
        ...

    def decide(self, feature: F_contra) -> Decision:
        """See `Enforcer.decide`."""
        ...

    @overload
    def value(self, key: V_contra) -> Value | NotIncluded: ...
    @overload
    def value(self, key: V_contra, kind: type[T]) -> T | None: ...
    @overload
    def value(self, key: V_contra, kind: type[T], *, default: D) -> T | D: ...

    def entitlements(self) -> Entitlements:
        """See `Enforcer.entitlements`."""
        ...

    def consume(
        self,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        key: str | None = None,
        scope: str | None = None,
    ) -> Coroutine[Any, Any, Decision]:
        """See `Enforcer.consume`."""
        ...

    def peek(
        self, what: L_contra | Mapping[L_contra, int], n: int = 1, *, scope: str | None = None
    ) -> Coroutine[Any, Any, Decision]:
        """See `Enforcer.peek`."""
        ...

    def refund(self, decision: Decision, *, rates: bool = False) -> Coroutine[Any, Any, bool]:
        """See `Enforcer.refund`."""
        ...

    def reserve(
        self,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        ttl: float | timedelta = 60,
        key: str | None = None,
        scope: str | None = None,
    ) -> AsyncReservation:
        """See `Enforcer.reserve`."""
        ...

    def assign(self, limit: L_contra, holder: str, *, scope: str | None = None) -> Coroutine[Any, Any, Decision]:
        """See `Enforcer.assign`."""
        ...

    def unassign(self, limit: L_contra, holder: str, *, scope: str | None = None) -> Coroutine[Any, Any, bool]:
        """See `Enforcer.unassign`."""
        ...

    def release(self, limit: L_contra, amount: int = 1, *, scope: str | None = None) -> Coroutine[Any, Any, int]:
        """See `Enforcer.release`."""
        ...

    def holders(self, limit: L_contra, *, scope: str | None = None) -> Coroutine[Any, Any, tuple[str, ...]]:
        """See `Enforcer.holders`."""
        ...

    def set_usage(self, limit: L_contra, total: int, *, scope: str | None = None) -> Coroutine[Any, Any, Usage]:
        """See `Enforcer.set_usage`."""
        ...

    def reset(self, limit: L_contra, *, scope: str | None = None) -> Coroutine[Any, Any, None]:
        """See `Enforcer.reset`."""
        ...

    def usage(self, *, scope: str | None = None) -> Coroutine[Any, Any, dict[str, Usage]]:
        """See `Enforcer.usage`."""
        ...

    def history(
        self, limit: L_contra, *, refusals: bool = False, scope: str | None = None
    ) -> Coroutine[Any, Any, tuple[Period, ...]]:
        """See `Enforcer.history`."""
        ...

    def scopes(
        self, limit: L_contra | None = None, *, after: str | None = None, size: int = 250
    ) -> Coroutine[Any, Any, tuple[str, ...]]:
        """See `Enforcer.scopes`."""
        ...
