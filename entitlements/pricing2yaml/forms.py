"""The form in which a policy says a feature or a usage limit: a switch, a limit or a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from entitlements.model.limits import UNLIMITED, PeriodLength
from entitlements.model.names import MAX_COUNT, MAX_RATE, NAME
from entitlements.policy.quantities import BYTE_UNITS
from entitlements.pricing2yaml.document import Item, PriceList
from entitlements.pricing2yaml.omissions import Omission, OmissionKind
from entitlements.pricing2yaml.units import Unit, read_unit

_QUOTAS = frozenset({PeriodLength.DAY, PeriodLength.WEEK, PeriodLength.MONTH, PeriodLength.YEAR})
_LONGEST_RATE = 29 * 86_400
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400}
_UNITS = {"SEC": "second", "MIN": "minute", "HOUR": "hour", "DAY": "day", "MONTH": "month", "YEAR": "year"}


@dataclass(frozen=True, slots=True)
class Form:
    """
    The form of one item.

    Args:
        kind: `switch`, `never` (a switch that nothing turns on), `limit` or `value`.
        definition: The definition of a limit, as a policy writes it.
        factor: Units of the limit in one unit of the price list: a GB is 10^9 bytes.
        suffix: The text behind a size: ` GB`, ` per hour`.
    """

    kind: str
    definition: Mapping[str, str] = ()  # type: ignore[assignment]  # none
    factor: int = 1
    suffix: str = ""

    def size(self, number: Any) -> int | str:
        """Return the written size of a limit."""
        if number is UNLIMITED:
            return "unlimited"
        if self.suffix.startswith(" per "):
            return f"{int(number * self.factor)}{self.suffix}"
        return f"{number}{self.suffix}" if self.suffix else int(number)

    def amount(self, number: Any) -> Any:
        """Return the number that the policy answers for a number of the price list."""
        return number if number is UNLIMITED else int(number * self.factor)


SWITCH, NEVER, VALUE = Form("switch"), Form("never"), Form("value")


def values_of(prices: PriceList, section: str, name: str) -> Iterator[Any]:
    """Yield the values of an item in all plans and add-ons, and what add-ons add to it."""
    is_feature = section == "features"
    item = (prices.features if is_feature else prices.limits)[name]
    for plan in prices.plans.values():
        yield (plan.features if is_feature else plan.limits).get(name, item.default)
    if not prices.plans:
        yield item.default
    for add_on in prices.add_ons.values():
        found = (add_on.features if is_feature else add_on.limits).get(name)
        added = None if is_feature else add_on.adds.get(name)
        yield from (each for each in (found, added) if each is not None)


def form_of(prices: PriceList, section: str, item: Item, omissions: list[Omission]) -> Form:
    """Return the form of an item; append an omission if it is not the one that the price list means."""
    values = [each for each in values_of(prices, section, item.name) if each is not None]
    path = f"{section}.{item.name}"
    if all(isinstance(each, bool) for each in values) and (item.kind == "BOOLEAN" or values):
        return SWITCH if any(values) else NEVER
    numbers = [each for each in values if _is_number(each)]
    if item.kind == "BOOLEAN" or (item.kind == "NUMERIC" and len(numbers) < len(values)):
        odd = next(
            each for each in values if not (isinstance(each, bool) if item.kind == "BOOLEAN" else _is_number(each))
        )
        omissions.append(Omission(OmissionKind.VALUE, path, f"{odd!r} is not {item.kind}; it is a value for your code"))
        return VALUE
    if section == "features" or item.kind != "NUMERIC" or not item.is_tracked:
        return VALUE
    form = _limit(item, read_unit(item.unit), path, omissions)
    return form if form is VALUE or _is_countable(form, numbers, path, omissions) else VALUE


def _is_number(value: object) -> bool:
    return value is UNLIMITED or (isinstance(value, int | Decimal) and not isinstance(value, bool))


def _limit(item: Item, unit: Unit, path: str, omissions: list[Omission]) -> Form:
    """Return the form of a usage limit that is counted."""
    counted, factor, suffix = (
        ("byte", BYTE_UNITS[unit.counted], f" {unit.counted}") if unit.is_bytes else (unit.counted, 1, "")
    )
    definition = {"kind": "allocation", "unit": counted}
    period = _period(item, unit)
    if period is not None:
        length, name = period
        seconds = length * _SECONDS.get(name, _LONGEST_RATE + 1)
        if length == 1 and name in _QUOTAS:
            definition = {"kind": "quota", "period": name, "unit": counted}
        elif seconds <= _LONGEST_RATE:
            definition = {"kind": "rate", "algorithm": "fixed", "unit": counted}
            suffix = f" per {name}" if length == 1 else f" per {length} {name}s"
        else:
            omissions.append(
                Omission(OmissionKind.PERIOD, path, f"it is counted per {length} {name}; it is a value for your code")
            )
            return VALUE
    if unit.scopes:
        scope = unit.scopes[0].replace(" ", "-")
        if len(unit.scopes) > 1 or not NAME.fullmatch(scope):
            per = " and ".join(unit.scopes)
            omissions.append(
                Omission(OmissionKind.SCOPE, path, f"it is counted for each {per}; it is a value for your code")
            )
            return VALUE
        definition["per"] = scope
    return Form("limit", definition, factor, suffix)


def _period(item: Item, unit: Unit) -> tuple[int, str] | None:
    """Return the number and the name of the period; the format's own default of a renewable limit is a month."""
    if item.renewal == "RENEWABLE" and item.period is not None:
        length, name = item.period
        return length, _UNITS.get(name, name.lower())
    if unit.period is not None:
        return 1, unit.period
    return (1, "month") if item.renewal == "RENEWABLE" else None


def _is_countable(form: Form, numbers: list[Any], path: str, omissions: list[Omission]) -> bool:
    """Return True if all numbers are whole units that can be counted."""
    most = MAX_RATE if form.definition["kind"] == "rate" else MAX_COUNT
    for number in numbers:
        if number is UNLIMITED:
            continue
        units = number * form.factor
        if units != int(units):
            omissions.append(
                Omission(OmissionKind.FRACTION, path, f"{number} is not a whole number; it is a value for your code")
            )
            return False
        if not 0 <= units <= most:
            omissions.append(
                Omission(OmissionKind.VALUE, path, f"{number} cannot be counted; it is a value for your code")
            )
            return False
    return True
