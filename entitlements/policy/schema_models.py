"""
Schema models of a policy file: its sections, keys and types.

The JSON Schema for editors is generated from these models; an editor shows the descriptions.
Checks that need the whole policy are in `consistency`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from entitlements.model.limits import Algorithm, Mode, OnOutage, PeriodLength
from entitlements.model.names import MAX_RATE
from entitlements.policy import schema_fields as fields
from entitlements.policy.schema_fields import Shape
from entitlements.policy.schema_tiering import AssignmentShape, SegmentationShape, ServicesShape


class Head(Shape):
    """Version of the policy, and settings for all accounts."""

    version: fields.VersionField | None = None
    """Required: the version of the policy; every decision carries it."""

    unknown_account: fields.Name = "deny"
    """deny, raise, or the tier that unknown accounts get."""

    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = "USD"
    """Currency of all amounts of money, three letters."""

    time_zone: fields.TimeZone | None = None
    """Time zone whose midnight counts in the periods of quotas, as an IANA name; default: UTC. An account may have its own."""


class _LimitShape(Shape):
    about: str = ""
    """One sentence for people."""

    deadline: fields.Duration | None = None
    """Longest time that a decision waits for the store."""

    mode: Annotated[Mode, Field(strict=False)] = Mode.ENFORCE
    """shadow counts and never refuses."""

    per: fields.Name | None = None
    """Counts separately for each of these, such as ip or user, in addition to the account's own limits."""

    lease: int | None = Field(None, ge=2, le=MAX_RATE)
    """Most units that a process takes in advance and spends without asking the store; default: none."""


class RateShape(_LimitShape):
    """Limit of units in a window of time; the window is part of the sizes."""

    kind: Literal["rate"]
    unit: fields.Text = "request"
    """One unit's name, for people."""

    algorithm: Annotated[Algorithm, Field(strict=False)] = Algorithm.SLIDING
    """sliding: never more in any window; fixed: windows aligned with the clock; token-bucket: even refill, with a burst."""

    burst: int | None = Field(None, ge=1, le=MAX_RATE)
    """Capacity of a token bucket; default: the rate."""

    on_outage: Annotated[OnOutage, Field(strict=False)] = OnOutage.LOCAL
    """Behavior while the store does not answer; local counts in the process."""


class QuotaShape(_LimitShape):
    """Limit of units in a period."""

    kind: Literal["quota"]
    unit: fields.Text = "unit"
    """One unit's name, for people."""

    period: Annotated[PeriodLength, Field(strict=False)] = PeriodLength.MONTH
    """day, week (from Monday), month, year or lifetime; a month and a year begin at the account's anchor, if it has one."""

    on_outage: Literal["allow", "deny"] = "deny"
    """Behavior while the store does not answer."""


class AllocationShape(_LimitShape):
    """Limit of units held at the same time, until they are released."""

    kind: Literal["allocation"]
    unit: fields.Text = "unit"
    """One unit's name, for people; byte allows sizes such as 10 GB."""

    on_outage: Literal["allow", "deny"] = "deny"
    """Behavior while the store does not answer."""


LimitDefinition = Annotated[RateShape | QuotaShape | AllocationShape, Field(discriminator="kind")]


class TrialShape(Shape):
    """Terms of a trial plan."""

    of: fields.Duration
    """Default length of the trial."""

    shortest: fields.Duration | None = Field(None, alias="from")
    """Shortest length; default: `of`."""

    longest: fields.Duration | None = Field(None, alias="to")
    """Longest length; default: `of`."""

    then: fields.Name
    """The tier of the account when the trial ends."""


class _Bundle(Shape):
    features: fields.UniqueNames = Field([])
    """Switches that are on."""

    levels: dict[fields.Name, fields.Name] = Field({})
    """The level of each feature with levels."""

    values: dict[str, fields.ValueField] = Field({})
    """Configuration values: booleans, numbers, durations, texts, lists and mappings. {no-commitment: text} is no promise; not-included drops an inherited value."""


