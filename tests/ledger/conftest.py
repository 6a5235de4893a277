"""A ledger for a test, and deadlines that a busy machine keeps."""

import pytest
from deadlines import LONG
from ledgers import ledger_in

from entitlements.stores import orders


@pytest.fixture(autouse=True)
def _patient_orders(monkeypatch):
    """Leave releases and the like, which have no limit to say so, as long as the limits of the tests."""
    monkeypatch.setattr(orders, "_DEADLINE", LONG)


@pytest.fixture
def ledger(database):
    """A ledger on each kind of database in turn; it writes when it is told to."""
    with ledger_in(database) as ledger:
        yield ledger
