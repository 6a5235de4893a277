"""
Every exception of this package, in one tree; this module imports nothing.

Whose fault it is stands in the type: `PolicyError` and `AccountError` are broken
data, `UnknownFeature` and `KeyReused` broken code, `StoreError` and `AccountsUnavailable` a broken network.
A denial is a value (`Decision`); `Denied` exists for callers who prefer to raise it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.model.decision import Decision
    from entitlements.model.problem import Problem


class EntitlementsError(Exception):
    """The root: `except EntitlementsError` catches all that this package raises."""


class Denied(EntitlementsError):
    """A refused decision, raised by `Decision.raise_for_denied()`; carries it whole."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.explanation)
        self.decision = decision

    def __reduce__(self) -> tuple[type[Denied], tuple[Decision]]:
        """Survive pickling, which would hand the message to the constructor."""
        return (Denied, (self.decision,))


class NotLoaded(EntitlementsError):
    """A plain call met an account that is not loaded here, and may do no I/O."""


class UnknownFeature(EntitlementsError):
    """A feature, level, limit or value key that the policy does not know."""


class UnknownAccount(EntitlementsError):
    """No such account, under a policy that says `unknown_account: raise`."""


class AccountError(EntitlementsError, ValueError):
    """An account that cannot be right, by itself or under the policy in force."""


class AccountsUnavailable(EntitlementsError):
    """The source of accounts is down, and nothing recent is known of this one; what the source raised is its cause."""


class PolicyError(EntitlementsError, ValueError):
    """
    A policy that cannot be used; `problems` holds every problem of every file.

    Args:
        problems: Every problem found, errors and warnings, in the order of the files.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[PolicyError], tuple[tuple[Problem, ...]]]:
        """Survive pickling, which would hand the message to the constructor."""
        return (PolicyError, (self.problems,))


class KeyReused(EntitlementsError, ValueError):
    """An idempotency key that already stands for another charge of the account."""


class ReservationExpired(EntitlementsError):
    """A reservation that is gone, and could not be charged anew."""


class StoreError(EntitlementsError):
    """
    The store could not answer, or answered something it must never answer.

    `lasts` is True where waiting does not help: somebody must correct the URL, the rights or the server.
    `undone` is True where it is certain that nothing was carried out.
    """

    lasts = False
    undone = False
