"""Steps about the scopes of an account: list them, tell which hold units of a limit, and forget them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.charge import Forget, Read, ReadScopes
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.model.names import check_id, shown
from entitlements.model.resolution import resolution_of
from entitlements.rules.planning import limit_named, part_of
from entitlements.rules.steps import Step, as_is

if TYPE_CHECKING:
    from entitlements.model.answers import ScopePage
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.limits import Limit

MAX_SCOPES = 250
"""Most scopes of a page, and of one call that forgets scopes."""


def check_page(after: str | None, size: int) -> None:
    """Raise ValueError for an invalid scope or an invalid size of a page."""
    if after is not None:
        check_id(after, "scope")
    if type(size) is not int or not 1 <= size <= MAX_SCOPES:
        raise ValueError(f"size {shown(size)} of a page must be an int from 1 to {MAX_SCOPES}; pages follow by after=")


def scopes_after(account: str, after: str | None = None, size: int = MAX_SCOPES) -> Step[ScopePage]:
    """Read scopes of an account that have a counter, those after *after* in the order of their names."""
    return Step(ReadScopes(account, after or "", size), as_is)


def forget_scopes(account: str, scopes: tuple[str, ...]) -> Step[None]:
    """Delete every counter of some scopes of an account, which is forgotten as a whole."""
    return Step(Forget(account, scopes), as_is)


def scoped_limit(entitlements: Entitlements, name: str) -> Limit:
    """
    Return a limit with a `per`.

    Raises:
        UnknownFeature: For a name that is no limit.
        ValueError: For a limit of the account.
    """
    limit = limit_named(entitlements, name, (Rate, Quota, Allocation), "scopes")
    if not limit.per:
        raise ValueError(f"limit {name!r} has no scopes: it is not declared `per` anything; leave it out")
    return limit


def holds_units(entitlements: Entitlements, now: int, limit: Limit, scope: str) -> Step[bool]:
    """Read whether units of a limit are used or reserved in a scope."""
    order = Read(entitlements.account, (part_of(entitlements, limit, 1, now),), scope)
    return Step(order, lambda answer, _: bool(answer.lines[0].used), resolution_of(entitlements).calendar)
