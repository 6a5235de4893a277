"""
Services in a year: how often a tier is given each, what that costs, what it is worth.

    cost a year  = cost of giving it once x times a year
    value a year = cost a year x (1 + margin)

The margin is a mark-up on cost. The source is the funnel paper's steps 2 to 4: interval,
cost, assessed service value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

from entitlements.model.display import in_json
from entitlements.model.names import nearest
from entitlements.model.policy import Policy, Tier
from entitlements.model.services import Service, Services


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """
    One service in a year.

    Args:
        service: Which.
        times: How often it is due; None where nobody has said.
        given: How often it was given; None where nobody looked.
    """

    service: Service
    times: Decimal | None
    given: Decimal | None = None

    @property
    def cost(self) -> Decimal | None:
        """What it costs as often as it is due; None where something is not known."""
        return cost_of(self.service, self.times)

    @property
    def value(self) -> Decimal | None:
        """Its assessed value as often as it is due; None where something is not known."""
        return value_of(self.service, self.times)

    @property
    def beyond(self) -> Decimal | None:
        """How often more it was given than is due; negative where less; None where either is not known."""
        return None if self.given is None or self.times is None else self.given - self.times

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        figures = {name: in_json(getattr(self, name)) for name in ("times", "cost", "value", "given", "beyond")}
        return {"service": self.service.id, "name": self.service.name, **figures}


def cost_of(service: Service, times: Decimal | None) -> Decimal | None:
    """Return what giving a service so many times costs; None where it has no cost or *times* is None."""
    return None if service.cost is None or times is None else service.cost * times


def value_of(service: Service, times: Decimal | None) -> Decimal | None:
    """Return the assessed value of a service given so many times; None where something is not known."""
    cost = cost_of(service, times)
    return None if cost is None or service.margin is None else cost * (1 + service.margin)


def in_variant(policy: Policy, variant: str) -> Policy:
    """
    Return the policy with another variant of its services in force.

    Raises:
        ValueError: For a variant that there is not.
    """
    services = services_of(policy)
    if variant not in services.variants:
        cure = nearest(variant, services.variants) or f"; there are {', '.join(services.variants)}"
        raise ValueError(f"policy {policy.version} has no variant of services {variant!r}{cure}")
    chosen = replace(services, variant=variant)
    every = frozenset(service.feature for service in services.catalogue.values())
    tiers = {id: _changed(tier, chosen, every) for id, tier in policy.tiers.items()}
    return replace(policy, services=chosen, tiers=MappingProxyType(tiers))


def _changed(tier: Tier, services: Services, every: frozenset[str]) -> Tier:
    own = frozenset(services.catalogue[id].feature for id in services.frequencies(tier.id))
    origins = {name: by for name, by in tier.origins.items() if name not in every} | dict.fromkeys(own, tier.id)
    return replace(tier, features=(tier.features - every) | own, origins=MappingProxyType(origins))


def tier_lines(policy: Policy, tier: str) -> tuple[ServiceLine, ...]:
    """
    Return the services that accounts of a tier are given, in the order of the catalogue.

    Raises:
        ValueError: For a tier that there is not, or a policy without services.
    """
    services, known = services_of(policy), policy.tier(tier)
    if known is None:
        raise ValueError(f"policy {policy.version} has no tier {tier!r}{nearest(tier, policy.ids)}")
    given = services.frequencies(known.id)
    return tuple(ServiceLine(each, given[each.id]) for each in services.catalogue.values() if each.id in given)


def services_of(policy: Policy) -> Services:
    """
    Return the services of a policy.

    Raises:
        ValueError: For a policy without any.
    """
    if policy.services is None:
        raise ValueError(f"policy {policy.version} has no services; write a section `services`")
    return policy.services
