"""
Prepared steps: each verb as a pure value, the order for a store and the function that reads the answer.

Both enforcers run these steps and differ only in `await`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from entitlements.errors import StoreError
from entitlements.model import events
from entitlements.model.answers import Invalidated, Line, Outcome, Totalled
from entitlements.model.calendars import UTC_CALENDAR, Calendar
from entitlements.model.charge import (
    Charge,
    Forget,
    Invalidate,
    Order,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Release,
    ResetRate,
    SetUsage,
    Unassign,
    Verb,
    numbered,
)
from entitlements.model.decision import Decision
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.model.names import check_count, check_id, shown
from entitlements.model.prepared import Derived, units_key
from entitlements.model.resolution import charges_of, prepared_of, resolution_of
from entitlements.rules.decisions import about_feature, refund_of, total_set, without_store
from entitlements.rules.explain import facts
from entitlements.rules.planning import (
    Plan,
    PreparedCharge,
    Wanted,
    check_scope,
    limit_named,
    part_of,
    per_of,
    plan,
    prepare,
    wanted_units,
)
from entitlements.rules.shared_values import shared
from entitlements.rules.usage_values import period_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.model.entitlements import Entitlements
    from entitlements.model.usage import Period, Usage

R = TypeVar("R")


def _no_events(_: object) -> Iterable[events.Event]:
    return ()


@dataclass(frozen=True, slots=True)
class Step(Generic[R]):
    """
    One verb, ready to run.

    Args:
        order: The order for the store; None if the store is not called.
        finish: Makes the verb's result of the store's answer (None without an order) and
            the name of the path that answered.
        calendar: The account's calendar, for period ends that the store finds stale.
        verb: The verb's name if the result is a decision, for hooks.
        events: Makes the events of a result, other than decisions.
        set_to: Makes of the store's answer the decision by which hooks see the thresholds that a new total, or a commit, crossed.
    """

    order: Order | None
    finish: Callable[[Any, str], R]
    calendar: Calendar = UTC_CALENDAR
    verb: str = ""
    events: Callable[[R], Iterable[events.Event]] = _no_events
    set_to: Callable[[Any], Decision] | None = None


def decide(entitlements: Entitlements, name: str) -> Decision:
    """Return the decision about a name."""
    return about_feature(entitlements.account, facts(entitlements, name))


def charge(
    entitlements: Entitlements,
    now: int,
    verb: Verb,
    what: Wanted,
    n: int = 1,
    *,
    operation: str | None = None,
    key: str | None = None,
    scope: str | None = None,
    ttl: int = 0,
) -> Step[Decision]:
    """Consume, peek at or reserve units of one limit or several."""
    if key is not None:
        check_id(key, "key")
    wanted = wanted_units(what, n)
    planned = plan(entitlements, verb, wanted, now, operation=operation, key=key, scope=scope, ttl=ttl)
    return _charging(entitlements, planned, verb)


def prepare_charge(entitlements: Entitlements, now: int, what: Wanted, n: int) -> PreparedCharge:
    """Prepare the charge that consumes these units, and keep it for `prepared_charge`."""
    prepared = prepare(entitlements, wanted_units(what, n), now)
    key = shared(units_key(what, n))
    if key is not None:
        prepared_of(entitlements).keep(key, prepared)
    return prepared


def prepared_charge(kept: dict[Any, PreparedCharge], what: Wanted, n: int) -> PreparedCharge | None:
    """Return the prepared charge of these units; None if there is none yet, or they may be invalid."""
    if type(what) is str and type(n) is int and n == 1:
        return kept.get(what)
    try:
        return kept.get(units_key(what, n))
    except TypeError:  # units that are no number
        return None


def known_decision(entitlements: Entitlements, prepared: PreparedCharge) -> Step[Decision]:
    """Return the step to consume units of which the entitlements alone decide."""
    return Step(None, lambda _, __: without_store(entitlements.account, prepared.limits), verb=Verb.CONSUME.value)


def scoped_charge(prepared: PreparedCharge, order: Charge | None, scope: str | None) -> Charge | None:
    """
    Return the account's charge of prepared units, for a scope; None if no store is needed.

    Raises:
        ValueError: For a scope that is missing or has no use, or limits of two kinds of scope.
    """
    check_scope(prepared.per, scope, prepared.limits)
    if order is None:
        return None
    scoped = numbered(order, None)  # type: ignore[arg-type]  # it gets its number later
    object.__setattr__(scoped, "scope", scope)
    object.__setattr__(scoped, "derived", Derived(prepared.derived))  # what is the same for every scope is shared
    return scoped


def assign(
    entitlements: Entitlements, now: int, limit: str, holder: str, operation: str, scope: str | None
) -> Step[Decision]:
    """Assign a unit of an allocation to *holder*; a holder who has one keeps it and takes no other."""
    check_id(holder, "holder")
    limit_named(entitlements, limit, Allocation, "assign", holder)
    planned = plan(entitlements, Verb.ASSIGN, {limit: 1}, now, operation=operation, scope=scope, holder=holder)
    return _charging(entitlements, planned, Verb.ASSIGN)


def unassign(entitlements: Entitlements, limit: str, holder: str, scope: str | None) -> Step[bool]:
    """Take back the unit of *holder*."""
    check_id(holder, "holder")
    definition = limit_named(entitlements, limit, Allocation, "unassign", holder)
    check_scope(per_of([definition]), scope, [definition])
    account = entitlements.account
    event = events.Unassigned(account, limit, holder, scope)
    return Step(Unassign(account, limit, holder, scope), as_is, events=lambda was_held: [event] * bool(was_held))


def release(entitlements: Entitlements, limit: str, amount: int, scope: str | None) -> Step[int]:
    """Release anonymous units of an allocation."""
    check_count(amount, "amount")
    definition = limit_named(entitlements, limit, Allocation, "release")
    check_scope(per_of([definition]), scope, [definition])
    account = entitlements.account
    return Step(
        Release(account, limit, amount, scope),
        as_is,
        events=lambda released: [events.Released(account, limit, released, scope)] * bool(released),
    )


def holders(entitlements: Entitlements, limit: str, scope: str | None) -> Step[tuple[str, ...]]:
    """Read the holders of an allocation."""
    definition = limit_named(entitlements, limit, Allocation, "holders")
    check_scope(per_of([definition]), scope, [definition])
    return Step(ReadHolders(entitlements.account, limit, scope), as_is)


def set_usage(entitlements: Entitlements, now: int, name: str, total: int, scope: str | None) -> Step[Usage]:
    """Set the usage of a quota's running period, or of an allocation, to *total*."""
    check_count(total, f"usage of {shown(name)}", least=0)
    limit = limit_named(entitlements, name, (Quota, Allocation), "set_usage")
    check_scope(per_of([limit]), scope, [limit])
    part = part_of(entitlements, limit, total, now)

    def finish(answer: Totalled, _: str) -> Usage:
        if answer.line is None:
            raise _cannot_set(name, total, answer)
        return usage_of(entitlements, part, answer.line)

    account = entitlements.account
    return Step(
        SetUsage(account, part, scope=scope), finish, resolution_of(entitlements).calendar,
        events=lambda usage: [events.UsageSet(account, name, usage, scope)],
        set_to=lambda answer: total_set(account, facts(entitlements, name), answer, total, scope),
    )  # fmt: skip


