"""Differences between two policies: by tier, by limit definition, and for real accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import cast

from entitlements.errors import AccountError, UnknownAccount
from entitlements.model.account import Account, Override
from entitlements.model.display import attributes_in_json, fields_in_json
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import Limit, PeriodLength, Rate, Size
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.tiering.differences import ChangeDirection, Difference, EntitlementKind, of_entitlements, of_tiers

Resolve = Callable[[PolicyData, Account], Entitlements]
"""Resolves an account under a policy, at the instant of the comparison."""

_SALE_FIELDS = ("rank", "line", "retired")
"""Parts of a tier that say how it is sold."""

RESTARTING_FIELDS = ("kind", "algorithm", "window")
"""Parts of a definition whose change resets the limit's meters."""


_PERIODS: Mapping[object, int] = {each: at for at, each in enumerate(PeriodLength, 1)}


@dataclass(frozen=True, slots=True)
class TierDiff:
    """
    The change of one tier.

    Args:
        tier: Its id.
        presence: `added`, `removed`, or `changed`.
        differences: Its differences by name.
        sale: The changes of its rank, its product line and whether it is sold, each as (before, after).
    """

    tier: str
    presence: str
    differences: tuple[Difference, ...]
    sale: Mapping[str, tuple[object, object]] = field(default_factory=dict)

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class LimitDiff:
    """
    The change of a limit's definition.

    Args:
        limit: Its name.
        presence: `added`, `removed`, or `changed`.
        restarts: True if its meters are reset.
        changes: The changed parts of the definition, each as (before, after).
    """

    limit: str
    presence: str
    restarts: bool
    changes: Mapping[str, tuple[object, object]]

    to_dict = fields_in_json

    @property
    def meters(self) -> str:
        """The consequence for its meters, for people; empty if there is none."""
        if self.restarts:
            return "its meters start anew"
        if "period" in self.changes:
            after = self.changes["period"][1]
            return f"its meters go on; the running period {'never ends' if after == PeriodLength.LIFETIME else f'ends with the {after}'}"
        return "a scope goes on with the meter of its id" if "per" in self.changes else ""

    @property
    def lengthens(self) -> bool:
        """True if a quota has longer periods: the same units must last longer."""
        before, after = (_PERIODS.get(each, 0) for each in self.changes.get("period", (None, None)))
        return 0 < before < after


@dataclass(frozen=True, slots=True)
class AddOnDiff:
    """
    The change of an add-on.

    Args:
        add_on: Its name.
        presence: `added`, `removed`, or `changed`.
        changes: The changed parts of it, each as (before, after).
    """

    add_on: str
    presence: str
    changes: Mapping[str, tuple[object, object]]

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class OverLimit:
    """A limit of which an account uses more than its new size."""

    limit: str
    used: int
    size: object

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class AccountDiff:
    """
    The change of one account.

    Args:
        account: Its id.
        tier_before: The tier in force under the old policy; None for a tier that it does not know.
        tier_after: The tier in force under the new one.
        differences: Its differences by name.
        over: The reduced limits of which it uses more than the new size.
        redundant: Overrides that become redundant: the account has the same value without them.
        problem: The reason that it cannot be served under the new policy; None if it can.
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
        """True if it gains anything."""
        return any(each.direction is ChangeDirection.GAINED for each in self.differences)

    @property
    def loses(self) -> bool:
        """True if it loses anything, or cannot be served."""
        return self.problem is not None or any(each.direction is ChangeDirection.LOST for each in self.differences)

    def __bool__(self) -> bool:
        """Return True if anything changes."""
        return bool(self.differences or self.over or self.redundant or self.problem)

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return {
            "account": self.account,
            "tier": {"before": self.tier_before, "after": self.tier_after},
            **attributes_in_json(self, ("differences", "over")),
            "redundant_overrides": list(self.redundant),
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """
    The differences between two policies, for any account.

    Args:
        before: The version of the old policy.
        after: The version of the new policy.
        tiers: The tiers that change, those of the new policy first.
        limits: The limits with another definition.
        time_zone: The time zones before and after, by their names; None if they are the same.
        add_ons: The add-ons that change.
    """

    before: str
    after: str
    tiers: tuple[TierDiff, ...]
    limits: tuple[LimitDiff, ...]
    time_zone: tuple[str, str] | None = None
    add_ons: tuple[AddOnDiff, ...] = ()

    @property
    def takes_away(self) -> bool:
        """True if a tier loses anything, if one or an add-on is removed, a meter reset, or a period made longer."""
        less = any(
            tier.presence == "removed" or any(each.direction is ChangeDirection.LOST for each in tier.differences)
            for tier in self.tiers
            if tier.presence != "added"
        )
        less = less or any(each.presence == "removed" for each in self.add_ons)
        return less or any(each.restarts or each.lengthens or each.presence == "removed" for each in self.limits)

    def __bool__(self) -> bool:
        """Return True if anything differs."""
        return bool(self.tiers or self.limits or self.time_zone or self.add_ons)

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return attributes_in_json(self, ("before", "after", "takes_away", "tiers", "limits", "time_zone", "add_ons"))


def diff(old: PolicyData, new: PolicyData) -> PolicyDiff:
    """Return the differences of *new* from *old*."""
    tiers = [_tier_diff(old, new, id) for id in dict.fromkeys((*new.tiers, *old.tiers))]
    limits = [_limit_diff(old, new, name) for name in dict.fromkeys((*new.limits, *old.limits))]
    add_ons = [_add_on_diff(old, new, name) for name in dict.fromkeys((*new.add_ons, *old.add_ons))]
    return PolicyDiff(
        old.version,
        new.version,
        tuple(each for each in tiers if each.differences or each.sale or each.presence != "changed"),
        tuple(each for each in limits if each.changes or each.presence != "changed"),
        None if str(old.time_zone) == str(new.time_zone) else (str(old.time_zone), str(new.time_zone)),
        tuple(each for each in add_ons if each.changes or each.presence != "changed"),
    )


def diff_account(
    old: PolicyData, new: PolicyData, account: Account, resolve: Resolve, usage: Mapping[str, int] | None = None
) -> AccountDiff:
    """
    Return the change of *account* when *new* comes into force.

    Args:
        old: The policy in force.
        new: The new policy.
        account: The account.
        resolve: Resolves an account under a policy.
        usage: Units used by limit; an absent limit is never over its new size.
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


