"""
The shape of a policy, as models: what may stand where, and of which type.

The JSON Schema for editors is generated from these models, so their descriptions are
what an editor shows. What only a whole policy can tell is checked elsewhere: sizes and
values have no type of their own here.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from entitlements.model.criteria import CriterionKind
from entitlements.model.limits import Algorithm, Mode, OnOutage
from entitlements.model.names import MAX_RATE, NAME
from entitlements.policy.misread import Misread, shown
from entitlements.policy.quantities import parse_duration


def _as_text(value: object) -> object:
    """Accept `version: 7` as it stands; `1.10` is another text than 1.1, so it needs quotes."""
    return str(value) if type(value) is int else value


def _as_duration(value: object) -> timedelta:
    if isinstance(value, str):
        value = parse_duration(value)
    if not isinstance(value, timedelta):
        raise Misread(f"{shown(value)} is not a duration", "write one such as '14 days' or '50 ms'")
    if value <= timedelta():
        raise Misread(f"a duration of {value} does nothing", "write one above 0")
    return value


def _as_number(value: object) -> object:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise Misread(f"{shown(value)} is not a number", "write one such as 100000")


_A_YEAR = {"yearly": 1, "quarterly": 4, "monthly": 12, "weekly": 52, "daily": 365}


def _as_times(value: object) -> object:
    """Read how often a year: a number, or a word."""
    number = _A_YEAR.get(value, value) if isinstance(value, str) else value
    if isinstance(number, int | Decimal) and not isinstance(number, bool) and number >= 0:
        return Decimal(number)
    words = ", ".join(_A_YEAR)
    raise Misread(f"{shown(value)} does not say how often a year", f"write a number such as 4, or one of {words}")


_TIMES = {"anyOf": [{"type": "number", "minimum": 0}, {"enum": list(_A_YEAR)}]}
_DURATION = {
    "type": "string",
    "pattern": r"^([0-9]+ (ms|milliseconds?|seconds?|minutes?|hours?|days?|weeks?)|P[0-9TWDHMS]+)$",
    "examples": ["14 days", "50 ms", "PT2H"],
}
_SIZE = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
    "examples": ["100 per hour", 5000, "10 GB", "unlimited", "not-included"],
}

Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
LevelName = Annotated[str, StringConstraints(pattern="^[a-z0-9]+(?:-[a-z0-9]+)*$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Version = Annotated[Text, BeforeValidator(_as_text), WithJsonSchema({"type": ["string", "integer"]})]
Duration = Annotated[timedelta, BeforeValidator(_as_duration), WithJsonSchema(_DURATION)]
Size = Annotated[Any, WithJsonSchema(_SIZE)]
Value = Annotated[Any, WithJsonSchema({"x-ref": "Value"})]  # a $ref that pydantic would look for; see schema.py

Number = Annotated[Any, BeforeValidator(_as_number), WithJsonSchema({"type": "number"})]
Times = Annotated[Any, BeforeValidator(_as_times), WithJsonSchema(_TIMES)]
Known = Annotated[Any, WithJsonSchema({"type": ["boolean", "number", "string"]})]
Condition = Annotated[Any, WithJsonSchema({"x-ref": "Condition"})]
Test = Annotated[Any, WithJsonSchema({"x-ref": "Test"})]

Features = Annotated[list[Name], Field(description="Switches that are on.", json_schema_extra={"uniqueItems": True})]
Levels = Annotated[dict[Name, LevelName], Field(description="The level of each feature with levels.")]
Values = Annotated[
    dict[str, Value],
    Field(
        description=(
            "Configuration values: true and false, numbers, durations such as 24 hours, texts, lists, and"
            " mappings of these. {no-commitment: text} promises nothing; not-included drops what is inherited."
        )
    ),
]


class Shape(BaseModel):
    """What every mapping of a policy has in common: exact types, and no key unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


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
    features: Features = []
    levels: Levels = {}
    values: Values = {}


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
