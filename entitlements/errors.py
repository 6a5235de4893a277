"""
Exceptions of this package, in one tree; this module imports nothing.

The type tells the cause. `PolicyError` and `AccountError` are errors in data, `UnknownFeature`
and `KeyReused` are errors in code, `StoreError` and `AccountsUnavailable` are failures of a
network. A denial is a value (`Decision`); `Denied` exists for callers who prefer an exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.model.decision import Decision
    from entitlements.model.problem import Problem


class EntitlementsError(Exception):
    """The base class: `except EntitlementsError` catches every exception of this package."""


class Denied(EntitlementsError):
    """
    A refused decision, raised by `Decision.raise_for_denied()`; `decision` is the decision.

    Cure: look at `decision.reason`, `decision.retry_after` and `decision.remedy`, and answer the customer.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.explanation)
        self.decision = decision

    def __reduce__(self) -> tuple[type[Denied], tuple[Any, ...]]:
        """Pickle the constructor's argument; the default would pickle the message."""
        return (Denied, (self.decision,))


class NotLoaded(EntitlementsError):
    """
    A call that may do no I/O met an account that is not loaded in this process.

    Cure: load it first, with `enforcer.account(id)` or a middleware, or pass an `Account`.
    """


class UnknownFeature(EntitlementsError):
    """
    A feature, level, limit or value key that the policy does not have.

    Cure: correct the spelling, which the message suggests, or add the name to the policy.
    """


class UnknownAccount(EntitlementsError):
    """
    An unknown account, under a policy with `unknown_account: raise`.

    Cure: correct the id or add the account to its source; or let the policy say `deny` or a tier.
    """


class AccountError(EntitlementsError, ValueError):
    """
    An account that is invalid, by itself or under the policy in force.

    Cure: correct the account at its source; `entitlements validate POLICY --accounts FILE` lists all of them.
    """


class AccountsUnavailable(EntitlementsError):
    """
    The source of accounts failed, and nothing stands in for this account; the source's exception is the cause.

    Cure: bring the source back; accounts that were loaded before are served for a while.
    """


class PolicyError(EntitlementsError, ValueError):
    """
    An invalid policy; `problems` has every problem of every file.

    Cure: each problem has its file, line and cure; `entitlements validate` lists them before a release.

    Args:
        problems: Every problem found, errors and warnings, in the order of the files.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[PolicyError], tuple[tuple[Problem, ...]]]:
        """Pickle the constructor's argument; the default would pickle the message."""
        return (PolicyError, (self.problems,))


class KeyReused(EntitlementsError, ValueError):
    """
    An idempotency key that the account has used for another charge.

    Cure: make a key for each operation, and repeat it only with the same limits, amounts and scope.
    """


class ReservationExpired(EntitlementsError):
    """
    A reservation that has expired, and whose units could not be charged again.

    Cure: reserve with a longer `ttl`, or shorten the work that the reservation is held for.
    """


class StoreError(EntitlementsError):
    """
    The store could not be reached, or its answer was invalid.

    `lasts` is True where waiting does not help: the URL, the rights or the server must be corrected.
    `undone` is True where it is certain that nothing was changed.

    Cure: `entitlements doctor URL` checks the server; `on_outage` of a limit decides what happens meanwhile.
    """

    lasts = False
    undone = False