def _tier_diff(old: PolicyData, new: PolicyData, id: str) -> TierDiff:
    before, after = old.tiers.get(id), new.tiers.get(id)
    if before is None or after is None:
        return TierDiff(id, "added" if before is None else "removed", ())
    return TierDiff(id, "changed", of_tiers((old, before), (new, after)), _changes(before, after, _SALE_FIELDS))


def _add_on_diff(old: PolicyData, new: PolicyData, name: str) -> AddOnDiff:
    before, after = old.add_ons.get(name), new.add_ons.get(name)
    if before is None or after is None:
        return AddOnDiff(name, "added" if before is None else "removed", {})
    parts = [each.name for each in fields(before) if each.name not in {"name", "about"}]
    return AddOnDiff(name, "changed", _changes(before, after, parts))


def _changes(before: object, after: object, parts: Iterable[str]) -> dict[str, tuple[object, object]]:
    """Return the named parts that differ, each as (before, after)."""
    values = {part: (_listed(getattr(before, part)), _listed(getattr(after, part))) for part in parts}
    return {part: pair for part, pair in values.items() if pair[0] != pair[1]}


def _listed(value: object) -> object:
    return tuple(sorted(value)) if isinstance(value, frozenset) else value


def _limit_diff(old: PolicyData, new: PolicyData, name: str) -> LimitDiff:
    before, after = old.limits.get(name), new.limits.get(name)
    if before is None or after is None:
        return LimitDiff(name, "added" if before is None else "removed", restarts=False, changes={})
    was, is_ = _definition(before), _definition(after)
    changes = {
        part: (was.get(part), is_.get(part)) for part in dict.fromkeys((*was, *is_)) if was.get(part) != is_.get(part)
    }
    is_moved = None in changes.get("per", ())  # from the account to its scopes, or back: there are no meters yet
    restarts = _was_counted(before) and (is_moved or any(part in RESTARTING_FIELDS for part in changes))
    return LimitDiff(name, "changed", restarts, changes)


def _was_counted(limit: Limit) -> bool:
    """Return True if the limit had meters; a rate without a size in any tier has no window and no meters."""
    return not isinstance(limit, Rate) or bool(limit.window)


def _definition(limit: Limit) -> dict[str, object]:
    parts = {
        each.name: getattr(limit, each.name) for each in fields(limit) if each.name not in {"name", "about", "unit"}
    }
    return {"kind": type(limit).__name__.lower(), **parts}


def _over(differences: tuple[Difference, ...], usage: Mapping[str, int]) -> list[OverLimit]:
    """Return the limits with a new size below the units used."""
    lowered = [
        each for each in differences if each.kind is EntitlementKind.LIMIT and each.direction is ChangeDirection.LOST
    ]
    return [
        OverLimit(each.name, usage[each.name], each.after)
        for each in lowered
        if each.name in usage and usage[each.name] > cast("Size", each.after or 0)
    ]


def _is_redundant(
    policy: PolicyData, account: Account, with_it: Entitlements, override: Override, resolve: Resolve
) -> bool:
    """Return True if an override in force gives the value that the account would have without it."""
    winner, _ = resolution_of(with_it).adjustments.get(override.name, (None, ()))
    if winner != f"override:{override.name}":
        return False
    rest = tuple(each for each in account.overrides if each.name != override.name)
    without = resolve(policy, replace(account, overrides=rest))
    return not any(each.name == override.name for each in of_entitlements(without, with_it))
