"""The page that previews another tier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entitlements.console.visit import PageError
from entitlements.model.display import in_words
from entitlements.presentation.formatting import format_named

if TYPE_CHECKING:
    from starlette.responses import Response

    from entitlements.console.visit import Visit
    from entitlements.model.policy import PolicyData
    from entitlements.tiering.changes import ChangePreview


async def preview(visit: Visit) -> Response:
    """Return the page that shows the effects of another tier, and changes nothing."""
    account = await visit.account(visit.param("id"))
    tier = visit.param("tier")
    tiers = [each for each in visit.policy.tiers.values() if each.trial is None]
    if not tier:
        return visit.render("preview.html", account=account, tab="preview", tier="", tiers=tiers, shown=None)
    if visit.policy.tier(tier) is None:
        raise PageError(400, f"There is no tier {tier!r} in the policy.")
    try:
        found = await visit.services.enforcer.plan_change(account, tier)
    except ValueError as error:
        raise PageError(422, str(error)) from None
    shown = preview_values(visit.policy, found)
    return visit.render("preview.html", account=account, tab="preview", tier=found.to_tier, tiers=tiers, shown=shown)


def preview_values(policy: PolicyData, found: ChangePreview) -> dict[str, Any]:
    """Return a preview as its template shows it."""

    def named(name: str, value: object) -> str:
        return format_named(policy, name, value)

    values = {**found.services_lost, **found.services_gained, **found.services_changed}
    kinds = [
        *((key, "lost") for key in found.services_lost),
        *((key, "gained") for key in found.services_gained),
        *((key, "changed") for key in found.services_changed),
    ]
    return {
        "found": found,
        "notice": in_words(found.notice) if found.notice else "",
        "limits": [
            (each.limit, named(each.limit, each.before), named(each.limit, each.after), each.text.partition("; ")[2], each.over)
            for each in found.limits.values()
        ],
        "values": [(key, kind, named(key, values[key].before), named(key, values[key].after)) for key, kind in kinds],
        "capped": [(each.name, named(each.name, each.value), named(each.name, each.instead_of), each) for each in found.capped],
    }  # fmt: skip
