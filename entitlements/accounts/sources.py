"""Optional abilities of a source: an async `find`, `recheck` and `with_policy`."""

from __future__ import annotations

import inspect
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from entitlements.model.policy import PolicyData


def is_async(source: object) -> bool:
    """Return whether `find` of *source* is an `async def`."""
    find = getattr(source, "find", None)
    return inspect.iscoroutinefunction(find) or inspect.iscoroutinefunction(type(find).__call__)


def recheck(source: object, id: str) -> None:
    """Call `recheck(id)` of a source that has it, because its copy of the account may be out of date."""
    method = getattr(source, "recheck", None)
    if callable(method):
        method(id)


def under_policy(source: Any, policy: PolicyData | None) -> Any:
    """Return `source.with_policy(policy)` where *source* has that method, else *source*."""
    method = getattr(source, "with_policy", None)
    return method(policy) if policy is not None and callable(method) else source


class Wrapper(Protocol):
    """A source around another source; it takes the functions below as its methods."""

    _source: Any


W = TypeVar("W", bound=Wrapper)


def refresh_source(self: Wrapper, id: str, /) -> None:
    """Tell the source that its copy of the account may be out of date."""
    recheck(self._source, id)


def with_policy(self: W, policy: PolicyData) -> W:
    """Return the source as it reads under *policy*, or this one if that makes no difference."""
    source = under_policy(self._source, policy)
    if source is self._source:
        return self
    other = copy(self)
    other._source = source  # noqa: SLF001 - a copy of this
    return other


def repr_of_wrapper(self: Wrapper) -> str:
    """Return the class and the source."""
    return f"{type(self).__name__}({self._source!r})"
