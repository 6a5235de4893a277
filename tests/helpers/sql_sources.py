"""Sources of accounts in SQL for the tests, and what their statements are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import event

from entitlements import NOT_INCLUDED, UNLIMITED, Account, Change, Grant, Override, Trial
from entitlements.accounts.sql import SqlAccounts

START = datetime(2026, 3, 1, tzinfo=UTC)
SIGNED = {"reason": "renewal", "author": "ops"}
OPENED = []
"""Sources that are closed after the test."""


FULL = Account(
    "acme",
    "pro",
    trial=Trial("max", START, START + timedelta(days=14)),
    anchor=datetime(2024, 1, 31, 12, 30, 15, tzinfo=UTC),
    time_zone="Europe/Berlin",
    add_ons={"support": 1, "reports": 3},
    overrides=[
        Override("leads", 8000, reason="promise", author="ops", expires=START + timedelta(days=300)),
        Override("sso", True, reason="pilot", author="ops", starts=START),
        Override("api", "20000 per hour", reason="load test", author="ops"),
        Override("hours", timedelta(hours=2, milliseconds=5), reason="desk", author="ops"),
        Override("share", Decimal("99.95"), reason="contract", author="ops"),
        Override("agents", UNLIMITED, reason="contract", author="ops"),
        Override("export", NOT_INCLUDED, reason="audit", author="ops"),
        Override("label", 'a "quoted"; text', reason="naming", author="ops"),
        Override("number-text", "0050", reason="naming", author="ops"),
    ],
    grants=[Grant("agents", 2, reason="goodwill"), Grant("leads", 2**53 - 1, expires=START + timedelta(days=1))],
    changes=[Change("free", at=START + timedelta(days=90)), Change("max", at=START + timedelta(days=30))],
    attributes={"industry": "Banking", "seats": 5, "tags": ["a", "b"], "é": None},
    status="suspended",
)


def opened(*arguments, **options):
    """Return a source that is closed after the test."""
    accounts = SqlAccounts(*arguments, **options)
    OPENED.append(accounts)
    return accounts


def accounts_of(database, **options):
    """Return a source on a database, with our tables."""
    accounts = opened(database, **options)
    accounts.create_tables()
    return accounts


def statements_of(engine):
    """Return a list that gets every statement that the engine executes from now on."""
    seen = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    return seen


def to(tier):
    """Return the change of the account acme to a tier, creating it if need be."""
    return lambda account: Account("acme", tier) if account is None else replace(account, tier=tier)
