"""The flags of an enforcer, for threads and for event loops: for the OpenFeature provider and the OFREP endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.errors import AccountError, EntitlementsError, UnknownAccount, UnknownFeature
from entitlements.integrations.flags import FlagError, FlagEvaluation, FlagKind, decides, evaluate
from entitlements.model.account import Account
from entitlements.model.redaction import redact_error

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.model.policy import PolicyData


class FlagSource:
    """
    The flags of an enforcer.

    Args:
        enforcer: An `Enforcer` or an `AsyncEnforcer`.
        usage: Ask the store what is used of a limit.
    """

    def __init__(self, enforcer: Enforcer | AsyncEnforcer, *, usage: bool) -> None:
        self.enforcer, self._usage = enforcer, usage
        self.is_stale = False
        """True while accounts are served as they were last loaded, because their source fails."""

    def evaluate(self, account: str | Account, key: str, kind: FlagKind | None) -> FlagEvaluation:
        """
        Evaluate one flag; with an `AsyncEnforcer` without any I/O, for an account that is loaded.

        Raises:
            FlagError: If it cannot be evaluated.
        """
        with flag_errors(account):
            if isinstance(self.enforcer, AsyncEnforcer):
                found = self.enforcer._loaded(account)
                decision = self.enforcer._decide(found, key) if decides(found.policy, key) else None
            else:
                found, decision = self.enforcer.entitlements(account), None
                if decides(found.policy, key):
                    asks = self.enforcer.peek if self._peeks(found.policy, key) else self.enforcer.decide
                    decision = asks(account, key)
            return evaluate(found, key, kind, decision, is_stale=self.is_stale)

    async def evaluate_async(self, account: str | Account, key: str, kind: FlagKind | None) -> FlagEvaluation:
        """
        Evaluate one flag; with a blocking `Enforcer` in a thread.

        Raises:
            FlagError: If it cannot be evaluated.
        """
        enforcer = self.enforcer
        if not isinstance(enforcer, AsyncEnforcer):
            return await asyncio.to_thread(self.evaluate, account, key, kind)
        with flag_errors(account):
            found, decision = await enforcer.entitlements(account), None
            if decides(found.policy, key):
                asks = enforcer.peek if self._peeks(found.policy, key) else enforcer.decide
                decision = await asks(account, key)
            return evaluate(found, key, kind, decision, is_stale=self.is_stale)

    def _peeks(self, policy: PolicyData, key: str) -> bool:
        limit = policy.limits.get(key)
        return self._usage and limit is not None and getattr(limit, "per", None) is None


@contextmanager
def flag_errors(account: str | Account) -> Iterator[None]:
    """Raise what goes wrong in the block as a `FlagError`, without the account's id."""
    id = account.id if isinstance(account, Account) else str(account)
    try:
        yield
    except UnknownFeature as error:
        raise FlagError("FLAG_NOT_FOUND", redact_error(error, id)) from None
    except (UnknownAccount, AccountError) as error:
        raise FlagError("INVALID_CONTEXT", redact_error(error, id)) from None
    except EntitlementsError as error:
        raise FlagError("GENERAL", redact_error(error, id)) from None
    except (TypeError, ValueError) as error:  # an id that is none
        raise FlagError("INVALID_CONTEXT", redact_error(error, id)) from None
