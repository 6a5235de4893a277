"""
Overage: an included amount, and what is allowed beyond it.

Of a limit with overage, units above the included amount are admitted too, all of them or so many more.
They count in `used` like any others; what is left is what is left of the included amount.
"""

from __future__ import annotations

from typing import Self

from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Limit, LimitValue, Size, Unlimited
from entitlements.model.names import MAX_COUNT

ALLOW = "allow"
"""The word of a policy for overage without a bound."""


class Included(int):
    """
    A size with overage: its number is the included amount. It is equal only to one with the same overage.

    Args:
        included: The included units, 0 to 2^53-2.
        overage: Units allowed beyond them, `UNLIMITED` for any number.
    """

    overage: int | Unlimited

    def __new__(cls, included: int, overage: int | Unlimited) -> Self:
        """Create a size."""
        size = super().__new__(cls, included)
        size.overage = overage
        return size

    def __bool__(self) -> bool:
        """Return True if any unit is allowed."""
        return int(self) > 0 or self.overage is UNLIMITED or self.overage > 0

    def __eq__(self, other: object) -> bool:
        """Return True for a size with the same included amount and overage."""
        return type(other) is Included and int(self) == int(other) and self.overage == other.overage

    def __ne__(self, other: object) -> bool:
        """Return False for a size with the same included amount and overage."""
        return not self == other

    def __hash__(self) -> int:
        """Hash both numbers."""
        return hash((int(self), self.overage))

    def __repr__(self) -> str:
        """Return the constructor's call."""
        return f"Included({int(self)}, {self.overage!r})"

    def __reduce__(self) -> tuple[type[Included], tuple[int, int | Unlimited]]:
        """Keep the overage when pickled."""
        return (Included, (int(self), self.overage))

    def to_dict(self) -> dict[str, object]:
        """Return the size as a policy writes it."""
        return {"included": int(self), "overage": ALLOW if self.overage is UNLIMITED else int(self.overage)}


def included_of(size: LimitValue) -> LimitValue:
    """Return the included amount of a size as a plain int; a size without overage as it is."""
    return int(size) if type(size) is Included else size


def overage_of(size: object) -> int | Unlimited:
    """Return the units that a size allows beyond the included ones; 0 without overage."""
    return size.overage if type(size) is Included else 0


def most_of(size: Size) -> Size:
    """Return the units that a size allows in all: the included ones and the overage."""
    if type(size) is not Included:
        return size
    return UNLIMITED if size.overage is UNLIMITED else min(MAX_COUNT, int(size) + size.overage)


def at_once(limit: Limit, size: Size) -> Size:
    """Return the most units that one charge can take of a limit: with overage more than what is included."""
    return most_of(size) if type(size) is Included else limit.capacity(size)


def units_beyond(size: object, used: int | None) -> int:
    """Return the units of overage among *used* ones; 0 for a size without overage."""
    return max(0, (used or 0) - int(size)) if type(size) is Included else 0


def recorded(size: Size) -> Size:
    """Return a size as stores keep it with what was counted: of overage, only that there was some."""
    return Included(int(size), UNLIMITED) if type(size) is Included else size


def uncapped_size(size: Size) -> Size:
    """Return the size under which any number of units is counted; the included amount stays."""
    return Included(int(size), UNLIMITED) if type(size) is Included else UNLIMITED


def added_sizes(size: LimitValue, amount: LimitValue) -> LimitValue:
    """Return two sizes together: unlimited stays unlimited, not included counts as 0, overage adds up."""
    if size is UNLIMITED or amount is UNLIMITED:
        return UNLIMITED
    if size is NOT_INCLUDED or amount is NOT_INCLUDED:
        return amount if size is NOT_INCLUDED else size
    return _with_overage(int(size) + int(amount), _sum(overage_of(size), overage_of(amount)))


def times(size: LimitValue, quantity: int) -> LimitValue:
    """Return a size *quantity* times."""
    if not isinstance(size, int):
        return size
    overage = overage_of(size)
    return _with_overage(int(size) * quantity, overage if overage is UNLIMITED else overage * quantity)


def _with_overage(included: int, overage: int | Unlimited) -> int:
    return included if overage == 0 else Included(included, overage)


def _sum(one: int | Unlimited, other: int | Unlimited) -> int | Unlimited:
    if isinstance(one, Unlimited) or isinstance(other, Unlimited):
        return UNLIMITED
    return one + other
