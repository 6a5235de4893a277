"""
Changes of an account, as values: a function from the account as it stands to the account as it shall be. Pure.

A mistake is refused with its cure. What only a policy can tell (an unknown tier, a downgrade before the end of its
notice, an override that the plan already gives) is checked where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from entitlements.errors import AccountError
from entitlements.model.account import Account, AccountStatus, Change, Grant, Override, Trial
from entitlements.model.display import in_words
from entitlements.model.instants import check_moment, to_datetime, to_instant
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
from entitlements.model.names import check_count, nearest_or_all, shown
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.policy.accounts import bind, read_override
from entitlements.rules.resolve import resolve
from entitlements.tiering.preview import preview


@dataclass(frozen=True, slots=True)
class Scene:
    """
    The policy and the instant by which a change is decided.

    Args:
        policy: The policy in force; None where none is known.
        now: The instant of the change, in microseconds since 1970.
    """

    policy: PolicyData | None
    now: int

    @property
    def moment(self) -> datetime:
        """The instant of the change."""
        return to_datetime(self.now)


Edit = Callable[[Account | None, Scene], Account | None]
"""A change: None for an account that does not exist, or is closed."""


def existing(id: str, edit: Callable[[Account, Scene], Account | None]) -> Edit:
    """Return the change of an account that must exist."""

    def apply(account: Account | None, scene: Scene) -> Account | None:
        if account is None:
            raise AccountError(f"account {id!r}: there is no such account; create it first")
        return edit(account, scene)

    return apply


def create(account: Account) -> Edit:
    """Return the change that makes an account, also in place of one that was closed."""

    def apply(found: Account | None, _: Scene) -> Account:
        if found is not None:
            raise AccountError(f"account {account.id!r} exists, in tier {found.tier!r}; use set_tier, or another id")
        return account

    return apply


def set_tier(id: str, tier: str, at: datetime | None, *, waive_notice: bool) -> Edit:
    """Return the change to another tier, at once or later; it takes the place of the changes that were scheduled."""

    def apply(account: Account, scene: Scene) -> Account:
        wanted = scene.now if at is None else max(scene.now, check_moment(at, "at"))
        passed = sorted(
            (each for each in account.changes if to_instant(each.at) <= scene.now), key=lambda each: each.at
        )
        own = passed[-1].tier if passed else account.tier
        if scene.policy is not None and scene.policy.tier(own) is not None:
            _check_move(scene.policy, account, tier, wanted, scene.now, waive_notice=waive_notice)
        elif own == tier and len(passed) == len(account.changes):
            raise AccountError(f"account {id!r} is in tier {tier!r} already; nothing changes")
        same = (scene.policy.ids.get(own, own) if scene.policy else own) == tier
        if wanted > scene.now and not same:
            return replace(account, tier=own, changes=(Change(tier, at=to_datetime(wanted)),))
        trial = account.trial
        if trial is not None and (_is_below(scene.policy, trial.tier, tier) or to_instant(trial.ends) <= scene.now):
            trial = None  # a trial takes nothing away: the new tier has it all
        return replace(account, tier=tier, changes=(), trial=trial)

    return existing(id, apply)


def _check_move(policy: PolicyData, account: Account, tier: str, wanted: int, now: int, *, waive_notice: bool) -> None:
    try:
        found = preview(policy, bind(policy, account), tier, now=now, at=to_datetime(wanted))
    except ValueError as error:
        if isinstance(error, AccountError):
            raise
        raise AccountError(f"account {account.id!r}: {error}") from None
    if found.from_tier == found.to_tier and not found.replaces:
        raise AccountError(f"account {account.id!r} is in tier {found.to_tier!r} already; nothing changes")
    if to_instant(found.effective) > wanted and not waive_notice:
        raise AccountError(
            f"account {account.id!r}: the {found.way} from {found.from_tier!r} to {found.to_tier!r} has a notice of"
            f" {in_words(found.notice)}; let it be at {found.effective:%Y-%m-%dT%H:%M:%SZ} or later, or waive the notice"
        )


def _is_below(policy: PolicyData | None, tier: str, other: str) -> bool:
    if policy is None:
        return False
    lower, higher = policy.tier(tier), policy.tier(other)
    return lower is not None and higher is not None and not lower.is_at_least(higher)


def override(id: str, wanted: Override) -> Edit:
    """Return the change that sets a final value, in place of the overrides of that name."""

    def apply(account: Account, scene: Scene) -> Account:
        rest = tuple(each for each in account.overrides if each.name != wanted.name)
        if scene.policy is not None:
            _check_needed(scene.policy, replace(account, overrides=rest), wanted, scene.now)
        return replace(account, overrides=(*rest, wanted))

    return existing(id, apply)


def _check_needed(policy: PolicyData, without: Account, wanted: Override, now: int) -> None:
    """Refuse an override of what the account has without it, for as long as nothing else is to change that."""
    try:
        value = read_override(policy, wanted.name, wanted.value)
        start = now if wanted.starts is None else max(now, to_instant(wanted.starts))
        entitlements = resolve(policy, bind(policy, without), start)
    except ValueError as error:
        at = "" if isinstance(error, AccountError) else f"account {without.id!r}: override of {wanted.name!r}: "
        raise AccountError(f"{at}{error}") from None
    if wanted.name in policy.limits:
        has: object = resolution_of(entitlements).limits.get(wanted.name, NOT_INCLUDED)
    elif wanted.name in policy.features:
        found = policy.features[wanted.name]
        has = entitlements.value(wanted.name) if found.levels else entitlements.can(wanted.name)
        value = bool(value) if not found.levels else value
    else:
        has = entitlements.value(wanted.name)
    if has == value and not (without.trial or without.grants or without.changes):
        raise AccountError(
            f"account {without.id!r}: {wanted.name!r} is {shown(has)} already, by tier {entitlements.tier!r} and its"
            " add-ons; leave the override out"
        )


def end_override(id: str, name: str) -> Edit:
    """Return the change that takes the overrides of a name away."""

    def apply(account: Account, _: Scene) -> Account:
        rest = tuple(each for each in account.overrides if each.name != name)
        if len(rest) == len(account.overrides):
            cure = nearest_or_all(name, [each.name for each in account.overrides])
            raise AccountError(f"account {id!r} has no override of {name!r}{cure}")
        return replace(account, overrides=rest)

    return existing(id, apply)


def grant(id: str, wanted: Grant) -> Edit:
    """Return the change that adds a grant."""

    def apply(account: Account, scene: Scene) -> Account:
        if scene.policy is not None and wanted.limit in scene.policy.limits:
            found = resolve(scene.policy, bind(scene.policy, account), scene.now)
            if found.limit(wanted.limit) is UNLIMITED and not (account.trial or account.overrides):
                raise AccountError(
                    f"account {id!r}: {wanted.limit!r} is unlimited already, by tier {found.tier!r}; leave the grant out"
                )
        return replace(account, grants=(*account.grants, wanted))

    return existing(id, apply)


def end_grants(id: str, limit: str) -> Edit:
    """Return the change that takes the grants of a limit away."""

    def apply(account: Account, _: Scene) -> Account:
        rest = tuple(each for each in account.grants if each.limit != limit)
        if len(rest) == len(account.grants):
            cure = nearest_or_all(limit, [each.limit for each in account.grants])
            raise AccountError(f"account {id!r} has no grant of {limit!r}{cure}")
        return replace(account, grants=rest)

    return existing(id, apply)


def add_on(id: str, name: str, quantity: int) -> Edit:
    """Return the change that sets the quantity of an add-on; 0 takes it away."""
    try:
        check_count(quantity, f"quantity of add-on {name!r}", least=0)
    except ValueError as error:
        raise AccountError(f"account {id!r}: {error}") from None

    def apply(account: Account, _: Scene) -> Account:
        has = account.add_ons.get(name, 0)
        if has == quantity:
            said = f"has {quantity} of add-on {name!r}" if quantity else f"has no add-on {name!r}"
            raise AccountError(f"account {id!r} {said} already; give another quantity")
        rest = {each: number for each, number in account.add_ons.items() if each != name}
        return replace(account, add_ons=rest | ({name: quantity} if quantity else {}))

    return existing(id, apply)


def set_trial(id: str, tier: str | None, ends: datetime | None, starts: datetime | None) -> Edit:
    """Return the change that starts a trial, in place of another; None ends it."""

    def apply(account: Account, scene: Scene) -> Account:
        if tier is None:
            if account.trial is None:
                raise AccountError(f"account {id!r} has no trial; nothing changes")
            return replace(account, trial=None)
        begins = scene.moment if starts is None else starts
        until, plan = ends, scene.policy.tier(tier) if scene.policy else None
        if until is None and plan is not None and plan.trial is not None:
            until = to_datetime(check_moment(begins, "starts") + plan.trial.default)
        if until is None:
            raise AccountError(f"account {id!r}: the trial of {tier!r} has no end; give ends=")
        return replace(account, trial=Trial(tier, begins, until))

    return existing(id, apply)


def set_status(id: str, status: AccountStatus) -> Edit:
    """Return the change to a status."""

    def apply(account: Account, _: Scene) -> Account:
        if account.status is status:
            raise AccountError(f"account {id!r} is {status.value} already; nothing changes")
        return replace(account, status=status)

    return existing(id, apply)


def close(id: str) -> Edit:
    """Return the change that closes an account: it is unknown from then on."""
    return existing(id, lambda _account, _scene: None)


def checked(before: Account | None, after: Account | None, scene: Scene) -> Account | None:
    """
    Return the account as it shall be, if the policy can read it.

    Raises:
        AccountError: For what the policy refuses, unless it refuses the account as it stands for the same.
    """
    policy = scene.policy
    if after is None or policy is None:
        return after
    problem = _problem(policy, after)
    if problem and (before is None or problem != _problem(policy, before)):
        raise AccountError(problem)
    return after


def _problem(policy: PolicyData, account: Account) -> str:
    if account.tier not in policy.ids:
        return f"account {account.id!r}: tier {account.tier!r} is not in the policy{nearest_or_all(account.tier, policy.ids)}"
    try:
        bind(policy, account)
    except AccountError as error:
        return str(error)
    return ""


def differences(before: Account | None, after: Account | None) -> Mapping[str, tuple[Any, Any]]:
    """Return the parts of an account that differ, each before and after; those that are not empty where one is None."""
    parts = (
        "tier",
        "status",
        "trial",
        "anchor",
        "time_zone",
        "add_ons",
        "overrides",
        "grants",
        "changes",
        "attributes",
    )
    pairs = {part: (before and getattr(before, part), after and getattr(after, part)) for part in parts}
    return {part: (was, now) for part, (was, now) in pairs.items() if was != now and (was or now)}
