"""
The default enforcer of the process, and `can`, which uses it.

`use(enforcer)` sets it for every thread and task. Leaving `with use(enforcer):` restores
the former one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.errors import NotLoaded

if TYPE_CHECKING:
    from types import TracebackType

    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account

_default: Enforcer | AsyncEnforcer | None = None


class use:  # noqa: N801 - reads as a statement: use(enforcer), with use(enforcer):
    """
    Set *enforcer* as the default of the process, at once.

    Args:
        enforcer: An `Enforcer` or an `AsyncEnforcer`.
    """

    def __init__(self, enforcer: Enforcer | AsyncEnforcer) -> None:
        global _default  # noqa: PLW0603 - the default of the process is global
        if not callable(getattr(enforcer, "can", None)):
            raise TypeError(f"{enforcer!r} is not an Enforcer or AsyncEnforcer")
        self._former = _default
        self._enforcer = enforcer
        _default = enforcer

    def __enter__(self) -> Enforcer | AsyncEnforcer:
        """Return the enforcer."""
        return self._enforcer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the former default."""
        global _default  # noqa: PLW0603 - see above
        _default = self._former


def default_enforcer() -> Enforcer | AsyncEnforcer:
    """
    Return the default enforcer of the process.

    Raises:
        NotLoaded: If none is set.
    """
    if _default is None:
        raise NotLoaded("no default enforcer is set; call use(enforcer) when the process starts")
    return _default


def can(account: str | Account, feature: str) -> bool:
    """
    Return whether the account has a feature, by the default enforcer of the process.

    Under an `AsyncEnforcer` it does no I/O.

    Raises:
        NotLoaded: Where no default is set, or under an `AsyncEnforcer` for an account
            that is not loaded here.
        UnknownFeature: For a name that the policy does not have.
    """
    enforcer = default_enforcer()
    if isinstance(enforcer, AsyncEnforcer):
        return enforcer._can(enforcer._loaded(account), feature)
    return enforcer.can(account, feature)
