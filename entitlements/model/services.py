"""The services of a policy: their catalogue, cost, and frequency in each tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.tier import Tier

PREFIX = "service."
"""Prefix of the feature of a service: `can(account, "service.health-check")`."""


@dataclass(frozen=True, slots=True)
class Service:
    """
    One service for customers.

    Args:
        id: Its name in the policy.
        name: Its name for people.
        about: A description.
        cost: The cost of delivering it once; None if not known.
        margin: The mark-up on cost for its assessed value: 0.3 is cost times 1.3.
        times: Deliveries a year if the tier gives no number; None if not known.
        self_service: True if the customer needs no staff for it.
    """

    id: str
    name: str
    about: str
    cost: Decimal | None = None
    margin: Decimal | None = None
    times: Decimal | None = None
    self_service: bool = False

    @property
    def feature(self) -> str:
        """The feature that entitles an account to it."""
        return PREFIX + self.id


Frequencies = Mapping[str, Mapping[str, Decimal]]
"""Deliveries a year of each service, by tier; inherited services are filled in."""


@dataclass(frozen=True, slots=True)
class Services:
    """
    The catalogue of services and their frequency in each tier.

    Args:
        catalogue: By id, in the order of the files.
        variants: Alternative frequencies, by name.
        variant: The name of the variant in force.
        against: The criterion to compare the cost of services with, such as the annual value.
        over: An account is over-serviced if its services cost more than this percentage of *against*.
        under: An account is under-serviced if its services cost less than this percentage of *against*.
    """

    catalogue: Mapping[str, Service] = field(default_factory=dict)
    variants: Mapping[str, Frequencies] = field(default_factory=dict)
    variant: str = ""
    against: str = ""
    over: Decimal | None = None
    under: Decimal | None = None

    def frequencies(self, tier: str) -> Mapping[str, Decimal]:
        """Return the services of *tier* in the variant in force, each with its deliveries a year."""
        return self.variants.get(self.variant, {}).get(tier, {})


def with_services(tiers: Mapping[str, Tier], services: Services) -> Mapping[str, Tier]:
    """Return the tiers with the features of their services in the variant in force, in place of those of another."""
    every = frozenset(service.feature for service in services.catalogue.values())
    return FrozenDict({id: _with_services(tier, services, every) for id, tier in tiers.items()})


def _with_services(tier: Tier, services: Services, every: frozenset[str]) -> Tier:
    given = (services.catalogue.get(id) for id in services.frequencies(tier.id))
    own = frozenset(service.feature for service in given if service is not None)
    origins = {name: by for name, by in tier.origins.items() if name not in every} | dict.fromkeys(own, tier.id)
    return replace(tier, features=(tier.features - every) | own, origins=FrozenDict(origins))