def reset(entitlements: Entitlements, now: int, name: str, scope: str | None) -> Step[None]:
    """Empty the meter of a rate."""
    limit = limit_named(entitlements, name, Rate, "reset")
    check_scope(per_of([limit]), scope, [limit])
    account = entitlements.account
    order = ResetRate(account, part_of(entitlements, limit, 1, now), scope)
    return Step(order, as_is, events=lambda _: [events.RateReset(account, name, scope)])


def usage(entitlements: Entitlements, now: int, scope: str | None = None) -> Step[dict[str, Usage]]:
    """Read every meter of the account, and with a scope those of the scope as well."""
    limits = [limit for limit in entitlements.policy.limits.values() if scope is not None or not limit.per]
    if scope is not None:
        check_id(scope, "scope")
    parts = tuple(part_of(entitlements, limit, 1, now) for limit in limits)

    def finish(answer: Outcome, _: str) -> dict[str, Usage]:
        lines: Iterable[Line] = answer.lines
        return {part.limit.name: usage_of(entitlements, part, line) for part, line in zip(parts, lines, strict=True)}

    order = Read(entitlements.account, parts, scope, charges_of(entitlements).version)
    return Step(order, finish, resolution_of(entitlements).calendar)


def history(
    entitlements: Entitlements, now: int, name: str, *, refusals: bool = False, scope: str | None = None
) -> Step[tuple[Period, ...]]:
    """Read a quota's periods, newest first; with *refusals* also those of an allocation, in which refusals count."""
    limit = limit_named(entitlements, name, (Quota, Allocation) if refusals else Quota, "history")
    check_scope(per_of([limit]), scope, [limit])
    part = part_of(entitlements, limit, 1, now)
    return Step(
        ReadHistory(entitlements.account, part, scope),
        lambda answer, _: tuple(period_of(count) for count in answer.counts),
        resolution_of(entitlements).calendar,
    )


def forget(account: str, scope: str | None = None) -> Step[None]:
    """Delete every counter of the account itself, or of a scope of it."""
    if scope is not None:
        check_id(scope, "scope")
    order = Forget(account, None if scope is None else (scope,))
    return Step(order, as_is, events=lambda _: [events.Forgotten(account, scope)])


def invalidate(account: str) -> Step[Invalidated]:
    """Give the account a new version."""
    return Step(Invalidate(account), as_is)


def refund(decision: Decision, *, rates: bool) -> Step[bool] | None:
    """Refund a decision; None if it took nothing that can be refunded."""
    if not isinstance(decision, Decision):
        raise TypeError(f"{shown(decision)} is not a Decision; pass what consume or assign returned")
    order = refund_of(decision, rates=rates)
    if order is None:
        return None
    return Step(order, as_is, events=lambda back: [events.Refunded(decision)] * bool(back))


def _charging(entitlements: Entitlements, planned: Plan, verb: Verb) -> Step[Decision]:
    order, prepared, account = planned.order, planned.prepared, entitlements.account
    if order is None:
        return Step(None, lambda _, __: without_store(account, prepared.limits), verb=verb.value)
    charge = order.charge if isinstance(order, Recall) else order

    def finish(outcome: Outcome, via: str) -> Decision:
        return prepared.decide(account, outcome, via, charge.operation, charge.scope)

    return Step(order, finish, resolution_of(entitlements).calendar, verb.value)


def as_is(answer: Any, _: str) -> Any:
    """Return the store's answer, which is the verb's result."""
    return answer


def _cannot_set(name: str, total: int, answer: Totalled) -> Exception:
    if answer.full:
        return StoreError(f"usage of {name!r} cannot be set: the store is full; raise max_keys")
    return ValueError(
        f"usage of {name!r} cannot be {total}: {answer.least} are held by name or reserved;"
        " unassign or cancel those first"
    )
