"""The page of the plan matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.presentation.matrix.comparison import matrix_of, ranked_tiers

if TYPE_CHECKING:
    from starlette.responses import Response

    from entitlements.console.visit import Visit


async def plans(visit: Visit) -> Response:
    """Return the page that compares the tiers of the policy, one table for each product line."""
    policy = visit.policy
    lines = dict.fromkeys(tier.line for tier in policy.tiers.values())
    tiers = [ranked_tiers(policy, line=line) for line in lines]
    return visit.render("plans.html", matrices=[matrix_of(policy, each) for each in tiers if each])
