"""Filters of the templates: values of the package in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime

from entitlements.accounts.csv.cells import read_moment
from entitlements.model.instants import to_datetime
from entitlements.presentation.accounts import in_text
from entitlements.presentation.formatting import format_time

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def moment(value: datetime | int | None) -> str:
    """Return an instant to the minute, in UTC; a dash for none."""
    if value is None:
        return "—"
    return format_time(to_datetime(value) if isinstance(value, int) else value)


def audited(value: object) -> str:
    """Return a part of an account, as an audit entry has it in JSON, in one line."""
    if value in (None, [], {}, ""):
        return "none"
    if isinstance(value, list):
        return "; ".join(map(audited, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {audited(each)}" for name, each in value.items() if each not in (None, ""))
    if isinstance(value, str):
        return format_time(read_moment(value)) if _INSTANT.fullmatch(value) else value
    return json.dumps(value)


FILTERS = {"moment": moment, "audited": audited, "part": in_text}
