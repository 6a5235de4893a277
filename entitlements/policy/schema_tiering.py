"""The shape of what moves accounts between tiers: criteria and rules, services and their cost, segmentations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from entitlements.model.criteria import CriterionKind
from entitlements.policy.schema_fields import Condition, Known, Name, Number, Shape, Test, Text, Times


class CriterionShape(Shape):
    """One thing that is known about accounts."""

    kind: Annotated[CriterionKind, Field(strict=False)] | None = Field(
        None, description="Required: amount (money), count (whole numbers), word, or flag (yes and no)."
    )
    attributes: list[Text] = Field(
        [],
        description="Other attributes of an account that hold it, beside the one of its own name.",
        json_schema_extra={"uniqueItems": True},
    )
    least: Number | None = Field(None, description="The least that can be right; less is reported and not believed.")
    most: Number | None = Field(None, description="The most that can be right; more is reported and not believed.")
    missing: Known | None = Field(None, description="What counts where an account says nothing.")
    about: str = Field("", description="One sentence for people.")


class RuleShape(Shape):
    """One rule: accounts that fit `when` belong in `tier`."""

    name: Name | None = Field(None, description="Its name; the tier where it is left out.")
    tier: Name | None = Field(None, description="Required: the tier.")
    when: Condition | None = Field(None, description="The condition; left out, every account fits.")
    precedence: bool = Field(
        False,
        description="It is meant to take accounts that later rules fit as well.",
    )


class AssignmentShape(Shape):
    """Which tier an account belongs in: criteria, ordered rules, signals."""

    binding: Name | None = Field(None, description="Required: the criterion that decides; the others are signals.")
    criteria: dict[Name, CriterionShape] = Field({}, description="What is known about accounts.")
    rules: list[RuleShape] = Field([], description="In order: the first that fits decides.")
    signals: dict[Name, dict[Name, Test]] = Field(
        {}, description="Criteria that vote: for each the tiers, with the values that speak for them."
    )


class ServiceShape(Shape):
    """One service that customers can be given; it is the feature `service.<its name>` too."""

    name: Text | None = Field(None, description="Its name for people; its own where it is left out.")
    about: Text | None = Field(None, description="Required: what it is.")
    cost: Number | None = Field(None, description="What giving it once costs, in the policy's currency.")
    margin: Number | None = Field(None, description="Mark-up on cost: 0.3 is cost times 1.3; left out, that of all.")
    times: Times | None = Field(None, description="How often a year, where no tier says.")
    self_service: bool = Field(False, alias="self-service", description="The customer helps itself.")


class ServicesShape(Shape):
    """The services that accounts are given: what they are, who gets which how often, at what cost."""

    catalogue: dict[Name, ServiceShape] = Field({}, description="What there is.")
    variants: dict[Name, dict[Name, dict[Name, Times]]] = Field(
        {}, description="Ways to share them out: for each tier its services, with how often a year each is given."
    )
    variant: Name | None = Field(None, description="The variant in force; may be left out where there is only one.")
    margin: Number | None = Field(None, description="The mark-up of services that name none.")
    against: Name | None = Field(
        None, description="The criterion that the cost is held against; left out, the one that binds assignment."
    )
    over: Number | None = Field(None, description="Above this percentage of it an account is over-serviced.")
    under: Number | None = Field(None, description="Below this percentage of it an account is under-serviced.")


class CutShape(Shape):
    """Accounts whose share of the total begins below a percentage belong in `tier`."""

    tier: Name | None = Field(None, description="Required: the tier.")
    below: Number | None = Field(None, description="The percentage; the last cut has none, and takes the rest.")


class SegmentationShape(Shape):
    """A way to divide a base of accounts: by share of a total, or by rules."""

    about: str = Field("", description="One sentence for people.")
    share_of: Name | None = Field(None, alias="share-of", description="The criterion whose total is shared out.")
    cuts: list[CutShape] = Field([], description="Of a share: in order, ascending.")
    rules: list[RuleShape] = Field([], description="In order: the first that fits decides.")
