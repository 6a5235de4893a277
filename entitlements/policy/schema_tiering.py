"""Schema models of the tiering sections: assignment, services, segmentations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from entitlements.model.criteria import CriterionKind
from entitlements.policy import schema_fields as fields
from entitlements.policy.schema_fields import Shape


class CriterionShape(Shape):
    """One fact about accounts."""

    kind: Annotated[CriterionKind, Field(strict=False)] | None = None
    """Required: amount (money), count (whole numbers), word, or flag (yes and no)."""

    attributes: fields.UniqueTexts = Field([])
    """Other attributes of an account that may hold it, besides the one with its name."""

    least: fields.Number | None = None
    """Smallest plausible value; a smaller one is reported and ignored."""

    most: fields.Number | None = None
    """Largest plausible value; a larger one is reported and ignored."""

    missing: fields.ScalarField | None = None
    """Value of an account that has none."""

    decimal_comma: bool = Field(False, alias="decimal-comma")
    """Accounts write numbers with a decimal comma, and points between thousands: 50.000,00."""

    about: str = ""
    """One sentence for people."""


class RuleShape(Shape):
    """One rule: accounts that meet `when` belong in `tier`."""

    name: fields.Name | None = None
    """Name of the rule; default: the tier."""

    tier: fields.Name | None = None
    """Required: the tier."""

    when: fields.ConditionField | None = None
    """The condition; without one, every account fits."""

    precedence: bool = False
    """The overlap with later rules is intended: this rule wins."""


class AssignmentShape(Shape):
    """Rules that assign a tier to an account: criteria, ordered rules, signals."""

    binding: fields.Name | None = None
    """Required: the criterion that decides; the others are signals."""

    criteria: dict[fields.Name, CriterionShape] = Field({})
    """Facts about accounts."""

    rules: list[RuleShape] = Field([])
    """In order: the first rule that fits decides."""

    signals: dict[fields.Name, dict[fields.Name, fields.Test]] = Field({})
    """Criteria that vote: the tiers of each, with the values that vote for the tier."""


class ServiceShape(Shape):
    """One service for customers; it is also the feature `service.<id>`."""

    name: fields.Text | None = None
    """Name for people; default: the id."""

    about: fields.Text | None = None
    """Required: one sentence for people."""

    cost: fields.Number | None = None
    """Cost of one delivery, in the policy's currency."""

    margin: fields.Number | None = None
    """Mark-up on cost: 0.3 is cost times 1.3; default: the margin of all services."""

    times: fields.Times | None = None
    """Times per year if no tier says otherwise."""

    self_service: bool = Field(False, alias="self-service")
    """The customer uses it without staff."""


class ServicesShape(Shape):
    """Services given to accounts: the catalogue, the allotment to tiers, the costs."""

    catalogue: dict[fields.Name, ServiceShape] = Field({})
    """The services by id."""

    variants: dict[fields.Name, dict[fields.Name, dict[fields.Name, fields.Times]]] = Field({})
    """Allotments: the services of each tier, with times per year."""

    variant: fields.Name | None = None
    """The variant in force; not needed if there is only one."""

    margin: fields.Number | None = None
    """Mark-up of services without their own."""

    against: fields.Name | None = None
    """The criterion that the cost is compared with; default: the binding criterion of assignment."""

    over: fields.Number | None = None
    """Above this percentage of the criterion an account is over-serviced."""

    under: fields.Number | None = None
    """Below this percentage of the criterion an account is under-serviced."""


class CutShape(Shape):
    """One segment: accounts whose share of the total begins below a percentage belong in `tier`."""

    tier: fields.Name | None = None
    """Required: the tier."""

    below: fields.Number | None = None
    """The percentage; the last cut has none and takes the remaining accounts."""


class SegmentationShape(Shape):
    """A way to divide all accounts: by share of a total, or by rules."""

    about: str = ""
    """One sentence for people."""

    share_of: fields.Name | None = Field(None, alias="share-of")
    """The criterion whose total is divided."""

    cuts: list[CutShape] = Field([])
    """The segments of a division by share, ascending."""

    rules: list[RuleShape] = Field([])
    """In order: the first rule that fits decides."""
