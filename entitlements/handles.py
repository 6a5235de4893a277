"""Handles: the verbs of an enforcer, bound to one account. Each verb is documented at the enforcer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from entitlements.async_call import verbs_as_calls
from entitlements.model.pickling import not_picklable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import NotIncluded
    from entitlements.model.tier import Value
    from entitlements.resolved_account import ResolvedAccount

__all__ = ["AsyncBoundAccount", "BoundAccount"]

E = TypeVar("E")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
D = TypeVar("D")


class Bound(Generic[E, P, R]):
    """
    Descriptor: a verb of the handle's enforcer, with the account filled in.

    Args:
        verb: From an enforcer to its verb.
    """

    def __init__(self, verb: Callable[[E], Callable[Concatenate[str | Account, P], R]]) -> None:
        self._verb = verb

    def __get__(self, handle: Any, _: type) -> Callable[P, R]:
        """Return the verb; of the class itself, the descriptor."""
        if handle is None:
            return self  # type: ignore[return-value]
        return partial(self._verb(handle._enforcer), handle.account)

    def __set_name__(self, owner: type, name: str) -> None:
        self.__doc__ = f"`Enforcer.{name}` for this account."


def _of(verb: Callable[[Enforcer], Callable[Concatenate[str | Account, P], R]]) -> Bound[Enforcer, P, R]:
    return Bound(verb)


def _of_async(
    verb: Callable[[AsyncEnforcer], Callable[Concatenate[str | Account, P], R]],
) -> Bound[AsyncEnforcer, P, R]:
    return Bound(verb)


@not_picklable("send its id, and call enforcer.account(id) there")
class BoundAccount:
    """
    The verbs of an `Enforcer` for one account.

    Args:
        enforcer: The enforcer.
        account: The account, or its id.
        resolved: Its resolved state at the time.
    """

    __slots__ = ("_enforcer", "_resolved", "account", "id")

    def __init__(self, enforcer: Enforcer, account: str | Account, resolved: ResolvedAccount) -> None:
        self._enforcer = enforcer
        self._resolved = resolved
        self.account = account
        self.id = account if isinstance(account, str) else account.id

    def __repr__(self) -> str:
        return f"<BoundAccount {self.id!r}>"

    def can(self, feature: str) -> bool:  # written out: it takes a quarter of a microsecond, a descriptor as long again
        """`Enforcer.can` for this account."""
        return self._enforcer.can(self.account, feature)

    @overload
    def value(self, key: str) -> Value | NotIncluded: ...
    @overload
    def value(self, key: str, kind: type[T]) -> T | None: ...
    @overload
    def value(self, key: str, kind: type[T], *, default: D) -> T | D: ...
    def value(
        self, key: str, kind: type[T] | None = None, *, default: D | None = None
    ) -> Value | NotIncluded | T | D | None:
        """`Enforcer.value` for this account."""
        found = self.entitlements()
        return found.value(key) if kind is None else found.value(key, kind, default=default)

    decide = _of(lambda enforcer: enforcer.decide)
    entitlements = _of(lambda enforcer: enforcer.entitlements)
    sla = _of(lambda enforcer: enforcer.sla)
    uptime = _of(lambda enforcer: enforcer.uptime)
    health = _of(lambda enforcer: enforcer.health)
    consume = _of(lambda enforcer: enforcer.consume)
    peek = _of(lambda enforcer: enforcer.peek)
    reserve = _of(lambda enforcer: enforcer.reserve)
    reservation = _of(lambda enforcer: enforcer.reservation)
    assign = _of(lambda enforcer: enforcer.assign)
    unassign = _of(lambda enforcer: enforcer.unassign)
    release = _of(lambda enforcer: enforcer.release)
    holders = _of(lambda enforcer: enforcer.holders)
    set_usage = _of(lambda enforcer: enforcer.set_usage)
    reset = _of(lambda enforcer: enforcer.reset)
    usage = _of(lambda enforcer: enforcer.usage)
    history = _of(lambda enforcer: enforcer.history)
    plan_change = _of(lambda enforcer: enforcer.plan_change)
    review = _of(lambda enforcer: enforcer.review)
    scopes = _of(lambda enforcer: enforcer.scopes)
    forget = _of(lambda enforcer: enforcer.forget)
    refresh = _of(lambda enforcer: enforcer.refresh)
    invalidate = _of(lambda enforcer: enforcer.invalidate)

    def refund(self, decision: Decision, *, rates: bool = False) -> bool:
        """`Enforcer.refund`: a decision names its account."""
        return self._enforcer.refund(decision, rates=rates)


@not_picklable("send its id, and call enforcer.account(id) there")
@verbs_as_calls
class AsyncBoundAccount:
    """
    The verbs of an `AsyncEnforcer` for one account; `can`, `value`, `decide` and `entitlements` are plain calls.

    Args:
        enforcer: The enforcer.
        account: The account, or its id.
        resolved: The account as it was resolved.
    """

    __slots__ = ("_enforcer", "_resolved", "account")

    def __init__(self, enforcer: AsyncEnforcer, account: str | Account, resolved: ResolvedAccount) -> None:
        self._enforcer = enforcer
        self._resolved = resolved
        self.account = account

    @property
    def id(self) -> str:
        """The account's id."""
        return self.account if isinstance(self.account, str) else self.account.id

    def __repr__(self) -> str:
        return f"<AsyncBoundAccount {self.id!r}>"

    def can(self, feature: str) -> bool:
        """Return the answer of `AsyncEnforcer.can`, without I/O."""
        return self._enforcer._can(self.entitlements(), feature)

    def decide(self, feature: str) -> Decision:
        """Return the decision of `AsyncEnforcer.decide`, without I/O."""
        return self._enforcer._decide(self.entitlements(), feature)

    @overload
    def value(self, key: str) -> Value | NotIncluded: ...
    @overload
    def value(self, key: str, kind: type[T]) -> T | None: ...
    @overload
    def value(self, key: str, kind: type[T], *, default: D) -> T | D: ...
    def value(
        self, key: str, kind: type[T] | None = None, *, default: D | None = None
    ) -> Value | NotIncluded | T | D | None:
        """Return the value of `AsyncEnforcer.value`, without I/O."""
        found = self.entitlements()
        return found.value(key) if kind is None else found.value(key, kind, default=default)

    def entitlements(self) -> Entitlements:
        """Return the account's entitlements, resolved again if the clock or the policy has moved on."""
        self._resolved = self._enforcer._renewed(self.account, self._resolved)
        return self._resolved.entitlements

    sla = _of_async(lambda enforcer: enforcer.sla)
    uptime = _of_async(lambda enforcer: enforcer.uptime)
    health = _of_async(lambda enforcer: enforcer.health)
    consume = _of_async(lambda enforcer: enforcer.consume)
    peek = _of_async(lambda enforcer: enforcer.peek)
    reserve = _of_async(lambda enforcer: enforcer.reserve)
    reservation = _of_async(lambda enforcer: enforcer.reservation)
    assign = _of_async(lambda enforcer: enforcer.assign)
    unassign = _of_async(lambda enforcer: enforcer.unassign)
    release = _of_async(lambda enforcer: enforcer.release)
    holders = _of_async(lambda enforcer: enforcer.holders)
    set_usage = _of_async(lambda enforcer: enforcer.set_usage)
    reset = _of_async(lambda enforcer: enforcer.reset)
    usage = _of_async(lambda enforcer: enforcer.usage)
    history = _of_async(lambda enforcer: enforcer.history)
    plan_change = _of_async(lambda enforcer: enforcer.plan_change)
    review = _of_async(lambda enforcer: enforcer.review)
    scopes = _of_async(lambda enforcer: enforcer.scopes)
    forget = _of_async(lambda enforcer: enforcer.forget)

    def refund(self, decision: Decision, *, rates: bool = False) -> Coroutine[Any, Any, bool]:
        """`AsyncEnforcer.refund`: a decision names its account."""
        return self._enforcer.refund(decision, rates=rates)

    async def refresh(self) -> None:
        """Drop the cached account and load it again."""
        await self._enforcer.refresh(self.account)
        self._resolved = await self._enforcer._resolve(self.account)

    async def invalidate(self) -> None:
        """`AsyncEnforcer.invalidate` for this account, which is then loaded again."""
        await self._enforcer.invalidate(self.account)
        self._resolved = await self._enforcer._resolve(self.account)