class TierShape(_Bundle):
    """One tier (plan)."""

    rank: Annotated[int, Field(ge=0)] | None = None
    """Required, in one of the files; a higher rank is a higher tier."""

    name: fields.Text | None = None
    """Name for people; default: the id."""

    aliases: fields.UniqueTexts = Field([])
    """Other ids that accounts may carry."""

    extends: fields.Name | None = None
    """The parent: features add up; levels, limits and values replace. Not inherited: name, aliases, rank, trial, line, retired."""

    without: fields.UniqueNames = Field([])
    """Inherited names to drop: features, limits, value keys or whole groups of values."""

    limits: dict[fields.Name, fields.SizeField] = Field({})
    """The size of each limit; one that is left out is not included."""

    trial: TrialShape | None = None
    """Only for a trial plan."""

    line: fields.Name | None = None
    """Product line; ranks compare tiers of one line only."""

    retired: bool = False
    """Not sold any more: accounts in it keep it, and nothing recommends it."""


class AddOnShape(_Bundle):
    """A bundle that an account can buy on top of its tier."""

    about: str = ""
    """One sentence for people."""

    tiers: fields.UniqueNames = Field([])
    """The tiers whose accounts can buy it; default: all."""

    limits: dict[fields.Name, fields.ChangeField] = Field({})
    """Units added for each one bought; {sets: 500} replaces the tier's size."""

    price: fields.Text | None = None
    """Price as a text: 500 per year."""

    requires: fields.UniqueNames = Field([])
    """Add-ons that an account must have with it."""

    excludes: fields.UniqueNames = Field([])
    """Add-ons that an account must not have with it."""

    at_least: fields.Quantity | None = None
    """Least quantity; default: the step."""

    at_most: fields.Quantity | None = None
    """Largest quantity; default: any."""

    step: fields.Quantity = 1
    """The quantity is a multiple of it."""

    retired: bool = False
    """Not sold any more: accounts with it keep it, and nothing recommends it."""


class RouteShape(Shape):
    """One rule: requests that match need these features, and consume these units."""

    path: fields.Text | None = None
    """A path template, such as /v1/leads/{id}; only the last rule, the default, may leave it out."""

    methods: fields.UniqueTexts = Field([])
    """HTTP methods in capital letters; default: all."""

    requires: fields.UniqueTexts = Field([])
    """Features, feature:level or limits that the account must have."""

    consumes: dict[fields.Name, Annotated[int, Field(ge=1)]] = Field({})
    """Units of each limit for one request."""

    messages: dict[fields.Name, Annotated[int, Field(ge=1)]] = Field({})
    """Units of each limit for one message received on a websocket."""

    exempt: bool = False
    """Requests pass without identification of an account: health checks."""


class Document(Shape):
    """A policy: tiers of customers and the contents of each. One file, or several of one folder."""

    policy: Head = Head.model_validate({})
    """Version of the policy, and settings for all accounts."""

    features: dict[fields.Name, fields.Text] = Field({})
    """Switches, each with one sentence about it."""

    levels: dict[fields.Name, fields.LevelNames] = Field({})
    """Features in ordered levels, lowest first; a level `none` counts as not included."""

    limits: dict[fields.Name, LimitDefinition] = Field({})
    """Definition of each limit; the sizes are part of the tiers."""

    tiers: dict[fields.Name, TierShape] = Field({})
    """The contents of each tier."""

    add_ons: dict[fields.Name, AddOnShape] = Field({})
    """Bundles that accounts can buy on top of a tier."""

    assignment: AssignmentShape | None = None
    """Rules that assign a tier to an account."""

    routes: list[RouteShape] = Field([])
    """Features and limits of the routes of an API, in order: the first route that matches applies."""

    services: ServicesShape | None = None
    """Services given to accounts."""

    segmentations: dict[fields.Name, SegmentationShape] = Field({})
    """Ways to divide all accounts into segments."""
