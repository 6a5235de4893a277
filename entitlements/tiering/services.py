"""
Services in a year: frequency in a tier, cost and assessed value.

    cost a year  = cost of one delivery x deliveries a year
    value a year = cost a year x (1 + margin)

The margin is a mark-up on cost. The source is the funnel paper's steps 2 to 4: interval,
cost, assessed service value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from entitlements.model.display import attributes_in_json
from entitlements.model.names import nearest, nearest_or_all
from entitlements.model.policy import PolicyData
from entitlements.model.services import Service, Services, with_services


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """
    One service in a year.

    Args:
        service: The service.
        times: Deliveries due; None if not known.
        given: Deliveries made; None if not known.
    """

    service: Service
    times: Decimal | None
    given: Decimal | None = None

    @property
    def cost(self) -> Decimal | None:
        """The cost of the deliveries due; None if not known."""
        return cost_of(self.service, self.times)

    @property
    def value(self) -> Decimal | None:
        """The assessed value of the deliveries due; None if not known."""
        return value_of(self.service, self.times)

    @property
    def beyond(self) -> Decimal | None:
        """Deliveries made minus deliveries due; None if either is not known."""
        return None if self.given is None or self.times is None else self.given - self.times

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        figures = attributes_in_json(self, ("times", "cost", "value", "given", "beyond"))
        return {"service": self.service.id, "name": self.service.name, **figures}


def cost_of(service: Service, times: Decimal | None) -> Decimal | None:
    """Return the cost of *times* deliveries of a service; None if the cost or *times* is not known."""
    return None if service.cost is None or times is None else service.cost * times


def value_of(service: Service, times: Decimal | None) -> Decimal | None:
    """Return the assessed value of *times* deliveries of a service; None if a figure is not known."""
    cost = cost_of(service, times)
    return None if cost is None or service.margin is None else cost * (1 + service.margin)


def in_variant(policy: PolicyData, variant: str) -> PolicyData:
    """
    Return the policy with another variant of its services in force.

    Raises:
        ValueError: For an unknown variant.
    """
    services = services_of(policy)
    if variant not in services.variants:
        cure = nearest_or_all(variant, services.variants)
        raise ValueError(f"policy {policy.version} has no variant of services {variant!r}{cure}")
    chosen = replace(services, variant=variant)
    return replace(policy, services=chosen, tiers=with_services(policy.tiers, chosen))


def tier_lines(policy: PolicyData, tier: str) -> tuple[ServiceLine, ...]:
    """
    Return the services of a tier, in the order of the catalogue.

    Raises:
        ValueError: For an unknown tier, or a policy without services.
    """
    services, known = services_of(policy), policy.tier(tier)
    if known is None:
        raise ValueError(f"policy {policy.version} has no tier {tier!r}{nearest(tier, policy.ids)}")
    given = services.frequencies(known.id)
    return tuple(ServiceLine(each, given[each.id]) for each in services.catalogue.values() if each.id in given)


def services_of(policy: PolicyData) -> Services:
    """
    Return the services of a policy.

    Raises:
        ValueError: For a policy without services.
    """
    if policy.services is None:
        raise ValueError(f"policy {policy.version} has no services; write a section `services`")
    return policy.services
