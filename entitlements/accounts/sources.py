"""What can be known of a source before it is asked, and what it can be told."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entitlements.model.policy import Policy


def is_async(source: object) -> bool:
    """Say whether `find` of *source* is an `async def`."""
    find = getattr(source, "find", None)
    return inspect.iscoroutinefunction(find) or inspect.iscoroutinefunction(type(find).__call__)


def recheck(source: object, id: str) -> None:
    """Tell a source that keeps copies, and so has `recheck(id)`, that this one may be out of date."""
    tell = getattr(source, "recheck", None)
    if callable(tell):
        tell(id)


def under_policy(source: Any, policy: Policy | None) -> Any:
    """Return *source* as it reads under *policy*, if that makes a difference to it, or itself."""
    with_policy = getattr(source, "with_policy", None)
    return with_policy(policy) if policy is not None and callable(with_policy) else source
