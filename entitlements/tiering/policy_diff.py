"""What another policy changes: for each tier, for each limit's definition, and for real accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from entitlements.errors import AccountError, UnknownAccount
from entitlements.model.account import Account, Override
from entitlements.model.display import in_json
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Limit, Rate
from entitlements.model.policy import Policy
from entitlements.tiering.differences import ChangeDirection, Difference, EntitlementKind, of_entitlements, of_tiers

Resolve = Callable[[Policy, Account], Entitlements]
"""Resolves an account under a policy, at the instant that the question is about."""

RESTARTING_FIELDS = ("kind", "algorithm", "window")
"""What cannot change without that the limit's meters start anew."""


@dataclass(frozen=True, slots=True)
class TierDiff:
    """
    How one tier changes.

    Args:
        tier: Its id.
        presence: `added`, `removed`, or `changed`.
        differences: What it has more of, less of, or otherwise.
    """

    tier: str
    presence: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class LimitDiff:
    """
    How a limit's definition changes.

    Args:
        limit: Its name.
        presence: `added`, `removed`, or `changed`.
        changes: Each part of the definition that changes, before and after.
        restarts: Whether its meters start anew.
    """

    limit: str
    presence: str
    changes: Mapping[str, tuple[object, object]]
    restarts: bool


@dataclass(frozen=True, slots=True)
class OverLimit:
    """An account uses more of a limit than it will have."""

    limit: str
    used: int
    size: object


@dataclass(frozen=True, slots=True)
class AccountDiff:
    """
    What one account gains and loses.

    Args:
        account: Its id.
        tier_before: The tier in force under the old policy; None for a tier that it does not know.
        tier_after: The tier in force under the new one.
        differences: What it has more of, less of, or otherwise.
        over: The limits of which it uses more than it will have, and did not before.
        redundant: Overrides that say from now on what the account has without them.
        problem: Why it cannot be served under the new policy; None if it can.
    """

    account: str
    tier_before: str | None
    tier_after: str | None
    differences: tuple[Difference, ...] = ()
    over: tuple[OverLimit, ...] = ()
    redundant: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def gains(self) -> bool:
        """Whether it has more of anything."""
        return any(each.direction is ChangeDirection.GAINED for each in self.differences)

    @property
    def loses(self) -> bool:
        """Whether it has less of anything, or is not served at all."""
        return self.problem is not None or any(each.direction is ChangeDirection.LOST for each in self.differences)

    def __bool__(self) -> bool:
        """Return whether anything changes."""
        return bool(self.differences or self.over or self.redundant or self.problem)

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "account": self.account,
            "tier": {"before": self.tier_before, "after": self.tier_after},
            "differences": [each.to_dict() for each in self.differences],
            "over": [{"limit": each.limit, "used": each.used, "size": in_json(each.size)} for each in self.over],
            "redundant_overrides": list(self.redundant),
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """
    How two policies differ, whoever lives under them.

    Args:
        before: The old one's version.
        after: The new one's.
        tiers: The tiers that change, those of the new policy first.
        limits: The limits whose definitions change.
    """

    before: str
    after: str
    tiers: tuple[TierDiff, ...]
    limits: tuple[LimitDiff, ...]

    @property
    def takes_away(self) -> bool:
        """Whether any tier has less of anything, or is gone, or any meter starts anew."""
        less = any(
            tier.presence == "removed" or any(each.direction is ChangeDirection.LOST for each in tier.differences)
            for tier in self.tiers
            if tier.presence != "added"
        )
        return less or any(each.restarts or each.presence == "removed" for each in self.limits)

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return bool(self.tiers or self.limits)

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "before": self.before,
            "after": self.after,
            "takes_away": self.takes_away,
            "tiers": [
                {"tier": each.tier, "presence": each.presence, "differences": [one.to_dict() for one in each.differences]}
                for each in self.tiers
            ],
            "limits": [
                {
                    "limit": each.limit, "presence": each.presence, "restarts": each.restarts,
                    "changes": {name: [in_json(was), in_json(is_)] for name, (was, is_) in each.changes.items()},
                }
                for each in self.limits
            ],
        }  # fmt: skip


