"""The round trip with a CRM: its export in, the same file with a tier in every row out."""

from __future__ import annotations

from entitlements.crm.assignment import Assigned, Result, assign_base
from entitlements.crm.columns import Columns, choose_columns
from entitlements.crm.layout import Layout, read_layout
from entitlements.crm.moves import Move, Moves, compare
from entitlements.crm.writer import Options, write

__all__ = [
    "Assigned",
    "Columns",
    "Layout",
    "Move",
    "Moves",
    "Options",
    "Result",
    "assign_base",
    "choose_columns",
    "compare",
    "read_layout",
    "write",
]
