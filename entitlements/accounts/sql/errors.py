"""Errors of accounts in SQL."""

from __future__ import annotations

from entitlements.errors import AccountError, AccountsUnavailable


class SchemaMismatch(AccountsUnavailable):
    """The database has no tables of this package, or tables of another version."""


class Conflict(Exception):
    """Another transaction changed what this one had read."""


class ChangedMeanwhile(AccountError):
    """The account is not at the version that the caller expects; read it again, and decide again."""
