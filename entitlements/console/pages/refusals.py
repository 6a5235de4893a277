"""The page of live refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.presentation.sentences import cure_text

if TYPE_CHECKING:
    from starlette.responses import Response

    from entitlements.console.visit import Visit

SHOWN = 200
"""Refusals on the page."""


async def refusals(visit: Visit) -> Response:
    """Return the page of the refusals that this process has seen last."""
    kept, wanted = visit.services.refusals, visit.param("account")
    rows = [
        (each, cure_text(each.decision))
        for each in ([] if kept is None else kept.recent())
        if visit.access.sees(each.decision.account) and wanted in {"", each.decision.account}
    ]
    return visit.render(
        "refusals.html", rows=rows[:SHOWN], more=max(0, len(rows) - SHOWN), account=wanted, is_on=kept is not None
    )
