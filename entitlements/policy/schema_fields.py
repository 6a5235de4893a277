"""
Field types of the schema models, and the base class of all models.

An editor shows the descriptions. Sizes and values are not typed here: their type depends on
the whole policy.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from entitlements.model.names import MAX_COUNT, NAME, shown
from entitlements.policy.errors import InvalidValue
from entitlements.policy.quantities import DURATION, parse_duration
from entitlements.policy.time_zones import find_zone


def _as_text(value: object) -> object:
    """Accept an int as a version; `1.10` would become 1.1, so a version with a point needs quotes."""
    return str(value) if type(value) is int else value


def _as_duration(value: object) -> timedelta:
    if isinstance(value, str):
        value = parse_duration(value)
    if not isinstance(value, timedelta):
        raise InvalidValue(f"{shown(value)} is not a duration", "write one such as '14 days' or '50 ms'")
    if value <= timedelta():
        raise InvalidValue(f"a duration of {value} does nothing", "write one above 0")
    return value


def _as_number(value: object) -> object:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise InvalidValue(f"{shown(value)} is not a number", "write one such as 100000")


_PER_YEAR = {"yearly": 1, "quarterly": 4, "monthly": 12, "weekly": 52, "daily": 365}


def _as_times(value: object) -> object:
    """Return the times per year that a number or a word such as `monthly` stands for."""
    number = _PER_YEAR.get(value, value) if isinstance(value, str) else value
    if isinstance(number, int | Decimal) and not isinstance(number, bool) and number >= 0:
        return Decimal(number)
    words = ", ".join(_PER_YEAR)
    raise InvalidValue(f"{shown(value)} does not say how often a year", f"write a number such as 4, or one of {words}")


_TIMES = {"anyOf": [{"type": "number", "minimum": 0}, {"enum": list(_PER_YEAR)}]}
_DURATION = {
    "type": "string",
    "pattern": DURATION,
    "examples": ["14 days", "50 ms", "PT2H"],
}
_AMOUNT = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}
_OVERAGE = {
    "type": "object",
    "description": "Units that are included, and what happens beyond: allow, or at most so many more.",
    "properties": {"included": _AMOUNT, "overage": _AMOUNT},
    "required": ["included", "overage"],
    "additionalProperties": False,
}
_SIZE = {
    "anyOf": [*_AMOUNT["anyOf"], _OVERAGE],
    "examples": ["100 per hour", 5000, "10 GB", "unlimited", "not-included", {"included": 5000, "overage": "allow"}],
}

_CHANGE = {
    "anyOf": [
        *_SIZE["anyOf"],
        *(
            {"type": "object", "properties": {word: _SIZE}, "required": [word], "additionalProperties": False}
            for word in ("adds", "sets")
        ),
    ],
    "examples": [*_SIZE["examples"], {"sets": 500}],
}

Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
LevelNames = Annotated[list[Name], Field(min_length=2, json_schema_extra={"uniqueItems": True})]
UniqueNames = Annotated[list[Name], Field(json_schema_extra={"uniqueItems": True})]
UniqueTexts = Annotated[list[Text], Field(json_schema_extra={"uniqueItems": True})]
VersionField = Annotated[Text, BeforeValidator(_as_text), WithJsonSchema({"type": ["string", "integer"]})]
Duration = Annotated[timedelta, BeforeValidator(_as_duration), WithJsonSchema(_DURATION)]
TimeZone = Annotated[Any, BeforeValidator(find_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})]
SizeField = Annotated[Any, WithJsonSchema(_SIZE)]
ChangeField = Annotated[Any, WithJsonSchema(_CHANGE)]
Quantity = Annotated[int, Field(ge=1, le=MAX_COUNT)]
ValueField = Annotated[Any, WithJsonSchema({"x-ref": "Value"})]  # becomes a $ref in schema.py

Number = Annotated[Any, BeforeValidator(_as_number), WithJsonSchema({"type": "number"})]
Times = Annotated[Any, BeforeValidator(_as_times), WithJsonSchema(_TIMES)]
ScalarField = Annotated[Any, WithJsonSchema({"type": ["boolean", "number", "string"]})]
ConditionField = Annotated[Any, WithJsonSchema({"x-ref": "Condition"})]
Test = Annotated[Any, WithJsonSchema({"x-ref": "Test"})]


class Shape(BaseModel):
    """Base class of the models: exact types, no unknown keys; `schema` reads the docstrings of attributes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
