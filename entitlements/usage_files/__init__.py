"""
Usage of accounts by month, from a CSV or Parquet file instead of the counters of a store.

Begin with `reading.py` (`read_usage`). `columns` finds the limits and measures in the headings, and
`measured` turns the months of an account into what a review takes.
"""

from __future__ import annotations

from entitlements.usage_files.columns import UsageColumns, choose_usage_columns
from entitlements.usage_files.measured import last_active, measured_usage, measures_at
from entitlements.usage_files.reading import UsageFile, UsageMonth, read_usage

__all__ = [
    "UsageColumns",
    "UsageFile",
    "UsageMonth",
    "choose_usage_columns",
    "last_active",
    "measured_usage",
    "measures_at",
    "read_usage",
]
