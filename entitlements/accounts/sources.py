"""Optional abilities of a source: an async `find`, `recheck` and `with_policy`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entitlements.model.policy import Policy


def is_async(source: object) -> bool:
    """Return whether `find` of *source* is an `async def`."""
    find = getattr(source, "find", None)
    return inspect.iscoroutinefunction(find) or inspect.iscoroutinefunction(type(find).__call__)


def recheck(source: object, id: str) -> None:
    """Call `recheck(id)` of a source that has it, because its copy of the account may be out of date."""
    method = getattr(source, "recheck", None)
    if callable(method):
        method(id)


def under_policy(source: Any, policy: Policy | None) -> Any:
    """Return `source.with_policy(policy)` where *source* has that method, else *source*."""
    method = getattr(source, "with_policy", None)
    return method(policy) if policy is not None and callable(method) else source