def diff(old: Policy, new: Policy) -> PolicyDiff:
    """Return how *new* differs from *old*."""
    tiers = [_tier_diff(old, new, id) for id in dict.fromkeys((*new.tiers, *old.tiers))]
    limits = [_limit_diff(old, new, name) for name in dict.fromkeys((*new.limits, *old.limits))]
    return PolicyDiff(
        old.version,
        new.version,
        tuple(each for each in tiers if each.differences or each.presence != "changed"),
        tuple(each for each in limits if each.changes or each.presence != "changed"),
    )


def diff_account(
    old: Policy, new: Policy, account: Account, resolve: Resolve, usage: Mapping[str, int] | None = None
) -> AccountDiff:
    """
    Return what *account* gains and loses when *new* comes into force.

    Args:
        old: The policy in force.
        new: The policy that will be.
        account: Whose.
        resolve: Resolves an account under a policy.
        usage: Units used by limit; what is absent is not known, and lands over nothing.
    """
    try:
        before = resolve(old, account)
    except (AccountError, UnknownAccount) as error:
        return AccountDiff(account.id, None, None, problem=f"under the old policy already: {error}")
    try:
        after = resolve(new, account)
    except (AccountError, UnknownAccount) as error:
        return AccountDiff(account.id, before.tier, None, problem=str(error))
    differences = of_entitlements(before, after)
    return AccountDiff(
        account.id,
        before.tier,
        after.tier,
        differences,
        tuple(_over(differences, usage or {})),
        tuple(
            each.name
            for each in account.overrides
            if _is_redundant(new, account, after, each, resolve)
            and not _is_redundant(old, account, before, each, resolve)
        ),
    )


def _tier_diff(old: Policy, new: Policy, id: str) -> TierDiff:
    before, after = old.tiers.get(id), new.tiers.get(id)
    if before is None or after is None:
        return TierDiff(id, "added" if before is None else "removed", ())
    return TierDiff(id, "changed", of_tiers((old, before), (new, after)))


def _limit_diff(old: Policy, new: Policy, name: str) -> LimitDiff:
    before, after = old.limits.get(name), new.limits.get(name)
    if before is None or after is None:
        return LimitDiff(name, "added" if before is None else "removed", {}, restarts=False)
    was, is_ = _definition(before), _definition(after)
    changes = {
        part: (was.get(part), is_.get(part)) for part in dict.fromkeys((*was, *is_)) if was.get(part) != is_.get(part)
    }
    return LimitDiff(
        name, "changed", changes, any(part in RESTARTING_FIELDS and _was_counted(before) for part in changes)
    )


def _was_counted(limit: Limit) -> bool:
    """Say whether a limit had meters: a rate that no tier sizes has no window, and so none."""
    return not isinstance(limit, Rate) or bool(limit.window)


def _definition(limit: Limit) -> dict[str, object]:
    parts = {
        each.name: getattr(limit, each.name) for each in fields(limit) if each.name not in {"name", "about", "unit"}
    }
    return {"kind": type(limit).__name__.lower(), **parts}


def _over(differences: tuple[Difference, ...], usage: Mapping[str, int]) -> list[OverLimit]:
    """Return the limits that shrink below what is used of them."""
    lowered = [
        each for each in differences if each.kind is EntitlementKind.LIMIT and each.direction is ChangeDirection.LOST
    ]
    return [
        OverLimit(each.name, usage[each.name], each.after)
        for each in lowered
        if each.name in usage and usage[each.name] > _most(each.after)
    ]


def _most(size: object) -> float:
    if size is UNLIMITED:
        return float("inf")
    return 0 if size is NOT_INCLUDED else float(size)  # type: ignore[arg-type]


def _is_redundant(
    policy: Policy, account: Account, with_it: Entitlements, override: Override, resolve: Resolve
) -> bool:
    """Say whether an override that is in force says what the account would have without it."""
    winner, _ = with_it.adjustments.get(override.name, (None, ()))
    if winner != f"override:{override.name}":
        return False
    rest = tuple(each for each in account.overrides if each.name != override.name)
    without = resolve(policy, replace(account, overrides=rest))
    return not any(each.name == override.name for each in of_entitlements(without, with_it))
