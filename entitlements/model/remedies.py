"""Remedies for a refused charge: the tier and the add-on that would have allowed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.decision_fields import facts_of, receipt_of
from entitlements.model.facts import Remedy
from entitlements.model.limits import NOT_INCLUDED, LimitValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.model.decision import Decision


def remedy_of(parts: Sequence[Decision]) -> Remedy | None:
    """
    Return the lowest tier and the first add-on under which every part would have been allowed.

    Args:
        parts: The enforced parts of a refused decision.
    """
    refused = [part for part in parts if not part.allowed]
    some = facts_of(refused[0])
    tier = next((each for each, _ in some.tiers if all(_fits_on(each, part) for part in parts)), None)
    add_on = next(
        (each for each, _ in some.add_ons if all(_holds(facts_of(part).add_ons, each, part) for part in refused)), None
    )
    return Remedy(tier, add_on) if tier or add_on else None


def _fits_on(tier: str, part: Decision) -> bool:
    """Return True if *tier* has room; an override decides whatever the tier."""
    return part.allowed if facts_of(part).is_final else _holds(facts_of(part).tiers, tier, part)


def _holds(sizes: tuple[tuple[str, LimitValue], ...], name: str, part: Decision) -> bool:
    """Return True if *sizes* has *name* with room for the units used plus the part's cost."""
    needed = (part.used or 0) + max(1, receipt_of(part).cost)
    return any(each == name and size is not NOT_INCLUDED and size >= needed for each, size in sizes)
