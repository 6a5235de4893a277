"""
Schema models of a policy file: its sections, keys and types.

The JSON Schema for editors is generated from these models; an editor shows the descriptions.
Checks that need the whole policy are in `consistency`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from entitlements.model.limits import Algorithm, Mode, OnOutage
from entitlements.model.names import MAX_RATE
from entitlements.policy.schema_fields import (
    Duration,
    Features,
    LevelName,
    Levels,
    Name,
    Shape,
    SizeField,
    Text,
    Values,
    VersionField,
)
from entitlements.policy.schema_tiering import AssignmentShape, SegmentationShape, ServicesShape


class Head(Shape):
    """Version of the policy, and settings for all accounts."""

    version: VersionField | None = Field(
        None, description="Required: the version of the policy; every decision carries it."
    )
    unknown_account: Name = Field("deny", description="deny, raise, or the tier that unknown accounts get.")
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = Field(
        "USD", description="Currency of all amounts of money, three letters."
    )


class _LimitShape(Shape):
    about: str = Field("", description="One sentence for people.")
    deadline: Duration | None = Field(None, description="How long a decision may wait for the store.")
    mode: Annotated[Mode, Field(strict=False)] = Field(Mode.ENFORCE, description="shadow counts and never refuses.")


class RateShape(_LimitShape):
    """Limit of units in a window of time; the window is part of the sizes."""

    kind: Literal["rate"]
    unit: Text = Field("request", description="One unit's name, for people.")
    algorithm: Annotated[Algorithm, Field(strict=False)] = Field(
        Algorithm.SLIDING,
        description=(
            "sliding: never more in any window of that length. fixed: windows aligned with the clock."
            " token-bucket: refills evenly, with a burst."
        ),
    )
    burst: int | None = Field(None, ge=1, le=MAX_RATE, description="Capacity of a token bucket; default: the rate.")
    per: Name | None = Field(
        None, description="Counts separately for each of these, such as ip, in addition to the account's own limits."
    )
    on_outage: Annotated[OnOutage, Field(strict=False)] = Field(
        OnOutage.LOCAL, description="What happens while the store does not answer; local counts in the process."
    )


class QuotaShape(_LimitShape):
    """Limit of units in a period."""

    kind: Literal["quota"]
    unit: Text = Field("unit", description="One unit's name, for people.")
    period: Literal["month"] = Field("month", description="A calendar month, or from anchor to anchor.")
    on_outage: Literal["allow", "deny"] = Field("deny", description="What happens while the store does not answer.")


class AllocationShape(_LimitShape):
    """Limit of units held at the same time, until they are released."""

    kind: Literal["allocation"]
    unit: Text = Field("unit", description="One unit's name, for people; byte allows sizes such as 10 GB.")
    on_outage: Literal["allow", "deny"] = Field("deny", description="What happens while the store does not answer.")


LimitDefinition = Annotated[RateShape | QuotaShape | AllocationShape, Field(discriminator="kind")]


class TrialShape(Shape):
    """Terms of a trial plan."""

    of: Duration = Field(description="Default length of the trial.")
    shortest: Duration | None = Field(None, alias="from", description="Shortest length; default: `of`.")
    longest: Duration | None = Field(None, alias="to", description="Longest length; default: `of`.")
    then: Name = Field(description="The tier of the account when the trial ends.")


class _Bundle(Shape):
    features: Features = Field([])
    levels: Levels = Field({})
    values: Values = Field({})


class TierShape(_Bundle):
    """One tier (plan)."""

    rank: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Required, in one of the files; a higher rank is a higher tier."
    )
    name: Text | None = Field(None, description="Name for people; default: the id.")
    aliases: list[Text] = Field(
        [], description="Other ids that accounts may carry.", json_schema_extra={"uniqueItems": True}
    )
    extends: Name | None = Field(
        None,
        description=(
            "The parent: features are added up; levels, limits and values replace the parent's."
            " Name, aliases, rank and trial are not inherited."
        ),
    )
    without: list[Name] = Field(
        [],
        description="Inherited names to drop: features, limits, value keys or whole groups of values.",
        json_schema_extra={"uniqueItems": True},
    )
    limits: dict[Name, SizeField] = Field(
        {}, description="The size of each limit; one that is left out is not included."
    )
    trial: TrialShape | None = Field(None, description="Only for a trial plan.")


class AddOnShape(_Bundle):
    """A bundle that an account can buy on top of its tier."""

    about: str = Field("", description="One sentence for people.")
    tiers: list[Name] = Field(
        [], description="The tiers whose accounts can buy it; default: all.", json_schema_extra={"uniqueItems": True}
    )
    limits: dict[Name, SizeField] = Field({}, description="Units added for each one bought.")
    price: Text | None = Field(None, description="Price as a text: 500 per year.")


class RouteShape(Shape):
    """One rule: requests that match need these features, and consume these units."""

    path: Text | None = Field(
        None, description="A path template, such as /v1/leads/{id}; only the last rule, the default, may leave it out."
    )
    methods: list[Text] = Field(
        [], description="HTTP methods in capital letters; default: all.", json_schema_extra={"uniqueItems": True}
    )
    requires: list[Text] = Field(
        [],
        description="Features, feature:level or limits that the account must have.",
        json_schema_extra={"uniqueItems": True},
    )
    consumes: dict[Name, Annotated[int, Field(ge=1)]] = Field({}, description="Units of each limit for one request.")
    messages: dict[Name, Annotated[int, Field(ge=1)]] = Field(
        {}, description="Units of each limit for one message received on a websocket."
    )
    exempt: bool = Field(False, description="Requests pass without identification of an account: health checks.")


class Document(Shape):
    """A policy: tiers of customers and the contents of each. One file, or several of one folder."""

    policy: Head = Field(Head.model_validate({}), description="Version of the policy, and settings for all accounts.")
    features: dict[Name, Text] = Field({}, description="Switches, each with one sentence about it.")
    levels: dict[Name, Annotated[list[LevelName], Field(min_length=2, json_schema_extra={"uniqueItems": True})]] = (
        Field({}, description="Features in ordered levels, lowest first; a level `none` counts as not included.")
    )
    limits: dict[Name, LimitDefinition] = Field(
        {}, description="How each limit is counted; the sizes are part of the tiers."
    )
    tiers: dict[Name, TierShape] = Field({}, description="The contents of each tier.")
    add_ons: dict[Name, AddOnShape] = Field({}, description="Bundles that accounts can buy on top of a tier.")
    assignment: AssignmentShape | None = Field(None, description="Rules that assign a tier to an account.")
    routes: list[RouteShape] = Field(
        [], description="Features and limits of the routes of an API, in order: the first route that matches applies."
    )
    services: ServicesShape | None = Field(None, description="Services given to accounts.")
    segmentations: dict[Name, SegmentationShape] = Field({}, description="Ways to divide all accounts into segments.")
