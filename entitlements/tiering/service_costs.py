"""
What serving accounts costs, what it is worth, and whether an account pays for it.

What nobody has said (a cost, a margin, how often, what the account pays) is named and
adds nothing to a sum. More than the policy's bound is over-servicing, whatever else is
not known; under-servicing is said only where every cost is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from entitlements.model.account import Account
from entitlements.model.conditions import CriterionValue
from entitlements.model.criteria import AssignmentRules
from entitlements.model.display import in_json, in_words
from entitlements.model.names import nearest
from entitlements.model.policy import Policy
from entitlements.model.services import Services
from entitlements.rules.resolve import resolve
from entitlements.tiering.attributes import Misfit, read_attributes
from entitlements.tiering.segmentation import percent
from entitlements.tiering.services import ServiceLine, cost_of, services_of


class ServiceFit(StrEnum):
    """Whether what an account pays fits what serving it costs."""

    FITTING = "fitting"
    OVER = "over-serviced"
    UNDER = "under-serviced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AccountServices:
    """
    What serving one account means in a year.

    Args:
        account: The account's id.
        tier: The tier in force.
        lines: Its services, in the order of the catalogue.
        against: What it pays: the criterion that the policy names; None where that is not known.
        servicing: Whether the two fit.
        cost: What its services cost, as far as known.
        value: Their assessed value, as far as known.
        given_cost: What was given cost; None where nobody looked.
        because: Why, in words.
        unknown: What nobody has said, one sentence each.
    """

    account: str
    tier: str
    lines: tuple[ServiceLine, ...]
    against: Decimal | None
    servicing: ServiceFit
    cost: Decimal
    value: Decimal
    given_cost: Decimal | None
    because: str
    unknown: tuple[str, ...] = ()

    @property
    def share(self) -> Decimal | None:
        """The percentage of what it pays that serving it costs; None where that is nothing, or not known."""
        return None if self.against is None else percent(_spent(self), self.against)

    @property
    def covered(self) -> bool | None:
        """Whether what it pays covers what serving it costs; None where that is not known."""
        return None if self.against is None else _spent(self) <= self.against

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        plain = ("account", "tier", "against", "servicing", "cost", "value", "given_cost", "share", "covered")
        figures = {name: in_json(getattr(self, name)) for name in (*plain, "because", "unknown")}
        return {**figures, "lines": [line.to_dict() for line in self.lines]}


@dataclass(frozen=True, slots=True)
class GroupServices:
    """
    The accounts of a tier, or of the whole base, added up.

    Args:
        tier: The tier's id; None for the whole base.
        accounts: How many.
        against: What they pay, as far as known.
        cost: What their services cost.
        value: The assessed value of their services.
        known_cost: The cost of those of whom it is known what they pay.
        over: The ids of the over-serviced, the worst first.
        under: The ids of the under-serviced, the worst first.
        unknown: The ids of those of whom it cannot be told.
    """

    tier: str | None
    accounts: int
    against: Decimal
    cost: Decimal
    value: Decimal
    known_cost: Decimal
    over: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def share(self) -> Decimal | None:
        """The percentage of what they pay that serving them costs, where it is known; None where they pay nothing."""
        return percent(self.known_cost, self.against)

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {name: in_json(getattr(self, name)) for name in (*self.__slots__, "share")}


@dataclass(frozen=True, slots=True)
class BaseServices:
    """
    What serving a base means.

    Args:
        accounts: One each, in the order of the base.
        tiers: By tier, higher ones first.
        whole: All of them.
    """

    accounts: tuple[AccountServices, ...]
    tiers: tuple[GroupServices, ...]
    whole: GroupServices = field(default_factory=lambda: _group(None, ()))

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "accounts": [each.to_dict() for each in self.accounts],
            "tiers": [each.to_dict() for each in self.tiers],
            "whole": self.whole.to_dict(),
        }


def serve(
    policy: Policy, account: Account, *, now: int, given: Mapping[str, int | Decimal] | None = None
) -> AccountServices:
    """
    Return what serving an account means in a year, and whether it pays for it.

    Args:
        policy: The policy in force.
        account: The account, as the policy reads it.
        now: Microseconds: a trial, an override and an add-on count while they are in force.
        given: How often each service was really given; what is left out was not.

    Raises:
        ValueError: For a policy without services, or services in *given* that there are not.
        UnknownAccount: For an account whose tier the policy does not know.
    """
    services = services_of(policy)
    if given is not None:
        _check_given(services, given)
    entitlements = resolve(policy, account, now)
    tier = entitlements.tier or ""
    usual = services.frequencies(tier)
    lines: list[ServiceLine] = []
    for service in services.catalogue.values():
        entitled = entitlements.can(service.feature)
        often = None if given is None else Decimal(given.get(service.id, 0))
        if entitled or often:
            times = usual.get(service.id, service.times) if entitled else Decimal(0)
            lines.append(ServiceLine(service, times, often))
    pays, misfits = _paid(policy, services, account)
    return _judged(
        services,
        AccountServices(
            account.id,
            tier,
            tuple(lines),
            pays,
            ServiceFit.UNKNOWN,
            sum((line.cost or Decimal(0) for line in lines), Decimal(0)),
            sum((line.value or Decimal(0) for line in lines), Decimal(0)),
            None
            if given is None
            else sum((cost_of(each.service, each.given) or Decimal(0) for each in lines), Decimal(0)),
            "",
            tuple(_unknown(services, lines, pays, misfits)),
        ),
    )


def serve_base(policy: Policy, accounts: Iterable[Account], *, now: int) -> BaseServices:
    """
    Return what serving many accounts means, added up by tier.

    Raises:
        ValueError: For a policy without services.
        UnknownAccount: For an account whose tier the policy does not know.
    """
    every = tuple(serve(policy, account, now=now) for account in accounts)
    groups: dict[str, list[AccountServices]] = {}
    for each in every:
        groups.setdefault(each.tier, []).append(each)
    order = sorted(groups, key=lambda id: -policy.tiers[id].rank if id in policy.tiers else 0)
    return BaseServices(every, tuple(_group(tier, groups[tier]) for tier in order), _group(None, every))


def _check_given(services: Services, given: Mapping[str, int | Decimal]) -> None:
    for id, times in given.items():
        if id not in services.catalogue:
            cure = nearest(id, services.catalogue) or f"; there are {', '.join(services.catalogue)}"
            raise ValueError(f"{id!r} is no service{cure}")
        if isinstance(times, bool) or not isinstance(times, int | Decimal) or times < 0:
            raise ValueError(f"{id!r} given {times!r} times; write a number, 0 or more")


def _paid(policy: Policy, services: Services, account: Account) -> tuple[Decimal | None, tuple[Misfit, ...]]:
    rules: AssignmentRules | None = policy.assignment
    criterion = rules.criteria.get(services.against) if rules else None
    if criterion is None:
        return None, ()
    known, misfits = read_attributes(
        {criterion.name: criterion}, account.attributes, account.id, currency=policy.currency
    )
    value: CriterionValue | None = known.get(criterion.name)
    return (Decimal(value) if isinstance(value, Decimal | int) else None), misfits


def _unknown(
    services: Services, lines: list[ServiceLine], pays: Decimal | None, misfits: tuple[Misfit, ...]
) -> Iterator[str]:
    if pays is None:
        yield from map(str, misfits)
        if not misfits:
            yield f"{services.against or 'what the account pays'} is not known"
    for line in lines:
        if line.times is None:
            yield f"how often {line.service.name!r} is given is not said"
        if line.service.cost is None:
            yield f"what {line.service.name!r} costs is not said"
        elif line.service.margin is None:
            yield f"the margin of {line.service.name!r} is not said"


def _spent(served: AccountServices) -> Decimal:
    """Return what was given cost where somebody looked, else what is due."""
    return served.cost if served.given_cost is None else served.given_cost


def _judged(services: Services, served: AccountServices) -> AccountServices:
    cost, pays = _spent(served), served.against
    if pays is None:
        return replace(served, because=served.unknown[0])
    share = served.share
    told = f"serving it costs {_plain(cost)}, {in_words(share) + ' % of' if share is not None else 'and it pays'}"
    told = f"{told} {in_words(pays)}"
    if cost * 100 > pays * (Decimal(100) if services.over is None else services.over) or (pays == 0 and cost > 0):
        most = "what it pays" if services.over is None else f"{in_words(services.over)} %"
        return replace(served, servicing=ServiceFit.OVER, because=f"{told}, more than {most}")
    if any(line.cost is None for line in served.lines):
        return replace(served, because=next(text for text in served.unknown))
    if services.under is not None and cost * 100 < pays * services.under:
        return replace(served, servicing=ServiceFit.UNDER, because=f"{told}, less than {in_words(services.under)} %")
    return replace(served, servicing=ServiceFit.FITTING, because=told)


def _plain(amount: Decimal) -> str:
    """Return an amount in words, without cents where there are none."""
    return in_words(int(amount) if amount == amount.to_integral_value() else amount)


def _group(tier: str | None, accounts: Iterable[AccountServices]) -> GroupServices:
    every = tuple(accounts)
    return GroupServices(
        tier,
        len(every),
        sum((each.against or Decimal(0) for each in every), Decimal(0)),
        sum((each.cost for each in every), Decimal(0)),
        sum((each.value for each in every), Decimal(0)),
        sum((each.cost for each in every if each.against is not None), Decimal(0)),
        _named(every, ServiceFit.OVER),
        _named(every, ServiceFit.UNDER)[::-1],
        _named(every, ServiceFit.UNKNOWN),
    )


def _named(accounts: tuple[AccountServices, ...], servicing: ServiceFit) -> tuple[str, ...]:
    """Return the ids of those that are serviced so, the dearest for what they pay first."""
    fitting = [each for each in accounts if each.servicing is servicing]
    return tuple(each.account for each in sorted(fitting, key=_dearness, reverse=True))


def _dearness(served: AccountServices) -> tuple[bool, Decimal]:
    return not served.against, (_spent(served) / served.against if served.against else _spent(served))
