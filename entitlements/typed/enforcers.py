"""Enforcers for the names of one policy."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, overload

from entitlements.typed.accounts import (
    D,
    F_contra,
    L_contra,
    T,
    TypedAsyncBoundAccount,
    TypedBoundAccount,
    V_contra,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from entitlements.model.account import Account
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import NotIncluded
    from entitlements.model.tier import Value
    from entitlements.model.usage import Period, Usage
    from entitlements.reservations import AsyncReservation, Reservation


class TypedCan(Protocol[F_contra]):
    """The module-level `can` for the names of one policy."""

    def __call__(self, account: str | Account, feature: F_contra) -> bool:
        """Return whether the account has a feature, by the default enforcer of the process."""
        ...


class TypedEnforcer(Protocol[F_contra, L_contra, V_contra]):
    """The verbs of an `Enforcer` that take a name, for the names of one policy; `Enforcer` documents them."""

    def account(self, account: str | Account) -> TypedBoundAccount[F_contra, L_contra, V_contra]:
        """See `Enforcer.account`."""
        ...

    def can(self, account: str | Account, feature: F_contra) -> bool:
        """See `Enforcer.can`."""
        ...

    def decide(self, account: str | Account, feature: F_contra) -> Decision:
        """See `Enforcer.decide`."""
        ...

    @overload
    def value(self, account: str | Account, key: V_contra) -> Value | NotIncluded: ...
    @overload
    def value(self, account: str | Account, key: V_contra, kind: type[T]) -> T | None: ...
    @overload
    def value(self, account: str | Account, key: V_contra, kind: type[T], *, default: D) -> T | D: ...

    def entitlements(self, account: str | Account) -> Entitlements:
        """See `Enforcer.entitlements`."""
        ...

    def consume(
        self,
        account: str | Account,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        key: str | None = None,
        scope: str | None = None,
    ) -> Decision:
        """See `Enforcer.consume`."""
        ...

    def peek(
        self, account: str | Account, what: L_contra | Mapping[L_contra, int], n: int = 1, *, scope: str | None = None
    ) -> Decision:
        """See `Enforcer.peek`."""
        ...

    def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """See `Enforcer.refund`."""
        ...

    def reserve(
        self,
        account: str | Account,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        ttl: float | timedelta = 60,
        key: str | None = None,
        scope: str | None = None,
    ) -> Reservation:
        """See `Enforcer.reserve`."""
        ...

    def assign(self, account: str | Account, limit: L_contra, holder: str, *, scope: str | None = None) -> Decision:
        """See `Enforcer.assign`."""
        ...

    def unassign(self, account: str | Account, limit: L_contra, holder: str, *, scope: str | None = None) -> bool:
        """See `Enforcer.unassign`."""
        ...

    def release(self, account: str | Account, limit: L_contra, amount: int = 1, *, scope: str | None = None) -> int:
        """See `Enforcer.release`."""
        ...

    def holders(self, account: str | Account, limit: L_contra, *, scope: str | None = None) -> tuple[str, ...]:
        """See `Enforcer.holders`."""
        ...

    def set_usage(self, account: str | Account, limit: L_contra, total: int, *, scope: str | None = None) -> Usage:
        """See `Enforcer.set_usage`."""
        ...

    def reset(self, account: str | Account, limit: L_contra, *, scope: str | None = None) -> None:
        """See `Enforcer.reset`."""
        ...

    def usage(self, account: str | Account, *, scope: str | None = None) -> dict[str, Usage]:
        """See `Enforcer.usage`."""
        ...

    def history(
        self, account: str | Account, limit: L_contra, *, refusals: bool = False, scope: str | None = None
    ) -> tuple[Period, ...]:
        """See `Enforcer.history`."""
        ...

    def scopes(
        self, account: str | Account, limit: L_contra | None = None, *, after: str | None = None, size: int = 250
    ) -> tuple[str, ...]:
        """See `Enforcer.scopes`."""
        ...


class TypedAsyncEnforcer(Protocol[F_contra, L_contra, V_contra]):
    """The verbs of an `AsyncEnforcer` that take a name, for the names of one policy; `Enforcer` documents them."""

    def account(
        self, account: str | Account
    ) -> Coroutine[Any, Any, TypedAsyncBoundAccount[F_contra, L_contra, V_contra]]:
        """See `AsyncEnforcer.account`."""
        ...

    def can(self, account: str | Account, feature: F_contra) -> Coroutine[Any, Any, bool]:
        """See `Enforcer.can`."""
        ...

    def decide(self, account: str | Account, feature: F_contra) -> Coroutine[Any, Any, Decision]:
        """See `Enforcer.decide`."""
        ...

    @overload
    def value(self, account: str | Account, key: V_contra) -> Coroutine[Any, Any, Value | NotIncluded]: ...
    @overload
    def value(self, account: str | Account, key: V_contra, kind: type[T]) -> Coroutine[Any, Any, T | None]: ...
    @overload
    def value(
        self, account: str | Account, key: V_contra, kind: type[T], *, default: D
    ) -> Coroutine[Any, Any, T | D]: ...

    def entitlements(self, account: str | Account) -> Coroutine[Any, Any, Entitlements]:
        """See `Enforcer.entitlements`."""
        ...

    def consume(
        self,
        account: str | Account,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        key: str | None = None,
        scope: str | None = None,
    ) -> Coroutine[Any, Any, Decision]:
        """See `Enforcer.consume`."""
        ...

    def peek(
        self, account: str | Account, what: L_contra | Mapping[L_contra, int], n: int = 1, *, scope: str | None = None
    ) -> Coroutine[Any, Any, Decision]:
        """See `Enforcer.peek`."""
        ...

    def refund(self, decision: Decision, *, rates: bool = False) -> Coroutine[Any, Any, bool]:
        """See `Enforcer.refund`."""
        ...

    def reserve(
        self,
        account: str | Account,
        what: L_contra | Mapping[L_contra, int],
        n: int = 1,
        *,
        ttl: float | timedelta = 60,
        key: str | None = None,
        scope: str | None = None,
    ) -> AsyncReservation:
        """See `Enforcer.reserve`."""
        ...

    def assign(
        self, account: str | Account, limit: L_contra, holder: str, *, scope: str | None = None
    ) -> Coroutine[Any, Any, Decision]:
        """See `Enforcer.assign`."""
        ...

    def unassign(
        self, account: str | Account, limit: L_contra, holder: str, *, scope: str | None = None
    ) -> Coroutine[Any, Any, bool]:
        """See `Enforcer.unassign`."""
        ...

    def release(
        self, account: str | Account, limit: L_contra, amount: int = 1, *, scope: str | None = None
    ) -> Coroutine[Any, Any, int]:
        """See `Enforcer.release`."""
        ...

    def holders(
        self, account: str | Account, limit: L_contra, *, scope: str | None = None
    ) -> Coroutine[Any, Any, tuple[str, ...]]:
        """See `Enforcer.holders`."""
        ...

    def set_usage(
        self, account: str | Account, limit: L_contra, total: int, *, scope: str | None = None
    ) -> Coroutine[Any, Any, Usage]:
        """See `Enforcer.set_usage`."""
        ...

    def reset(self, account: str | Account, limit: L_contra, *, scope: str | None = None) -> Coroutine[Any, Any, None]:
        """See `Enforcer.reset`."""
        ...

    def usage(self, account: str | Account, *, scope: str | None = None) -> Coroutine[Any, Any, dict[str, Usage]]:
        """See `Enforcer.usage`."""
        ...

    def history(
        self, account: str | Account, limit: L_contra, *, refusals: bool = False, scope: str | None = None
    ) -> Coroutine[Any, Any, tuple[Period, ...]]:
        """See `Enforcer.history`."""
        ...

    def scopes(
        self, account: str | Account, limit: L_contra | None = None, *, after: str | None = None, size: int = 250
    ) -> Coroutine[Any, Any, tuple[str, ...]]:
        """See `Enforcer.scopes`."""
        ...
