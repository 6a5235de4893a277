"""
Accounts in a SQL database: in tables of this package, or in yours by a query.

    accounts = SqlAccounts("postgresql+psycopg://app@db/shop")
    accounts.create_tables()
    accounts.create("acme", "pro", reason="signed up", author="ann@example.com")
    enforcer = Enforcer(policy, accounts=accounts, store="redis://cache")
    accounts.set_tier("acme", "enterprise", reason="upgrade", author="ann@example.com", enforcer=enforcer)

SQLAlchemy Core, tested on SQLite and PostgreSQL (psycopg 3, asyncpg, aiosqlite).

Begin with `source.py` (`SqlAccounts`) and `async_source.py`; both are shells around `settings.py`. `tables` and `schema` define and create the tables,
`reading` and `rows` turn rows into accounts, `verbs` and `edits` change them, `writing` stores a change with its
audit row, `batches` joins loads that are made at once, and `engines` opens URLs and maps errors.
"""

from __future__ import annotations

from entitlements.extras import extra

with extra("sql", "SQLAlchemy", __name__):
    import sqlalchemy  # noqa: F401 - named here, before the modules below need it

from entitlements.accounts.sql.async_source import AsyncSqlAccounts
from entitlements.accounts.sql.audit import AuditEntry, EventOutcome
from entitlements.accounts.sql.errors import ChangedMeanwhile, SchemaMismatch
from entitlements.accounts.sql.source import SqlAccounts

__all__ = ["AsyncSqlAccounts", "AuditEntry", "ChangedMeanwhile", "EventOutcome", "SchemaMismatch", "SqlAccounts"]
