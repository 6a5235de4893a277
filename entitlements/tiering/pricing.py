"""Faults of the values below `pricing`: amounts that are texts, and ranges that end below their start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from entitlements.model.names import shown
from entitlements.tiering.value_faults import ValueFault

_NODE = "pricing."
_AMOUNT = re.compile(r"\s*(?:[A-Z]{3}|[$€£¥])?\s*-?[0-9][0-9.,' \u00a0\u202f]*\s*(?:[A-Z]{3}|[$€£¥%])?\s*")


def pricing_faults(values: Mapping[str, Any]) -> Iterator[ValueFault]:
    """Yield warnings about prices in *values* that code cannot compare or add up."""
    for key, value in values.items():
        if not key.startswith(_NODE):
            continue
        yield from pricing_fault(key, value)
        start = values.get(f"{key.removesuffix('.to')}.from") if key.endswith(".to") else None
        if isinstance(value, Decimal) and isinstance(start, Decimal) and start > value:
            yield ValueFault(
                key, f"the range ends at {value}, below its start {start}", "exchange the two", is_error=False
            )


def pricing_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield a warning if the value is an amount that is written as a text."""
    if key.startswith(_NODE) and isinstance(value, str) and _AMOUNT.fullmatch(value):
        cure = "write the number alone, such as 60000 or 49.90, in the policy's currency"
        yield ValueFault(key, f"{shown(value)} is a text, not a number", cure, is_error=False)
