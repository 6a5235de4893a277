"""Errors of a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.accounts.sql.engines import first_line
from entitlements.errors import EntitlementsError

if TYPE_CHECKING:
    from sqlalchemy import Engine


class LedgerUnavailable(EntitlementsError):
    """The database of the ledger failed; its exception is the cause."""


class LedgerMismatch(LedgerUnavailable):
    """The database has a ledger of another version."""


class AccountBusy(EntitlementsError):
    """Units of the account come back without pause, so that its counters cannot be compared with the ledger."""


def unavailable(engine: Engine, error: Exception) -> LedgerUnavailable:
    """Return the error of a database that failed, with its first line and without the password."""
    shown = engine.url.render_as_string(hide_password=True)
    cure = "look whether the database runs, takes this user and has space, then try again; what is recorded waits"
    return LedgerUnavailable(f"ledger {shown}: {first_line(error)}; {cure}")
