"""Profit and budget of each tier, and the price of one service more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from entitlements.model.account import Account
from entitlements.model.display import fields_in_json
from entitlements.model.policy import PolicyData
from entitlements.tiering.service_costs import BaseServices, GroupServices, serve_base
from entitlements.tiering.services import cost_of, services_of
from entitlements.tiering.value_faults import written_number

BUDGET = "segment.service-budget"
"""The value of a tier that says what serving its accounts may cost in a year."""


@dataclass(frozen=True, slots=True)
class TierProfit:
    """
    The money of a tier in a year.

    Args:
        tier: The tier's id; None for the whole base.
        accounts: Number of accounts.
        pays: What they pay, where that is known.
        cost: What serving them costs.
        profit: The difference.
        margin: The profit in percent of what they pay; None if that is 0.
        value: The assessed value of their services.
        budget: The budget of the tier's services; None if the policy has none.
        left: The budget less the cost; below 0 if it is exceeded.
    """

    tier: str | None
    accounts: int
    pays: Decimal
    cost: Decimal
    profit: Decimal
    margin: Decimal | None
    value: Decimal
    budget: Decimal | None
    left: Decimal | None

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class ServicePrice:
    """
    One delivery of a service more.

    Args:
        service: Its id.
        name: Its name.
        cost: The cost of one delivery; None if not known.
        price: That cost with the margin: the assessed value of one delivery; None if not known.
        qualified: The tiers whose average account pays for one delivery a year more within the policy's bound.
    """

    service: str
    name: str
    cost: Decimal | None
    price: Decimal | None
    qualified: tuple[str, ...]

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class BaseProfit:
    """The money of a base: by tier, higher tiers first and the whole last, and the services by their price."""

    tiers: tuple[TierProfit, ...]
    services: tuple[ServicePrice, ...]

    to_dict = fields_in_json


def profit(policy: PolicyData, accounts: Iterable[Account], *, now: int) -> BaseProfit:
    """
    Return the profit of each tier and of the base, and the price of one service more.

    Args:
        policy: The policy in force, with services.
        accounts: The accounts, read under the policy.
        now: Microseconds.

    Raises:
        ValueError: For a policy without services.
        UnknownAccount: For an account with an unknown tier.
    """
    served = serve_base(policy, accounts, now=now)
    budgets = {tier: written_number(policy.tiers[tier].values.get(BUDGET)) for tier in policy.tiers}
    known = [budget for group in served.tiers if (budget := budgets.get(group.tier or "")) is not None]
    whole = sum(known, Decimal(0)) if len(known) == len(served.tiers) else None
    tiers = [_profit(group, budgets.get(group.tier or "")) for group in served.tiers]
    return BaseProfit((*tiers, _profit(served.whole, whole)), tuple(_prices(policy, served)))


def _profit(group: GroupServices, budget: Decimal | None) -> TierProfit:
    gain = group.against - group.cost
    margin = None if not group.against else (gain * 100 / group.against).quantize(Decimal("0.1"))
    left = None if budget is None else budget - group.cost
    return TierProfit(group.tier, group.accounts, group.against, group.cost, gain, margin, group.value, budget, left)


def _prices(policy: PolicyData, served: BaseServices) -> Iterable[ServicePrice]:
    services = services_of(policy)
    bound = Decimal(100) if services.over is None else services.over
    for service in services.catalogue.values():
        cost = cost_of(service, Decimal(1))
        price = None if cost is None or service.margin is None else cost * (1 + service.margin)
        qualified = (
            group.tier
            for group in served.tiers
            if group.tier is not None
            and cost is not None
            and (group.cost + cost * group.accounts) * 100 <= group.against * bound
        )
        yield ServicePrice(service.id, service.name, cost, price, tuple(qualified))
