"""
Entries: the rows that one order leaves in the ledger, one for each of its limits.

Each entry is named by what the store itself recognises the order by, so that it stands once however often it is
reported: the number of a charge in its producer's sequence, a caller's key with the instant of its charge, an
operation id. Releases, and rates, which no store numbers, are named by the writer that recorded them.

| kind | units | further |
|---|---|---|
| `charge` | units taken | quotas: the period (*starts*, *ends*) |
| `assign` | 1 | *holder* |
| `reserve` | units held | *operation* is the reservation, which lapses at *expires* |
| `commit` | units kept | *operation*; an empty *limit_name* stands for the only limit of the reservation |
| `commit-all` | units that its caller reserved, if known | *operation*; all units of the reservation stay |
| `cancel` | 0 | *operation* |
| `refund` | units returned | *operation* of the charge; quotas: the period |
| `release` | units released | |
| `unassign` | 1 | *holder* |
| `set` | the total | quotas: the period |
| `forget` | 0 | every counter of the account was deleted |
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from entitlements.model.limits import UNLIMITED, Allocation, Quota, Rate, Size

KINDS: dict[type, str] = {Rate: "rate", Quota: "quota", Allocation: "allocation"}
_LONGEST = 120  # of a name as it is: account and name share an index of PostgreSQL


class Entry(NamedTuple):
    """One row of the ledger; the module lists its kinds. Instants are in microseconds."""

    account: str
    entry: str
    kind: str
    limit_name: str
    limit_kind: str | None
    scope: str | None
    holder: str | None
    units: int | None
    at: int
    starts: int | None
    ends: int | None
    size: str | None
    expires: int | None
    operation: str | None


def operation_name(operation: str, at: int) -> str:
    """Return the name of the entry of a charge: a caller's key may be used again, so the instant goes with it."""
    return short(operation if not operation.startswith("k:") else f"{operation}@{at}")


def short(name: str) -> str:
    """Return a name as it is, or the digest of a long one."""
    return name if len(name) <= _LONGEST else f"b:{blake2b(name.encode(), digest_size=24).hexdigest()}"


def is_uncertain(kind: str) -> bool:
    """Return True for entries whose instant is that of the answer, up to a moment after the store carried them out."""
    return kind in ("refund", "release", "unassign", "forget")


def read_size(text: str | None) -> Size:
    """Return the size of an entry."""
    return int(text) if text and text.isdigit() else UNLIMITED
