"""Errors of a ledger."""

from __future__ import annotations

from entitlements.errors import EntitlementsError


class LedgerUnavailable(EntitlementsError):
    """The database of the ledger failed; its exception is the cause."""


class LedgerMismatch(LedgerUnavailable):
    """The database has a ledger of another version."""


class AccountBusy(EntitlementsError):
    """Units of the account come back without pause, so that its counters cannot be compared with the ledger."""
