"""Columns of a CSV directory that are not plain attributes, each with the parser of its cells."""

from __future__ import annotations

from collections.abc import Callable

from entitlements.accounts.csv.cells import (
    read_add_ons,
    read_anchor,
    read_changes,
    read_grants,
    read_moment,
    read_overrides,
    read_status,
    read_time_zone,
)

CellReader = Callable[[str, str], object]
"""A parser of a cell; the second argument is the reason of an override that gives none."""

COLUMNS: dict[str, CellReader] = {
    "tier": lambda text, _: text,
    "trial_tier": lambda text, _: text,
    "trial_starts": lambda text, _: read_moment(text),
    "trial_ends": lambda text, _: read_moment(text),
    "anchor": lambda text, _: read_anchor(text),
    "time_zone": lambda text, _: read_time_zone(text),
    "add_ons": lambda text, _: read_add_ons(text),
    "overrides": read_overrides,
    "grants": lambda text, _: read_grants(text),
    "changes": lambda text, _: read_changes(text),
    "status": lambda text, _: read_status(text),
}
"""The parser of each column that is not a plain attribute."""
