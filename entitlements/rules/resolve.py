"""
From a policy and an account to what the account may do, at one instant.

Gather first, decide after: which tier is in force (`tiers`), what stands beside it
(`sources`), and then one table per kind of name. Everything takes effect by the clock
at the time of reading, and the result says when it ends.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from entitlements.errors import AccountError, UnknownAccount
from entitlements.model.account import Account, AccountStatus
from entitlements.model.entitlements import Entitlements, TierSource
from entitlements.model.facts import Reason, Verdict
from entitlements.model.limits import NOT_INCLUDED, Rate
from entitlements.model.names import MAX_COUNT, MAX_RATE
from entitlements.model.policy import Policy, Tier, level_answers
from entitlements.rules.sources import ResolvedName, gather_sources, resolve_name
from entitlements.rules.tiers import considered_tiers

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

T = TypeVar("T")


def resolve(policy: Policy, account: Account, now: int) -> Entitlements:
    """
    Return everything that *account* may do at *now*, in microseconds.

    Args:
        policy: The policy in force.
        account: The account, its overrides read as the policy would write them.
        now: The application's clock.

    Raises:
        UnknownAccount: For a tier that the policy does not know, where it says `raise`.
        AccountError: For two overrides of one name in force, and for add-ons and grants
            that raise a limit above what can be counted.
    """
    edges: list[int] = []
    tiers = considered_tiers(policy, account, now, edges)
    if not tiers or tiers[0].verdict is not Verdict.WON:
        return resolve_unknown(
            policy, account.id, f"tier {account.tier!r} is not in the policy", min(edges, default=None)
        )
    tier = tiers[0].tier
    gathered = gather_sources(policy, account, tier, now, edges)
    try:
        touched = {name: resolve_name(policy, tier, name, sources) for name, sources in gathered.items()}
    except AccountError as error:
        raise AccountError(f"account {account.id!r}: {error}") from None
    _check_sizes(policy, account, touched)
    standing = Reason.SUSPENDED if account.status is AccountStatus.SUSPENDED else None
    return Entitlements(
        account.id,
        policy,
        tier,
        standing,
        min(edges, default=None),
        account.anchor,
        _answers(policy, tier, touched, refused=standing is not None),
        _merged(tier.limits, touched, policy.limits),
        _merged(tier.levels, touched, {each.name for each in policy.features.values() if each.levels}),
        _merged(tier.values, touched, policy.keys),
        tuple(tiers),
        adjustments=MappingProxyType({name: (each.winner, each.trace) for name, each in touched.items()}),
    )


def resolve_unknown(
    policy: Policy, id: str, why: str = "there is no such account", expires: int | None = None
) -> Entitlements:
    """
    Return what an unknown account may do, as the policy's `unknown_account` says.

    Raises:
        UnknownAccount: Where the policy says `raise`.
    """
    if policy.unknown_account == "raise":
        raise UnknownAccount(f"account {id!r}: {why}; add it, or let unknown_account say deny or a tier")
    tier = policy.tier(policy.unknown_account)
    if tier is None:
        nothing = MappingProxyType(dict.fromkeys(next(iter(policy.answers.values()), {}), False))
        return Entitlements(id, policy, None, Reason.UNKNOWN_ACCOUNT, expires, None, nothing, {}, {}, {}, note=why)
    source = TierSource(f"tier:{tier.id}", tier, Verdict.WON, f"unknown account: {why}")
    tables = (policy.answers[tier.id], tier.limits, tier.levels, tier.values)
    return Entitlements(id, policy, tier, None, expires, None, *tables, (source,))


def _answers(policy: Policy, tier: Tier, touched: Mapping[str, ResolvedName], *, refused: bool) -> Mapping[str, bool]:
    """Return the tier's table of answers, patched where something else spoke."""
    answers = policy.answers[tier.id]
    if refused:
        return MappingProxyType(dict.fromkeys(answers, False))
    patches: dict[str, bool] = {}
    for name, decided in touched.items():
        if name in policy.limits:
            patches[name] = bool(decided.value)
        elif name in policy.features:
            patches |= _feature_answers(policy, name, decided.value)
    return MappingProxyType({**answers, **patches}) if patches else answers


def _feature_answers(policy: Policy, name: str, value: object) -> dict[str, bool]:
    has = value if isinstance(value, str) and value is not NOT_INCLUDED else None
    return level_answers(policy.features[name], has, switched_on=value is True)


def _merged(table: Mapping[str, T], touched: Mapping[str, ResolvedName], names: Container[str]) -> Mapping[str, T]:
    """
    Return *table* with what was decided for those of *names* that were touched.

    The label of a missing commitment goes with the value that it belonged to.
    """
    patches = {name: each.value for name, each in touched.items() if name in names}
    if not patches:
        return table
    below = tuple(f"{name}.label" for name in patches)
    kept = {name: value for name, value in table.items() if name not in patches and name not in below}
    patched = {name: value for name, value in patches.items() if value is not NOT_INCLUDED}
    return MappingProxyType(kept | patched)  # type: ignore[arg-type]


def _check_sizes(policy: Policy, account: Account, touched: Mapping[str, ResolvedName]) -> None:
    for name, decided in touched.items():
        most = MAX_RATE if isinstance(policy.limits.get(name), Rate) else MAX_COUNT
        if name in policy.limits and isinstance(decided.value, int) and decided.value > most:
            raise AccountError(
                f"account {account.id!r}: {name!r} comes to {decided.value} with its add-ons and grants;"
                f" at most {most} can be counted, lower them or override it with UNLIMITED"
            )
