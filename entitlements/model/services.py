"""What a policy says about the services that accounts are given: what they are, how often, at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

PREFIX = "service."
"""A service is a feature of this name and its own: `can(account, "service.health-check")`."""


@dataclass(frozen=True, slots=True)
class Service:
    """
    One service that customers can be given.

    Args:
        id: Its name in the policy.
        name: Its name for people.
        about: What it is.
        cost: What giving it once costs; None where nobody has said.
        margin: The mark-up on cost that its value is assessed with: 0.3 is cost times 1.3.
        times: How often a year it is given where no tier says; None where nobody has said.
        self_service: The customer helps itself, and nobody of the company has a hand in it.
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
        """The feature that says who is entitled to it."""
        return PREFIX + self.id


Frequencies = Mapping[str, Mapping[str, Decimal]]
"""For each tier, its services with how often a year each is given; what tiers inherit is filled in."""


@dataclass(frozen=True, slots=True)
class Services:
    """
    The catalogue of services, and who gets which.

    Args:
        catalogue: By id, in the order of the files.
        variants: The ways to share them out, by name.
        variant: The name of the one in force.
        against: The criterion that the cost of serving is held against, such as the annual value.
        over: An account whose services cost more than this percentage of it is over-serviced.
        under: One whose services cost less than this percentage of it is under-serviced.
    """

    catalogue: Mapping[str, Service] = field(default_factory=dict)
    variants: Mapping[str, Frequencies] = field(default_factory=dict)
    variant: str = ""
    against: str = ""
    over: Decimal | None = None
    under: Decimal | None = None

    def frequencies(self, tier: str) -> Mapping[str, Decimal]:
        """Return the services of *tier* in the variant in force, each with its times a year."""
        return self.variants.get(self.variant, _NOTHING).get(tier, MappingProxyType({}))


_NOTHING: Frequencies = MappingProxyType({})
