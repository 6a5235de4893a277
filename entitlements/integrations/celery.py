"""
Celery: tasks that require features and charge limits before they run.

    @app.task
    @consume("exports", account="customer", enforcer=enforcer)
    def export(customer): ...

A charge that has to wait is retried when `retry_after` says. The key of a charge is the id of its task: a task that is
delivered twice, or retries itself, is charged once. A task that fails gets its units back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from entitlements.extras import extra

with extra("celery", "Celery", __name__):
    import celery
    from celery.exceptions import Ignore, Retry

from entitlements.default import default_enforcer
from entitlements.errors import Denied
from entitlements.http.endpoint_rules import consumption, requirement
from entitlements.http.retry_after import seconds_to_wait
from entitlements.http.sync_admission import check_sync_enforcer

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account

__all__ = ["consume", "require"]

P = ParamSpec("P")
R = TypeVar("R")
Units = int | Callable[..., int]

LONGEST_RETRY = timedelta(minutes=50)
"""The longest wait for a retry by default: brokers such as Redis deliver a task again that waits for an hour."""


def require(
    *features: str, account: str | Callable[..., str | Account] = "account", enforcer: Enforcer | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Return a decorator of a task that raises `Denied` for accounts without every one of *features*.

    Args:
        features: Names of features, `feature:level`, or limits.
        account: The parameter of the task with the account, or a callable over the task's arguments.
        enforcer: The enforcer; that of `use()` by default.

    Raises:
        ValueError: If there are none, one is not a str, or the task has no such parameter.
    """
    rule = requirement(features)

    def decorate(task: Callable[P, R]) -> Callable[P, R]:
        account_of = _reader(task, account)

        @wraps(task)
        def gated(*args: P.args, **kwargs: P.kwargs) -> R:
            who = account_of(*args, **kwargs)
            for name in rule.requires:
                _enforcer(enforcer).decide(who, name).raise_for_denied()
            return task(*args, **kwargs)

        return gated

    return decorate


def consume(
    limit: str | Mapping[str, Units],
    n: Units = 1,
    *,
    account: str | Callable[..., str | Account] = "account",
    enforcer: Enforcer | None = None,
    scope: Callable[..., str | None] | None = None,
    longest_retry: timedelta | None = LONGEST_RETRY,
    max_retries: int | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Return a decorator of a task that charges units before it runs.

    Args:
        limit: The name of a limit, or a mapping from limits to units: one charge, all or nothing.
        n: Units of a single limit, or a callable over the task's arguments.
        account: The parameter of the task with the account, or a callable over the task's arguments.
        enforcer: The enforcer; that of `use()` by default.
        scope: Returns the scope of limits with a `per` from the task's arguments.
        longest_retry: The longest wait for which the task is retried; a longer one raises `Denied`. None: no retry.
        max_retries: Retries for the limit's sake; None for any number.

    Raises:
        ValueError: For an invalid limit or number of units, or if the task has no such parameter.
    """
    check = (lambda _: 1) if callable(n) else n
    consumption(
        {each: 1 if callable(units) else units for each, units in limit.items()}
        if isinstance(limit, Mapping)
        else limit,
        check,
        None,
    )
    wanted: Mapping[str, Units] = limit if isinstance(limit, Mapping) else {limit: n}

    def decorate(task: Callable[P, R]) -> Callable[P, R]:
        account_of = _reader(task, account)

        @wraps(task)
        def charged(*args: P.args, **kwargs: P.kwargs) -> R:
            counting, running = _enforcer(enforcer), celery.current_app.current_task
            units = {name: each(*args, **kwargs) if callable(each) else each for name, each in wanted.items()}
            units = {name: each for name, each in units.items() if each}
            if not units:
                return task(*args, **kwargs)
            key = None if running is None or not running.request.id else _key(running.request.id, units)
            where = None if scope is None else scope(*args, **kwargs)
            decision = counting.consume(account_of(*args, **kwargs), units, key=key, scope=where)
            if not decision.allowed:
                wait = seconds_to_wait(decision)
                if key and wait and longest_retry and wait <= longest_retry.total_seconds():
                    raise running.retry(countdown=wait, max_retries=max_retries, exc=Denied(decision))
                raise Denied(decision)
            try:
                return task(*args, **kwargs)
            except (Retry, Ignore):  # it runs again under the same key, or has ended as it means to
                raise
            except BaseException:
                counting.refund(decision)
                raise

        return charged

    return decorate


def _key(id: str, units: Mapping[str, int]) -> str:
    """Return the key of a charge of a task, which may make others of other limits."""
    return f"celery:{id}:{'+'.join(sorted(units))}"[:256]


def _enforcer(enforcer: Enforcer | None) -> Enforcer:
    return check_sync_enforcer(default_enforcer() if enforcer is None else enforcer)


def _reader(task: Callable[..., Any], account: str | Callable[..., str | Account]) -> Callable[..., str | Account]:
    """Return a callable from the arguments of a task to its account."""
    if callable(account):
        return account
    signature = inspect.signature(task)
    if account not in signature.parameters:
        names = ", ".join(signature.parameters) or "none"
        raise ValueError(
            f"task {task.__name__} has no parameter {account!r} (it has {names}); name it: account='customer'"
        )

    def read(*args: Any, **kwargs: Any) -> str | Account:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments[account]  # type: ignore[no-any-return]

    return read
