"""
Service costs of accounts: cost, assessed value, and their relation to what an account pays.

An unknown figure (a cost, a margin, a frequency, what the account pays) is listed and
adds nothing to a sum. A known cost above the policy's bound is over-servicing, even if
other costs are unknown. Under-servicing needs every cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from entitlements.model.account import Account
from entitlements.model.display import attributes_in_json, fields_in_json, in_json, in_words
from entitlements.model.names import nearest_or_all
from entitlements.model.policy import PolicyData
from entitlements.model.services import Services
from entitlements.rules.resolve import resolve
from entitlements.tiering.criterion_values import Misfit, read_attributes
from entitlements.tiering.numbers import as_number, percent
from entitlements.tiering.services import ServiceLine, cost_of, services_of


class ServiceFit(StrEnum):
    """The relation of what an account pays to the cost of its services."""

    FITTING = "fitting"
    OVER = "over-serviced"
    UNDER = "under-serviced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AccountServices:
    """
    The services of one account in a year.

    Args:
        account: The account's id.
        tier: The tier in force.
        lines: Its services, in the order of the catalogue.
        against: The amount that it pays, by the policy's criterion; None if not known.
        servicing: The relation of that amount to the cost.
        cost: The known cost of its services.
        value: The known assessed value of its services.
        given_cost: The cost of the services delivered; None if deliveries are not known.
        because: The reason, in words.
        unknown: The unknown figures, one sentence each.
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
        """The cost as a percentage of what the account pays; None if that is 0 or not known."""
        return None if self.against is None else percent(_spent(self), self.against)

    @property
    def covered(self) -> bool | None:
        """True if what the account pays covers the cost; None if not known."""
        return None if self.against is None else _spent(self) <= self.against

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        figures = ("account", "tier", "against", "servicing", "cost", "value", "given_cost", "share", "covered")
        return attributes_in_json(self, (*figures, "because", "unknown", "lines"))


@dataclass(frozen=True, slots=True)
class GroupServices:
    """
    The totals of the accounts of a tier, or of the whole base.

    Args:
        tier: The tier's id; None for the whole base.
        accounts: Number of accounts.
        against: The known sum that they pay.
        cost: The cost of their services.
        value: The assessed value of their services.
        known_cost: The cost of the accounts whose payment is known.
        over: The ids of over-serviced accounts, the worst first.
        under: The ids of under-serviced accounts, the worst first.
        unknown: The ids of accounts whose relation is unknown.
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
        """The cost as a percentage of what they pay, where that is known; None if they pay nothing."""
        return percent(self.known_cost, self.against)

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return fields_in_json(self) | {"share": in_json(self.share)}


@dataclass(frozen=True, slots=True)
class BaseServices:
    """
    The services of a base of accounts.

    Args:
        accounts: One per account, in the order of the base.
        tiers: The totals by tier, higher tiers first.
        whole: The totals of the base.
    """

    accounts: tuple[AccountServices, ...]
    tiers: tuple[GroupServices, ...]
    whole: GroupServices = field(default_factory=lambda: _group(None, ()))

    to_dict = fields_in_json


def serve(
    policy: PolicyData, account: Account, *, now: int, given: Mapping[str, int | Decimal] | None = None
) -> AccountServices:
    """
    Return the services of an account in a year, and their relation to what it pays.

    Args:
        policy: The policy in force.
        account: The account, read under the policy.
        now: Microseconds; trials, overrides and add-ons in force then are included.
        given: The deliveries of each service; an absent service was not delivered.

    Raises:
        ValueError: For a policy without services, or unknown services in *given*.
        UnknownAccount: For an account with an unknown tier.
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
            _total(line.cost for line in lines),
            _total(line.value for line in lines),
            None if given is None else _total(cost_of(line.service, line.given) for line in lines),
            "",
            tuple(_unknown(services, lines, pays, misfits)),
        ),
    )


def serve_base(policy: PolicyData, accounts: Iterable[Account], *, now: int) -> BaseServices:
    """
    Return the services of many accounts, with totals by tier.

    Raises:
        ValueError: For a policy without services.
        UnknownAccount: For an account with an unknown tier.
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
            raise ValueError(f"{id!r} is no service{nearest_or_all(id, services.catalogue)}")
        if isinstance(times, bool) or not isinstance(times, int | Decimal) or times < 0:
            raise ValueError(f"{id!r} given {times!r} times; write a number, 0 or more")


def _paid(policy: PolicyData, services: Services, account: Account) -> tuple[Decimal | None, tuple[Misfit, ...]]:
    criterion = policy.assignment.criteria.get(services.against) if policy.assignment else None
    if criterion is None:
        return None, ()
    known, misfits = read_attributes(
        {criterion.name: criterion}, account.attributes, account.id, currency=policy.currency
    )
    return as_number(known.get(criterion.name)), misfits


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


def _total(amounts: Iterable[Decimal | None]) -> Decimal:
    """Return the sum of the known amounts."""
    return sum((each for each in amounts if each is not None), Decimal(0))


def _spent(served: AccountServices) -> Decimal:
    """Return the cost of the services delivered, or of those due if deliveries are not known."""
    return served.cost if served.given_cost is None else served.given_cost


def _judged(services: Services, served: AccountServices) -> AccountServices:
    cost, pays = _spent(served), served.against
    if pays is None:
        return replace(served, because=served.unknown[0])
    share = served.share
    text = f"serving it costs {_plain(cost)}, {in_words(share) + ' % of' if share is not None else 'and it pays'}"
    text = f"{text} {in_words(pays)}"
    if cost * 100 > pays * (Decimal(100) if services.over is None else services.over) or (pays == 0 and cost > 0):
        most = "what it pays" if services.over is None else f"{in_words(services.over)} %"
        return replace(served, servicing=ServiceFit.OVER, because=f"{text}, more than {most}")
    if any(line.cost is None for line in served.lines):
        return replace(served, because=served.unknown[0])
    if services.under is not None and cost * 100 < pays * services.under:
        return replace(served, servicing=ServiceFit.UNDER, because=f"{text}, less than {in_words(services.under)} %")
    return replace(served, servicing=ServiceFit.FITTING, because=text)


def _plain(amount: Decimal) -> str:
    """Return an amount as text, without cents if it is whole."""
    return in_words(int(amount) if amount == amount.to_integral_value() else amount)


def _group(tier: str | None, accounts: Iterable[AccountServices]) -> GroupServices:
    every = tuple(accounts)
    return GroupServices(
        tier,
        len(every),
        _total(each.against for each in every),
        _total(each.cost for each in every),
        _total(each.value for each in every),
        _total(each.cost for each in every if each.against is not None),
        _named(every, ServiceFit.OVER),
        _named(every, ServiceFit.UNDER)[::-1],
        _named(every, ServiceFit.UNKNOWN),
    )


def _named(accounts: tuple[AccountServices, ...], servicing: ServiceFit) -> tuple[str, ...]:
    """Return the ids of accounts with this relation, the highest cost for what they pay first."""
    fitting = [each for each in accounts if each.servicing is servicing]
    return tuple(each.account for each in sorted(fitting, key=_relative_cost, reverse=True))


def _relative_cost(served: AccountServices) -> tuple[bool, Decimal]:
    return not served.against, (_spent(served) / served.against if served.against else _spent(served))
