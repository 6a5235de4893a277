"""Closing of what the tests of accounts in SQL have opened."""

import pytest
from sql_sources import OPENED

from entitlements.accounts.sql import SqlAccounts


@pytest.fixture(autouse=True)
def _closed():
    yield
    while OPENED:
        OPENED.pop().close_engine()


@pytest.fixture(scope="module")
def kept():
    """Accounts in memory that the examples of properties share."""
    accounts = SqlAccounts("sqlite://")
    accounts.create_tables()
    yield accounts
    accounts.close_engine()
