"""
Versions of accounts: `invalidate` gives an account a new one, and charges by an older account are not decided.

A version is the store's time at the invalidation, in microseconds, and larger than the one before. The record of the
account keeps it for `KEPT`. An account that was loaded carries the version that was known before its load began, so
its data are at least as new. The store compares for equality and never asks which is later, so that no clock matters.
Where the record has no version, nothing was invalidated for `KEPT`, and no process uses an account for so long.
"""

from __future__ import annotations

from entitlements.model.instants import DAY, HOUR

NO_VERSION = 0
"""The version that an account carries if none is known."""
LONGEST_USE = DAY
"""Microseconds after the beginning of its load at which an account is loaded again, whatever its time to live."""
KEPT = DAY + HOUR
"""Microseconds for which a store keeps a version: longer than any account is used, by clocks that run a little apart."""
