"""
Trials: start, extend and end them, and read their state, as values.

A trial ends by the clock, without a job. The account keeps its own tier underneath. A
trial plan (a tier with `trial:`) bounds the length; a trial of another tier has any length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from entitlements.errors import AccountError
from entitlements.model.account import Account, Trial
from entitlements.model.display import fields_in_json, in_words
from entitlements.model.instants import DAY, MICROSECOND, to_datetime, to_instant, to_timedelta
from entitlements.model.policy import PolicyData
from entitlements.model.tier import Tier
from entitlements.tiering.preview import find_tier, own_tier


class Phase(StrEnum):
    """The phase of a trial by the clock."""

    AHEAD = "ahead"
    RUNNING = "running"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class TrialState:
    """
    The state of a trial at one instant.

    Args:
        tier: The tier of the trial.
        phase: Ahead, running or over.
        starts: Its first instant (aware, UTC); None if not recorded.
        ends: The first instant after it.
        length: Its total length; None without a start.
        left: The time that remains; 0 once it is over.
        days_left: The same in days, rounded up.
        then: The tier that remains after it.
        longest: The latest end that the policy allows; None without a bound.
    """

    tier: str
    phase: Phase
    starts: datetime | None
    ends: datetime
    length: timedelta | None
    left: timedelta
    days_left: int
    then: str
    longest: datetime | None

    to_dict = fields_in_json


def start_trial(
    policy: PolicyData, account: Account, tier: str, now: int, *, length: timedelta | None = None
) -> Account:
    """
    Return the account with a trial of *tier* that begins now.

    Args:
        policy: The policy in force.
        account: The account.
        tier: A tier's id or alias, not below the account's own tier.
        now: Microseconds.
        length: The length; by default that of the trial plan.

    Raises:
        ValueError: For an unknown tier, or a missing length for a tier that is not a trial plan.
        AccountError: For a length out of bounds, a lower tier, or a trial that is not over.
    """
    tried = find_tier(policy, tier)
    state = trial_state(policy, account, now)
    if state is not None and state.phase is not Phase.OVER:
        raise AccountError(f"account {account.id!r}: a trial of {state.tier!r} is {state.phase} until {state.ends}")
    own = own_tier(policy, account, now)
    if not tried.is_at_least(own):
        side = "below" if tried.line == own.line else "in another line than"
        raise AccountError(f"account {account.id!r}: {tried.id!r} is {side} its own tier {own.id!r}; nothing to try")
    duration = _length(tried, length)
    return replace(account, trial=Trial(tried.id, to_datetime(now), to_datetime(now + duration)))


def trial_state(policy: PolicyData, account: Account, now: int) -> TrialState | None:
    """Return the state of the account's trial; None without a trial, or for an unknown tier."""
    trial = account.trial
    tried = policy.tier(trial.tier) if trial else None
    if trial is None or tried is None:
        return None
    starts = None if trial.starts is None else to_instant(trial.starts)
    ends = to_instant(trial.ends)
    left = max(0, ends - max(now, starts if starts is not None else now))
    phase = Phase.OVER if now >= ends else Phase.AHEAD if starts is not None and now < starts else Phase.RUNNING
    longest = None if tried.trial is None or starts is None else to_datetime(starts + tried.trial.longest)
    return TrialState(
        tried.id,
        phase,
        trial.starts,
        trial.ends,
        None if starts is None else to_timedelta(ends - starts),
        to_timedelta(left),
        -(-left // DAY),
        own_tier(policy, account, max(now, ends)).id,
        longest,
    )


def extend_trial(policy: PolicyData, account: Account, now: int, *, by: timedelta) -> Account:
    """
    Return the account with its trial extended.

    Raises:
        AccountError: Without a trial, for one that is over, or for an end beyond the plan's bounds.
        ValueError: For *by* of 0 or less.
    """
    if by <= timedelta():
        raise ValueError(f"by {by} prolongs nothing; pass a timedelta above 0")
    state = _running(policy, account, now)
    ends = state.ends + by
    if state.longest is not None and ends > state.longest:
        room = in_words(state.longest - state.ends) if state.longest > state.ends else "nothing"
        raise AccountError(
            f"account {account.id!r}: the trial of {state.tier!r} would last"
            f" {in_words(ends - state.starts) if state.starts else ''}; it can be prolonged by {room}"
        )
    assert account.trial is not None
    return replace(account, trial=replace(account.trial, ends=ends))


def end_trial(policy: PolicyData, account: Account, now: int) -> Account:
    """
    Return the account with its trial ended now; its own tier remains.

    Raises:
        AccountError: Without a trial, or for one that is over.
    """
    _running(policy, account, now)
    return replace(account, trial=None)


def _running(policy: PolicyData, account: Account, now: int) -> TrialState:
    state = trial_state(policy, account, now)
    if state is None:
        raise AccountError(f"account {account.id!r} has no trial; start one")
    if state.phase is Phase.OVER:
        raise AccountError(f"account {account.id!r}: the trial of {state.tier!r} ended {state.ends}; start another")
    return state


def _length(tried: Tier, length: timedelta | None) -> int:
    terms = tried.trial
    if length is None:
        if terms is None:
            raise ValueError(f"{tried.id!r} is no trial plan, so nothing says how long it is tried; pass length=")
        return terms.default
    duration = length // MICROSECOND
    least, most = (terms.shortest, terms.longest) if terms else (1, duration)
    if not least <= duration <= most:
        bounds = " to ".join(in_words(to_timedelta(bound)) for bound in dict.fromkeys((least, most)))
        raise AccountError(f"a trial of {tried.id!r} lasts {bounds}, not {in_words(length)}")
    return duration
