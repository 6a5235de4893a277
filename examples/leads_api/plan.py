"""Data of the plan page: an account's plan, its meters, and what the next tier adds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from entitlements import NOT_INCLUDED, UNLIMITED
from entitlements.tiering.differences import ChangeDirection, EntitlementKind, of_tiers

NEARLY = 80
"""Percentage of a limit from which a meter is highlighted."""


@dataclass(frozen=True)
class Meter:
    """One limit as a bar; *percent* is None for a limit without a bar."""

    name: str
    about: str
    used: str
    size: str
    percent: int | None
    state: str
    note: str


def plan_of(account, snapshot, usage):
    """
    Return the variables of the template.

    Args:
        account: The `Account`, or None for one that is not in the directory.
        snapshot: Its `Entitlements`.
        usage: `{limit: Usage}`, from the store.
    """
    policy, tier = snapshot.policy, snapshot.policy.tier(snapshot.tier)
    higher = sorted(
        (each for each in policy.tiers.values() if tier and each.rank > tier.rank and not each.trial),
        key=lambda each: each.rank,
    )
    return {
        "account": account,
        "name": (account.attributes.get("name") if account else None) or snapshot.account,
        "tier": tier,
        "trial": tier is not None and account is not None and tier.id != account.tier,
        "valid_until": snapshot.valid_until,
        "meters": [meter(policy, name, usage[name]) for name in policy.limits if name in usage],
        "features": features(snapshot),
        "next": higher[0] if higher else None,
        "adds": adds(policy, tier, higher[0]) if higher else [],
    }


def meter(policy, name, usage):
    """Return the bar of one limit."""
    limit = policy.limits[name]
    about, per = limit.about or name, f" per {window(limit)}" if window(limit) else ""
    if usage.limit is NOT_INCLUDED or usage.limit == 0:
        return Meter(name, about, "", "not in your plan", None, "absent", "")
    used = amount(limit, usage.used or 0)
    if usage.limit is UNLIMITED:
        return Meter(name, about, used, "unlimited", None, "free", "")
    percent = min(100, 100 * (usage.used or 0) // usage.limit)
    state = "full" if (usage.used or 0) >= usage.limit else "nearly" if percent >= NEARLY else "fine"
    note = f"{amount(limit, usage.remaining)} left"
    if usage.reserved:
        note += f", {amount(limit, usage.reserved)} reserved"
    if usage.resets_at and usage.used:
        at = "" if not (usage.resets_at.hour or usage.resets_at.minute) else f" {usage.resets_at:%H:%M} UTC"
        note += f", resets {usage.resets_at:%-d %B}{at}"
    size = amount(limit, usage.limit) + (" at once" if has_burst(limit) else per)
    return Meter(name, about, used, size, percent, state, note)


def features(snapshot):
    """Return every feature as (name, level, whether the account has it)."""
    found = []
    for name, feature in snapshot.policy.features.items():
        level = (snapshot.value(name) or "") if feature.levels else ""
        found.append((words(name), level, snapshot.can(name)))
    return sorted(found)


def adds(policy, tier, above):
    """Return what the next tier adds, as (what, from, to)."""
    found = []
    for each in of_tiers((policy, tier), (policy, above)):
        if each.direction is not ChangeDirection.GAINED or each.kind is EntitlementKind.VALUE:
            continue
        about = words(each.name)
        if each.kind is EntitlementKind.LIMIT:
            limit = policy.limits[each.name]
            about = limit.about or about
            per = f" per {window(limit)}" if window(limit) else ""
            burst = f", at most {limit.burst:,} at once" if has_burst(limit) else ""
            found.append((about, sized(limit, each.before), sized(limit, each.after) + per + burst))
        else:
            before = "" if each.before in (NOT_INCLUDED, "none") else each.before
            found.append((about, before, "" if each.after is True else each.after))
    return found


def sized(limit, size):
    return "" if size is NOT_INCLUDED or size == 0 else amount(limit, size)


def amount(limit, units):
    """Return units as text: bytes in MB or GB."""
    if units is UNLIMITED or units is None:
        return "unlimited"
    if limit.unit == "byte":
        for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
            if units >= size:
                return f"{units / size:.1f}".removesuffix(".0") + f" {unit}"
        return f"{units} B"
    return f"{units:,}"


def window(limit):
    """Return the window of a rate or the period of a quota, as text."""
    period = getattr(limit, "period", None)
    if period:
        return str(period)
    lasts = timedelta(microseconds=getattr(limit, "window", 0))
    return {timedelta(minutes=1): "minute", timedelta(hours=1): "hour", timedelta(days=1): "day"}.get(lasts, "")


def has_burst(limit):
    """Return whether a token bucket has a burst of its own; its meter then shows what is left of that."""
    return getattr(limit, "burst", None) is not None


SPELT = {"api": "API", "sla": "SLA", "sso": "single sign-on"}


def words(name):
    """Return the display name of a feature."""
    text = " ".join(SPELT.get(word, word) for word in name.split("-"))
    return text[0].upper() + text[1:]
