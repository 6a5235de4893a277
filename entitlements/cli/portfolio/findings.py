"""The findings that the page shows, computed by the library."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from entitlements.cli.base.health import healths
from entitlements.cli.review import BaseReviewer
from entitlements.cli.usage_source import UsageSource
from entitlements.crm.dated_columns import read_engagements
from entitlements.model.instants import to_datetime
from entitlements.policy.sections.readable_values import time_zone
from entitlements.tiering.base.abandonment import Abandonment, abandonment
from entitlements.tiering.base.profit import BaseProfit, profit
from entitlements.tiering.base.renewals import Renewals, renewals
from entitlements.tiering.capacity import Capacity, capacity
from entitlements.tiering.due_lists import DueList, due_list
from entitlements.tiering.reviews import BaseReview, combine_reviews
from entitlements.tiering.service_costs import AccountServices, ServiceFit, serve_base
from entitlements.tiering.transition_cases import case_of
from entitlements.tiering.triggers import Action

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from entitlements.cli.base.loading import LoadedBase
    from entitlements.policy import Policy
    from entitlements.tiering.base.health import AccountHealth
    from entitlements.tiering.base.rows import BaseRow
    from entitlements.tiering.reviews import Review
    from entitlements.tiering.transition_cases import TransitionCase

RENEWAL_DAYS = 90
_ORDER = (Action.CLOSE, Action.DOWNGRADE, Action.UPGRADE, Action.OPTIMISE)


@dataclass(frozen=True, slots=True)
class PortfolioFindings:
    """
    The findings of a portfolio.

    Args:
        policy: The policy.
        now: The instant of the report.
        rows: The accounts by id.
        tiers: The tiers that have accounts, higher tiers first.
        reviews: The reviews.
        moves: The reviews that recommend a change, the most urgent first.
        cases: The case of each move, by account.
        money: Profit by tier; None for a policy without services.
        over: The over-serviced accounts, the worst first.
        health: The health of each account that has a score or a reason to worry.
        renewals: The renewals of the next 90 days.
        quiet: The accounts that have gone quiet.
        due: What is due this week.
        people: The people that the base needs.
        planned: The people that it needs after the recommended moves.
        problems: What cannot be read, and what is not known.
    """

    policy: Policy
    now: datetime
    rows: Mapping[str, BaseRow]
    tiers: tuple[str, ...]
    reviews: BaseReview
    moves: tuple[Review, ...]
    cases: Mapping[str, TransitionCase]
    money: BaseProfit | None
    over: tuple[AccountServices, ...]
    health: tuple[tuple[BaseRow, AccountHealth], ...]
    renewals: Renewals
    quiet: Abandonment
    due: DueList
    people: Capacity
    planned: Capacity
    problems: tuple[str, ...]

    @property
    def today(self) -> date:
        """The day of the report."""
        return self.now.date()


def find(loaded: LoadedBase, source: UsageSource | None, *, id: str = "id") -> PortfolioFindings:
    """
    Return the findings of a base.

    Args:
        loaded: The accounts.
        source: Measures their usage; None if it is not looked at.
        id: The heading of their ids.
    """
    from entitlements.usage_files import last_active

    policy = loaded.policy
    base = loaded.base()
    rows = {row.account: row for row in base.rows}
    reviewer = BaseReviewer(policy, source, loaded.now, loaded.problems)
    reviews = [each for account in loaded.accounts if (each := reviewer.review(account)) is not None]
    moves = [each for each in reviews if each.action is not Action.KEEP]
    moves.sort(key=lambda each: (_ORDER.index(each.action), each.outreach is None, -(rows[each.account].pays or 0)))
    cases = {each.account: case for each in moves if (case := case_of(policy, each, loaded.now, time_zone))}
    money: BaseProfit | None = None
    over: tuple[AccountServices, ...] = ()
    if policy.services is not None:
        money = profit(policy, loaded.accounts, now=loaded.now)
        served = serve_base(policy, loaded.accounts, now=loaded.now)
        by_id = {each.account: each for each in served.accounts}
        worst = (by_id[id] for id in served.whole.over)
        over = tuple(each for each in worst if each.servicing is ServiceFit.OVER and each.against)
    monday = loaded.today - timedelta(days=loaded.today.weekday())
    engagements, faults, missing = read_engagements(loaded.path, policy, id=id)
    week = due_list(
        policy,
        loaded.accounts,
        monday,
        monday + timedelta(days=7),
        zones=time_zone,
        engagements=engagements,
    )
    loaded.remarks += missing
    told = "\n".join(loaded.problems)
    loaded.problems += [str(fault) for fault in faults if f"{fault.file}:{fault.line}: " not in told]
    closing = {each.account for each in moves if each.action is Action.CLOSE}
    staying = [account for account in loaded.accounts if account.id not in closing]
    targets = {each.account: each.to for each in moves if each.to is not None}
    active = last_active(policy, loaded.usage, loaded.today) if loaded.usage is not None else {}
    seen = len(loaded.problems)
    health = tuple(healths(loaded))
    del loaded.problems[seen:]  # the cells were reported with the first reading
    return PortfolioFindings(
        policy,
        to_datetime(loaded.now),
        rows,
        tuple(base.by_tier(policy)),
        combine_reviews(policy, reviews),
        tuple(moves),
        cases,
        money,
        over,
        health,
        renewals(base, today=loaded.today, within=RENEWAL_DAYS),
        abandonment(policy, base, today=loaded.today, active=active),
        week,
        capacity(policy, loaded.accounts, now=loaded.now, engagements=engagements),
        capacity(policy, staying, now=loaded.now, engagements=engagements, moves=targets),
        (*loaded.problems, *loaded.remarks),
    )
