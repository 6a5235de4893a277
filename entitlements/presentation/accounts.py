"""Accounts, and parts of them, in text and JSON."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

from entitlements.model.display import in_json, in_words
from entitlements.presentation.formatting import format_time


def plain(value: Any) -> Any:
    """Return an account, or a part of one, as `json.dumps` takes it."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return in_json(value)


def in_text(value: Any) -> str:
    """Return a part of an account in one line."""
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, tuple):
        return "; ".join(map(in_text, value))
    if hasattr(value, "__dataclass_fields__"):
        parts = [(each.name, getattr(value, each.name)) for each in fields(value)]
        (_, first), *rest = parts
        return ", ".join([str(first), *(f"{name} {in_text(part)}" for name, part in rest if part not in {None, ""})])
    return in_words(value)
