"""The values that a `Decision` is made of: for this package; users have its properties."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from entitlements.model.answers import Line
from entitlements.model.facts import Facts, Receipt
from entitlements.model.limits import Mode
from entitlements.model.reasons import Reason

if TYPE_CHECKING:
    from entitlements.model.decision import Decision


class PartsLater(NamedTuple):
    """The decisions about each limit, which few callers ask for: *make* returns them, called with *arguments*."""

    make: Callable[..., tuple[Decision, ...]]
    arguments: tuple[Any, ...]


Fields: TypeAlias = "tuple[bool, Reason, Facts, Receipt, Line | None, tuple[Decision, ...] | PartsLater | None]"
"""All constructor arguments, in order."""

fields_of: Callable[[Decision], Fields] = attrgetter("_fields")
"""Return the values of a decision; costs no Python call."""


def facts_of(decision: Decision) -> Facts:
    """Return the facts that do not change between calls."""
    return fields_of(decision)[2]


def receipt_of(decision: Decision) -> Receipt:
    """Return the details of this call."""
    return fields_of(decision)[3]


def line_of(decision: Decision) -> Line | None:
    """Return the store's answer; None if no store was asked."""
    return fields_of(decision)[4]


def several_parts_of(decision: Decision) -> tuple[Decision, ...] | None:
    """Return the decisions about each of several limits; None for a decision about a single limit."""
    parts = fields_of(decision)[5]
    if type(parts) is PartsLater:
        parts = parts.make(*parts.arguments)
        object.__setattr__(decision, "_fields", (*fields_of(decision)[:5], parts))
    return parts  # type: ignore[return-value]


def parts_of(decision: Decision) -> tuple[Decision, ...]:
    """Return the values of `Decision.parts`."""
    parts = several_parts_of(decision)
    if parts is not None:
        return parts
    return (decision,) if facts_of(decision).limit else ()


def is_enforced(decision: Decision) -> bool:
    """Return False for a limit in shadow mode, unless the refusal is about the account itself."""
    limit = facts_of(decision).limit
    shadow = limit is not None and limit.mode is Mode.SHADOW
    return not shadow or decision.reason in (Reason.SUSPENDED, Reason.UNKNOWN_ACCOUNT)
