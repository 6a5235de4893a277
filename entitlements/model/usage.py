"""How much of a limit is used now, and was used in the periods before."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from entitlements.model.display import in_json

if TYPE_CHECKING:
    from datetime import datetime

    from entitlements.model.limits import LimitValue, Size, Unlimited


@dataclass(frozen=True, slots=True)
class Usage:
    """
    One meter.

    Args:
        used: Units used, reserved ones included; None where they are not counted
            (an unlimited rate).
        reserved: Units reserved.
        limit: What the account has.
        remaining: max(0, limit - used); 0 when not included.
        resets_at: Aware UTC; rates: when everything is available again; quotas: the
            end of the period; allocations: None.
    """

    used: int | None
    reserved: int
    limit: LimitValue
    remaining: int | Unlimited
    resets_at: datetime | None

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {each.name: in_json(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class Period:
    """
    What was counted of a quota in one period.

    Args:
        start: Aware UTC, the first instant.
        end: Aware UTC, the first instant after it.
        used: Units used, reserved ones included.
        denied: Units refused.
        limit: The limit at the last charge of the period.
    """

    start: datetime
    end: datetime
    used: int
    denied: int
    limit: Size

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {each.name: in_json(getattr(self, each.name)) for each in fields(self)}
