"""The values that the library reads itself: service levels, uptime and health."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from entitlements.model.tier import Tier
from entitlements.policy.context import BuildContext
from entitlements.policy.parts import TierPart
from entitlements.policy.values import overlay
from entitlements.policy.yaml.tree import Path
from entitlements.tiering.health import health_fault, health_faults
from entitlements.tiering.pricing import pricing_fault, pricing_faults
from entitlements.tiering.sla_values import NODE as SLA
from entitlements.tiering.sla_values import sla_fault, sla_faults
from entitlements.tiering.terms import NODE as TRANSITION
from entitlements.tiering.terms import unknown_terms
from entitlements.tiering.uptime import NODE as UPTIME
from entitlements.tiering.uptime import uptime_fault, uptime_faults
from entitlements.tiering.value_faults import ValueFault, misspelt

_NODES = (SLA, UPTIME, "health", "kpis", "pricing", TRANSITION)
_READ_BELOW = re.compile(
    r"guarantee$|credits|weights|measures|clock\.|[^.]+\.(response|resolution)|notice$|downgrade-to$"
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
    yield from unknown_terms(values)
    for key in values:
        yield from _misspelt_node(key)


def value_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield the faults of one value, taken alone."""
    if key.startswith(f"{SLA}."):
        yield from sla_fault(key, value, time_zone)
    yield from uptime_fault(key, value)
    yield from health_fault(key, value)
    yield from pricing_fault(key, value)


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


def _misspelt_node(key: str) -> Iterator[ValueFault]:
    """Yield an error if *key* is one that the library reads, below a misspelt node."""
    node, _, rest = key.partition(".")
    if rest and node not in _NODES and _READ_BELOW.match(rest) and (close := misspelt(node, _NODES)):
        yield ValueFault(key, f"nothing reads {node!r}", f"did you mean {close!r}?")


def _report(context: BuildContext, paths: Mapping[str, Path], fault: ValueFault) -> None:
    path = (*(paths.get(fault.key) or next(iter(paths.values()))), *fault.at)
    report = context.report.error if fault.is_error else context.report.warn
    report(path, fault.problem, fault.cure)
