"""
Resolution: the entitlements of an account under a policy, at one instant.

It finds the tier in force (`tiers`), gathers add-ons, grants and overrides (`sources`),
and then builds one table per kind of name. Everything takes effect by the clock at the
time of resolution. The result carries the instant at which it may change.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import datetime
from typing import TypeVar

from entitlements.errors import AccountError, UnknownAccount
from entitlements.model.account import Account, AccountStatus
from entitlements.model.calendars import Calendar, anchored
from entitlements.model.entitlements import Entitlements
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.limits import NOT_INCLUDED, Rate
from entitlements.model.names import MAX_COUNT, MAX_RATE
from entitlements.model.overage import overage_of
from entitlements.model.policy import PolicyData, cure_of_order, level_answers, resolutions_of
from entitlements.model.prepared import Prepared
from entitlements.model.reasons import Reason, Verdict
from entitlements.model.resolution import Resolution, TierSource
from entitlements.model.tier import Tier
from entitlements.rules.adjustments import ResolvedName, gather_sources, resolve_name
from entitlements.rules.tiers import considered_tiers

T = TypeVar("T")

_MOST_SHARED = 4096
"""Most prepared charges that all accounts of a tier share."""
UNKNOWN = "unknown account: "
"""Begins the note of a tier that the policy gives to unknown accounts."""


def resolve(policy: PolicyData, account: Account, now: int) -> Entitlements:
    """
    Return the entitlements of *account* at *now*.

    Args:
        policy: The policy in force.
        account: The account, with its overrides read under the policy.
        now: The application's clock, in microseconds.

    Raises:
        UnknownAccount: For an unknown tier, if the policy's `unknown_account` is `raise`.
        AccountError: For two overrides of one name in force, and for add-ons and grants
            that raise a limit above the largest count.
    """
    shared = _shared_key(account)
    tables = resolutions_of(policy)[shared] if shared else None
    if tables is not None:
        return Entitlements(account.id, policy, tables)
    edges: list[int] = []
    tiers = considered_tiers(policy, account, now, edges)
    if not tiers or tiers[0].verdict is not Verdict.WON:
        return resolve_unknown(
            policy, account.id, f"tier {account.tier!r} is not in the policy", min(edges, default=None)
        )
    tier = tiers[0].tier
    gathered = gather_sources(policy, account, tier, now, edges)
    try:
        resolved = {name: resolve_name(policy, tier, name, sources) for name, sources in gathered.items()}
    except AccountError as error:
        raise AccountError(f"account {account.id!r}: {error}") from None
    _check_sizes(policy, account, resolved)
    refusal = Reason.SUSPENDED if account.status is AccountStatus.SUSPENDED else None
    tables = Resolution(
        tier,
        refusal,
        min(edges, default=None),
        calendar_of(policy, account),
        _answers(policy, tier, resolved, refused=refusal is not None),
        _merged(tier.limits, resolved, policy.limits),
        _merged(tier.levels, resolved, {each.name for each in policy.features.values() if each.levels}),
        _merged(tier.values, resolved, policy.keys),
        tuple(tiers),
        adjustments=FrozenDict({name: (each.winner, each.trace) for name, each in resolved.items()}),
        add_ons=account.add_ons,
        prepared=Prepared(_MOST_SHARED) if shared else Prepared(),
    )
    if shared:
        resolutions_of(policy)[shared] = tables
    return Entitlements(account.id, policy, tables)


def _shared_key(account: Account) -> tuple[object, ...] | None:
    """Return what alone decides about the tables of an account that has nothing of its own; None for any other."""
    anchor = account.anchor
    if account.trial or account.add_ons or account.overrides or account.grants or account.changes:
        return None
    return None if isinstance(anchor, datetime) else (account.tier, account.status, anchor, account.time_zone)


def calendar_of(policy: PolicyData, account: Account) -> Calendar:
    """
    Return the calendar by which the periods of an account begin.

    Raises:
        AccountError: For a time zone that does not exist.
    """
    if account.time_zone is None:
        return anchored(account.anchor, policy.time_zone)
    try:
        return anchored(account.anchor, policy.zones(account.time_zone))
    except ValueError as error:
        raise AccountError(f"account {account.id!r}: time_zone {error}") from None


def resolve_unknown(
    policy: PolicyData, id: str, why: str = "there is no such account", expires: int | None = None
) -> Entitlements:
    """
    Return the entitlements of an unknown account, by the policy's `unknown_account`.

    Raises:
        UnknownAccount: If it is `raise`.
    """
    if policy.unknown_account == "raise":
        cure = cure_of_order(policy, id) or "; add it, or let unknown_account say deny or a tier"
        raise UnknownAccount(f"account {id!r}: {why}{cure}")
    tier = policy.tier(policy.unknown_account)
    if tier is None:
        nothing = dict.fromkeys(next(iter(policy.answers.values()), {}), False)
        unknown = Resolution(
            None, Reason.UNKNOWN_ACCOUNT, expires, Calendar(policy.time_zone), nothing, {}, {}, {}, note=why
        )
        return Entitlements(id, policy, unknown)
    source = TierSource(f"tier:{tier.id}", tier, Verdict.WON, f"{UNKNOWN}{why}")
    tables = (policy.answers[tier.id], tier.limits, tier.levels, tier.values)
    return Entitlements(id, policy, Resolution(tier, None, expires, Calendar(policy.time_zone), *tables, (source,)))


def _answers(
    policy: PolicyData, tier: Tier, resolved: Mapping[str, ResolvedName], *, refused: bool
) -> Mapping[str, bool]:
    """Return the tier's table of answers, with the names that other sources changed."""
    answers = policy.answers[tier.id]
    if refused:
        return dict.fromkeys(answers, False)
    patches: dict[str, bool] = {}
    for name, decided in resolved.items():
        if name in policy.limits:
            patches[name] = bool(decided.value)
        elif name in policy.features:
            patches |= _feature_answers(policy, name, decided.value)
    return {**answers, **patches} if patches else answers


def _feature_answers(policy: PolicyData, name: str, value: object) -> dict[str, bool]:
    has = value if isinstance(value, str) and value is not NOT_INCLUDED else None
    return level_answers(policy.features[name], has, switched_on=value is True)


def _merged(table: Mapping[str, T], resolved: Mapping[str, ResolvedName], names: Container[str]) -> Mapping[str, T]:
    """
    Return *table* with the resolved values of those of *names* that other sources mention.

    If a value is replaced, the label of its missing commitment is dropped.
    """
    patches = {name: each.value for name, each in resolved.items() if name in names}
    if not patches:
        return table
    below = tuple(f"{name}.label" for name in patches)
    kept = {name: value for name, value in table.items() if name not in patches and name not in below}
    patched = {name: value for name, value in patches.items() if value is not NOT_INCLUDED}
    return FrozenDict(kept | patched)  # type: ignore[arg-type]


def _check_sizes(policy: PolicyData, account: Account, resolved: Mapping[str, ResolvedName]) -> None:
    for name, decided in resolved.items():
        most = MAX_RATE if isinstance(policy.limits.get(name), Rate) else MAX_COUNT
        if (
            name in policy.limits
            and isinstance(decided.value, int)
            and int(decided.value) > most - bool(overage_of(decided.value))
        ):
            raise AccountError(
                f"account {account.id!r}: {name!r} comes to {decided.value} with its add-ons and grants;"
                f" at most {most} can be counted, lower them or override it with UNLIMITED"
            )
