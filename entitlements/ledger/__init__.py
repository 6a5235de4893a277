"""
A ledger of usage in a SQL database, from which lost counters are rebuilt.

    ledger = SqlLedger("postgresql+psycopg://app@db/shop")
    enforcer = Enforcer(policy, accounts=accounts, store="redis://cache", hooks=[ledger])
    ledger.rebuild(None, "redis://cache")
    ledger.drift(store="redis://cache", counts={"agents": count_agents})

Begin with `sql_ledger.py` (`SqlLedger`). `entry_builder` turns orders into `entries`, `writer` writes them in batches,
`balances` adds them up to what the counters must hold, `counters` reads a store, `comparison` finds what differs,
`restoration` sets it right, `months` adds up usage by month and closes months, `export` writes files.
"""

from __future__ import annotations

from entitlements.extras import extra

with extra("sql", "SQLAlchemy", __name__):
    import sqlalchemy  # noqa: F401 - named here, before the modules below need it

from entitlements.ledger.comparison import Drift
from entitlements.ledger.errors import AccountBusy, LedgerMismatch, LedgerUnavailable
from entitlements.ledger.months import MonthlyUsage
from entitlements.ledger.reading import Tail
from entitlements.ledger.restoration import Rebuilt
from entitlements.ledger.sql_ledger import SqlLedger

__all__ = [
    "AccountBusy",
    "Drift",
    "LedgerMismatch",
    "LedgerUnavailable",
    "MonthlyUsage",
    "Rebuilt",
    "SqlLedger",
    "Tail",
]
