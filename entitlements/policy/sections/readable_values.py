"""The values that the library reads itself: service levels, uptime, health, prices and transition terms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from entitlements.model.criteria import AssignmentRules
from entitlements.model.display import in_words
from entitlements.model.names import shown
from entitlements.model.tier import Tier
from entitlements.policy.parts import TierPart
from entitlements.policy.sections.segmentations import check_number
from entitlements.policy.values import overlay
from entitlements.policy.vocabulary import BuildContext
from entitlements.policy.yaml.tree import Path
from entitlements.tiering.health import health_fault, health_faults
from entitlements.tiering.recurrences import schedule_faults
from entitlements.tiering.sla_values import NODE as SLA
from entitlements.tiering.sla_values import sla_fault, sla_faults
from entitlements.tiering.terms import ABOVE, term_faults
from entitlements.tiering.terms import NODE as TRANSITION
from entitlements.tiering.uptime import NODE as UPTIME
from entitlements.tiering.uptime import uptime_fault, uptime_faults
from entitlements.tiering.value_faults import ValueFault, misspelt

_UPGRADE = f"{TRANSITION}.upgrade."
_DIRECTIONS = {f"{_UPGRADE}to": (1, "above"), f"{TRANSITION}.downgrade-to": (-1, "below")}


def check_transitions(
    context: BuildContext, parts: Mapping[str, TierPart], tiers: Mapping[str, Tier], rules: AssignmentRules | None
) -> None:
    """Report targets and criteria of the terms of a tier that do not fit the policy."""
    criteria = rules.criteria if rules else {}
    for id, part in parts.items():
        for key in part.written:
            value = part.values[key]
            if key in _DIRECTIONS and isinstance(value, str):
                _check_target(context, part.paths[key], id, key, value, tiers)
            if key.startswith(_UPGRADE) and key.endswith(ABOVE) and isinstance(value, Decimal):
                name = key.removeprefix(_UPGRADE).removesuffix(ABOVE)
                check_number(name, criteria, part.paths[key], context.report, cure="compare numbers only")


def _check_target(context: BuildContext, path: Path, id: str, key: str, to: str, tiers: Mapping[str, Tier]) -> None:
    """Report *to* unless it is a tier in the direction of *key*, seen from the tier *id*."""
    sign, side = _DIRECTIONS[key]
    if error := context.vocabulary.unknown_tier(to):
        context.report.add(path, error)
    elif id in tiers and to in tiers:
        own, other = tiers[id], tiers[to]
        if not (other.is_above(own) if sign > 0 else own.is_above(other)):
            line = f" in line {own.line!r}" if own.line else ""
            context.report.error(path, f"{to!r} is not {side} {id!r}", f"name a tier of a rank {side} {own.rank}{line}")
        context.check_sold_tier(path, to)


_PRICING = "pricing."
_PRICING_KEYS = ("annual-minimum", "typical-range", "components", "additional", "price", "percent", "per", "plus", "of")
"""Keys that are read directly below the node of prices; others are the policy's own."""
_PRICE_KEYS = ("price", "percent", "per", "plus", "of")
"""Keys that are read below an add-on or a service of `additional`."""
_PERIODS = {"monthly": "month", "quarterly": "quarter", "yearly": "year", "annually": "year", "annual": "year"}
_AMOUNT = re.compile(r"\s*(?:[A-Z]{3}|[$€£¥])?\s*-?[0-9][0-9.,' \u00a0\u202f]*\s*(?:[A-Z]{3}|[$€£¥%])?\s*")


def pricing_faults(values: Mapping[str, Any]) -> Iterator[ValueFault]:
    """Yield warnings about prices in *values* that code cannot compare or add up."""
    for key, value in values.items():
        yield from pricing_fault(key, value)
        start = values.get(f"{key.removesuffix('.to')}.from") if key.endswith(".to") else None
        if key.startswith(_PRICING) and isinstance(value, Decimal) and isinstance(start, Decimal) and start > value:
            problem = f"the range ends at {value}, below its start {start}"
            yield ValueFault(key, problem, "exchange the two", is_error=False)


