"""
Tiers for the accounts of a CRM export: the same file is written back, with a tier in every row.

Begin with `assignment.py` (`assign_base`). `layout` reads the file and keeps its bytes, `columns`
finds its columns, `writer` writes it, and `moves` compares it with an earlier export.
"""

from __future__ import annotations

from entitlements.crm.assignment import Assigned, RowResult, assign_base
from entitlements.crm.columns import Columns, choose_columns
from entitlements.crm.layout import Layout, read_layout
from entitlements.crm.moves import Move, Moves, compare
from entitlements.crm.writer import WriteOptions, write

__all__ = [
    "Assigned",
    "Columns",
    "Layout",
    "Move",
    "Moves",
    "RowResult",
    "WriteOptions",
    "assign_base",
    "choose_columns",
    "compare",
    "read_layout",
    "write",
]
