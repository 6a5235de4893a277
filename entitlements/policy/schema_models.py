"""
The shape of a policy, as models: what may stand where, and of which type.

The JSON Schema for editors is generated from these models, so their descriptions are
what an editor shows. What only a whole policy can tell is checked elsewhere.
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
    Size,
    Text,
    Values,
    Version,
)
from entitlements.policy.schema_tiering import AssignmentShape, SegmentationShape, ServicesShape


class Head(Shape):
    """What names the policy, and what it says of everybody."""

    version: Version | None = Field(None, description="Names this state of the policy; required.")
    unknown_account: Name = Field("deny", description="deny, raise, or the tier that unknown accounts get.")
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = Field(
        "USD", description="Of every amount of money, three letters."
    )


class _Definition(Shape):
    about: str = Field("", description="One sentence for people.")
    deadline: Duration | None = Field(None, description="How long a decision may wait for the store.")
    mode: Annotated[Mode, Field(strict=False)] = Field(Mode.ENFORCE, description="shadow measures and never refuses.")


class RateShape(_Definition):
    """So many units in a window; the window is written with the sizes."""

    kind: Literal["rate"]
    unit: Text = Field("request", description="One unit's name, for people.")
    algorithm: Annotated[Algorithm, Field(strict=False)] = Field(
        Algorithm.SLIDING,
        description=(
            "sliding: never more in any window of that length. fixed: windows aligned with the clock."
            " token-bucket: refills evenly, with a burst."
        ),
    )
    burst: int | None = Field(
        None, ge=1, le=MAX_RATE, description="Of a token bucket: its capacity; left out, it is the rate itself."
    )
    per: Name | None = Field(None, description="Keeps a meter for each of these, such as ip, beside the account's own.")
    on_outage: Annotated[OnOutage, Field(strict=False)] = Field(
        OnOutage.LOCAL, description="While the store does not answer: local counts in the process."
    )


class QuotaShape(_Definition):
    """So many units in a period."""

    kind: Literal["quota"]
    unit: Text = Field("unit", description="One unit's name, for people.")
    period: Literal["month"] = Field("month", description="A calendar month, or from anchor to anchor.")
    on_outage: Literal["allow", "deny"] = Field("deny", description="While the store does not answer.")


class AllocationShape(_Definition):
    """So many units held at once, until they are released."""

    kind: Literal["allocation"]
    unit: Text = Field("unit", description="One unit's name, for people; byte allows sizes such as 10 GB.")
    on_outage: Literal["allow", "deny"] = Field("deny", description="While the store does not answer.")


Definition = Annotated[RateShape | QuotaShape | AllocationShape, Field(discriminator="kind")]


class TrialShape(Shape):
    """What makes a tier a trial plan."""

    of: Duration = Field(description="How long it lasts where nothing else is said.")
    shortest: Duration | None = Field(None, alias="from", description="The least it may last; left out, `of`.")
    longest: Duration | None = Field(None, alias="to", description="The most it may last; left out, `of`.")
    then: Name = Field(description="The tier that remains when it ends.")


class _Bundle(Shape):
    features: Features = Field([])
    levels: Levels = Field({})
    values: Values = Field({})


class TierShape(_Bundle):
    """One tier (plan)."""

    rank: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Required, in one of the files; a higher rank is a higher tier."
    )
    name: Text | None = Field(None, description="Its name for people; the id where it is left out.")
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
        description="Inherited names to drop: features, limits, value keys or whole nodes of values.",
        json_schema_extra={"uniqueItems": True},
    )
    limits: dict[Name, Size] = Field({}, description="The size of each limit; one that is left out is not included.")
    trial: TrialShape | None = Field(None, description="Only for a trial plan.")


class AddOnShape(_Bundle):
    """A bundle that an account can buy on top of its tier."""

    about: str = Field("", description="One sentence for people.")
    tiers: list[Name] = Field(
        [], description="The tiers that it is offered to; left out, all.", json_schema_extra={"uniqueItems": True}
    )
    limits: dict[Name, Size] = Field({}, description="Units that each one bought adds.")
    price: Text | None = Field(None, description="What it costs, in words: 500 per year.")


class RouteShape(Shape):
    """One rule: requests that match need these features, and consume these units."""

    path: Text | None = Field(
        None, description="A path template, such as /v1/leads/{id}; only the last rule, the default, may leave it out."
    )
    methods: list[Text] = Field(
        [], description="HTTP methods in capital letters; left out, all.", json_schema_extra={"uniqueItems": True}
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
    exempt: bool = Field(False, description="Passed without asking who it is: health checks.")


class Document(Shape):
    """A policy: tiers of customers and what each of them gets. One file, or several of one folder."""

    policy: Head = Field(Head.model_validate({}), description="What names the policy, and what it says of everybody.")
    features: dict[Name, Text] = Field({}, description="Switches, each with one sentence about it.")
    levels: dict[Name, Annotated[list[LevelName], Field(min_length=2, json_schema_extra={"uniqueItems": True})]] = (
        Field({}, description="Features in ordered levels, lowest first; a level `none` is as good as not included.")
    )
    limits: dict[Name, Definition] = Field({}, description="How each limit is counted; sizes stand with the tiers.")
    tiers: dict[Name, TierShape] = Field({}, description="What each tier gets.")
    add_ons: dict[Name, AddOnShape] = Field({}, description="Bundles to buy on top of a tier.")
    assignment: AssignmentShape | None = Field(None, description="Which tier an account belongs in.")
    routes: list[RouteShape] = Field(
        [], description="What the routes of an API need, in order: the first that matches counts."
    )
    services: ServicesShape | None = Field(None, description="The services that accounts are given.")
    segmentations: dict[Name, SegmentationShape] = Field({}, description="Ways to divide a base of accounts.")