def pricing_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield the faults of one price: a misspelt key, an amount below 0 or written as a text, and `per: monthly`."""
    if not key.startswith(_PRICING):
        return
    _, first, *rest = key.split(".")
    word, known = (rest[1], _PRICE_KEYS) if first == "additional" and len(rest) > 1 else (first, _PRICING_KEYS)
    if word not in known and (close := misspelt(word, known)):
        yield ValueFault(key, f"nothing reads {word!r} there", f"did you mean {close!r}?")
    if isinstance(value, Decimal) and value < 0:
        yield ValueFault(key, f"{value} is below 0", "write 0 or more")
    if isinstance(value, str) and (
        _AMOUNT.fullmatch(value) or (word == "annual-minimum" and re.search("[0-9]", value))
    ):
        cure = "write the number alone, such as 60000 or 49.90, in the policy's currency"
        yield ValueFault(key, f"{shown(value)} is a text, not a number", cure, is_error=False)
    if key.endswith(".per") and isinstance(value, str) and (period := _PERIODS.get(value.lower())):
        yield ValueFault(key, f"{value!r} is no period, so the price is due once", f"write {period}")


_NODES = (SLA, UPTIME, "health", "kpis", "kpi-measures", "pricing", TRANSITION)
_BELOW = {
    SLA: "p1: {response: 4 hours}",
    "health": "weights: {usage: 30}",
    "pricing": "minimum: 500",
    TRANSITION: "notice: 30 days",
}
"""An example of a key below each node that is read by its keys alone."""

_READ_BELOW = re.compile(
    r"guarantee$|credits|weights|measures|scales|clock\.|[^.]+\.(response|resolution)|notice$|downgrade-to$"
    r"|annual-minimum$|additional\.[^.]+\.(price|percent)$"
)
"""The begin of keys below a node that the library reads."""


def check_readable_values(
    context: BuildContext, parts: Mapping[str, TierPart], add_ons: Mapping[str, TierPart], tiers: Mapping[str, Tier]
) -> None:
    """Report values that the library reads and cannot, in every tier and in the add-ons on top of it."""
    for id, tier in tiers.items():
        faults = list(value_faults(tier.values))
        for fault in faults:
            _report(context, parts[tier.origins.get(fault.key, id)].paths, fault)
        for name, part in add_ons.items():
            offered = context.document.add_ons[name].tiers
            if any(map(_is_read, part.written)) and (not offered or id in offered):
                known = {(fault.key, fault.at) for fault in faults}
                for fault in value_faults(overlay(tier.values, {key: part.values[key] for key in part.written})):
                    if (fault.key, fault.at) not in known or fault.key in part.paths:
                        _report(context, part.paths, fault)


def value_faults(values: Mapping[str, object]) -> Iterator[ValueFault]:
    """Yield the faults of *values*, taken together."""
    yield from sla_faults(values, time_zone)
    yield from uptime_faults(values)
    yield from health_faults(values)
    yield from pricing_faults(values)
    yield from term_faults(values)
    yield from schedule_faults(values)
    for key, value in values.items():
        yield from _misspelt_node(key)
        yield from _node_fault(key, value)


def value_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield the faults of one value, taken alone."""
    if key.startswith(f"{SLA}."):
        yield from sla_fault(key, value, time_zone)
    yield from uptime_fault(key, value)
    yield from health_fault(key, value)
    yield from pricing_fault(key, value)
    yield from _node_fault(key, value)


def time_zone(name: str) -> tzinfo:
    """
    Return the time zone *name*; UTC for any name on a machine without time zones.

    Raises:
        ValueError, KeyError, OSError: For a name that the machine's time zones do not have.
    """
    try:
        return ZoneInfo(name)
    except KeyError:
        if _has_time_zones():
            raise
        return UTC


@cache
def _has_time_zones() -> bool:
    try:
        return bool(ZoneInfo("Europe/London"))
    except (KeyError, OSError):
        return False


def _is_read(key: str) -> bool:
    return key.partition(".")[0] in _NODES


def _node_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield a warning if *value* stands where only keys below it are read, an error if it is a duration."""
    if key in _BELOW and value is not None:
        is_time = isinstance(value, timedelta)
        text = repr(in_words(value)) if is_time else shown(value)
        problem = f"{text} is ignored: {key!r} is read by the keys below it"
        yield ValueFault(key, problem, f"write keys below it, such as {_BELOW[key]}", is_error=is_time)


def _misspelt_node(key: str) -> Iterator[ValueFault]:
    """Yield an error if *key* is one that the library reads, below a misspelt node."""
    node, _, rest = key.partition(".")
    if rest and node not in _NODES and _READ_BELOW.match(rest) and (close := misspelt(node, _NODES)):
        yield ValueFault(key, f"nothing reads {node!r}", f"did you mean {close!r}?")


def _report(context: BuildContext, paths: Mapping[str, Path], fault: ValueFault) -> None:
    path = (*(paths.get(fault.key) or next(iter(paths.values()))), *fault.at)
    report = context.report.error if fault.is_error else context.report.warn
    report(path, fault.problem, fault.cure)
