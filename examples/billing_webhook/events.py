"""Events of a billing provider, and what each makes of an account. Pure: `app.py` does the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from entitlements import Account, Change, Trial

PRICES = {
    "price_small_monthly": "small-business",
    "price_mid_monthly": "mid-market",
    "price_mid_yearly": "mid-market",
    "price_enterprise_yearly": "enterprise",
}
"""The tier that each price of the provider buys."""

FREE = "freemium"
"""The tier without a subscription."""

TYPES = {
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.trial_will_end",
}


class Refused(Exception):
    """An event that cannot be applied as it is; the provider's operator must look at it."""


class Ignored(Exception):
    """An event that says nothing about plans."""


@dataclass(frozen=True)
class BillingEvent:
    """
    What an event says about the subscription of an account.

    Args:
        id: The provider's id of the event.
        type: What happened.
        at: When, by the provider's clock.
        account: The account.
        tier: The tier that is paid for.
        status: `trialing`, `active`, `past_due`, `unpaid` or `canceled`.
        trial_ends: When the trial ends, if there is one.
        ends: When the subscription ends, if it was cancelled at the end of its period.
    """

    id: str
    type: str
    at: datetime
    account: str
    tier: str
    status: str
    trial_ends: datetime | None
    ends: datetime | None


def event_of(document: object) -> BillingEvent:
    """
    Return the event that a JSON document is.

    Raises:
        ValueError: If it is no event.
        Ignored: If it is about something else than subscriptions.
        Refused: If its price is unknown.
    """
    try:
        kind = document["type"]
        if kind not in TYPES:
            raise Ignored(f"{kind} says nothing about plans")
        subscription = document["data"]["object"]
        price = subscription["items"]["data"][0]["price"]["id"]
        at_end = subscription["current_period_end"] if subscription.get("cancel_at_period_end") else None
        names = document["id"], subscription["customer"], subscription["status"]
        moments = [moment_of(each) for each in (document["created"], subscription.get("trial_end"), at_end)]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"this is no event of a subscription: {type(error).__name__} {error}") from None
    if not all(isinstance(name, str) and name for name in names) or moments[0] is None:
        raise ValueError("this is no event of a subscription: it needs id, created, customer and status")
    if price not in PRICES:
        raise Refused(f"price {price!r} is unknown; add it to PRICES, and send the event again")
    id, customer, status = names
    return BillingEvent(id, kind, moments[0], customer, PRICES[price], status, *moments[1:])


def moment_of(seconds: int | None) -> datetime | None:
    """Return the instant of a Unix time in seconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def account_after(event: BillingEvent, account: Account | None) -> Account:
    """Return the account as the event leaves it; overrides, grants and add-ons stay as they are."""
    found = account or Account(event.account, FREE)
    if event.type.endswith("trial_will_end"):
        ends = event.trial_ends or event.at
        return replace(found, attributes={**found.attributes, "trial_ends_soon": ends.isoformat()})
    if event.type.endswith("deleted") or event.status == "canceled":
        return replace(found, tier=FREE, trial=None, changes=(), status="active")
    on_trial = event.status == "trialing" and event.trial_ends is not None
    changes = () if event.ends is None else (Change(FREE, at=event.ends),)
    return replace(
        found,
        tier=FREE if on_trial else event.tier,
        trial=Trial(event.tier, None, event.trial_ends) if on_trial else None,
        changes=changes,
        status="suspended" if event.status == "unpaid" else "active",
    )
