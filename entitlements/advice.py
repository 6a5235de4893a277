"""Advice on tiers for one resolved account and its usage: health, plan changes, reviews. Functions; the enforcers call them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.policy import counted_limits
from entitlements.resolved_account import require_account
from entitlements.tiering import health as scores
from entitlements.tiering import preview as previews
from entitlements.tiering import reviews
from entitlements.tiering.triggers import MeasuredUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from entitlements.model.usage import Period, Usage
    from entitlements.resolved_account import ResolvedAccount
    from entitlements.tiering.changes import ChangePreview
    from entitlements.tiering.health import Health
    from entitlements.tiering.reviews import Review
    from entitlements.tiering.triggers import FeatureRequest


def health(resolved: ResolvedAccount, measured: Mapping[str, object] | None) -> Health:
    """Return the health score of an account; *measured* defaults to the scores among its attributes."""
    if measured is None:
        attributes = resolved.account.attributes if resolved.account else {}
        measured = scores.scores_in(resolved.entitlements, attributes)
    return scores.health(resolved.entitlements, measured)


def plan_change(
    resolved: ResolvedAccount, usage: Mapping[str, Usage], to: str, *, now: int, at: datetime | None
) -> ChangePreview:
    """Return the preview of moving an account to the tier *to*."""
    account = require_account(resolved)
    return previews.preview(resolved.entitlements.policy, account, to, now=now, usage=usage, at=at)


def reviewed_limits(resolved: ResolvedAccount) -> list[str]:
    """Return the quotas and allocations whose history a review reads."""
    return counted_limits(resolved.entitlements.policy)


def review(
    resolved: ResolvedAccount,
    usage: Mapping[str, Usage],
    history: Mapping[str, tuple[Period, ...]],
    *,
    now: int,
    requests: Iterable[FeatureRequest],
    events: Iterable[str],
) -> Review:
    """Return the review of an account's tier."""
    account, measured = require_account(resolved), MeasuredUsage(usage, history)
    return reviews.review(
        resolved.entitlements.policy, account, now=now, measured=measured, requests=requests, events=events
    )
