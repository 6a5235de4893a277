"""Reads of the ledger: entries by account, balances, and the writers whose last entries may be missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select, union

from entitlements.ledger.balance_parts import Key
from entitlements.ledger.balances import Balance
from entitlements.ledger.entries import Entry
from entitlements.ledger.tables import BALANCES, ENTRIES, WRITERS
from entitlements.model.display import fields_in_json
from entitlements.model.instants import SECOND, to_datetime
from entitlements.model.names import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

PAGE = 500
"""Accounts of one statement."""

COLUMNS = [ENTRIES.c[name] for name in Entry._fields]


@dataclass(frozen=True, slots=True)
class Tail:
    """
    A writer that has not ended in order: what it recorded last may be missing from the ledger.

    Args:
        writer: Its id.
        host: The host that it ran on.
        pid: Its process.
        written: All that it recorded before is in the ledger. Aware UTC, by its clock.
        age: Seconds that an order waits at most while the database keeps up: if the process was killed, what it
            recorded in its last *age* seconds is missing.
        pending: Orders that waited when it wrote last.
        lost: Orders that found its queue full, or that the database refused.
    """

    writer: str
    host: str
    pid: int
    written: datetime
    age: float
    pending: int
    lost: int

    to_dict = fields_in_json

    def __str__(self) -> str:
        """Return one line for people."""
        more = "".join(
            f", {number} {what}" for number, what in ((self.pending, "waited then"), (self.lost, "lost")) if number
        )
        return (
            f"writer {self.writer} ({self.host}, process {self.pid}): written up to {self.written.isoformat()}; "
            f"the last {self.age:g} s before its end are missing if it was killed{more}"
        )


def tails(connection: Connection, except_for: str) -> tuple[Tail, ...]:
    """Return the writers, but one, that have not ended in order or have lost entries, the latest first."""
    is_open = or_(WRITERS.c.closed.is_(None), WRITERS.c.lost > 0)
    query = select(WRITERS).where(is_open, WRITERS.c.id != except_for).order_by(WRITERS.c.written.desc())
    return tuple(
        Tail(row.id, row.host, row.pid, to_datetime(row.written), row.age / SECOND, row.pending, row.lost)
        for row in connection.execute(query)
    )


def account_pages(connection: Connection) -> Iterator[list[str]]:
    """Yield the ids of all accounts of the ledger, in pages."""
    last = ""
    known = union(select(ENTRIES.c.account), select(BALANCES.c.account)).subquery()
    while True:
        query = select(known.c.account).where(known.c.account > last).order_by(known.c.account).limit(PAGE)
        page = list(connection.execute(query).scalars())
        if not page:
            return
        yield page
        last = page[-1]


def limits_of(connection: Connection) -> dict[tuple[str, bool], str]:
    """Return the kind of every limit that has entries, by its name and by whether they have a scope."""
    has_scope = ENTRIES.c.scope.is_not(None)
    query = select(ENTRIES.c.limit_name, has_scope, ENTRIES.c.limit_kind).where(ENTRIES.c.limit_kind.is_not(None))
    return {(name, bool(scoped)): kind for name, scoped, kind in connection.execute(query.distinct())}


def has_account(connection: Connection, account: str) -> bool:
    """Return True for an account with entries, or with a balance from closed months."""
    found = [select(table.c.account).where(table.c.account == account).limit(1) for table in (ENTRIES, BALANCES)]
    return any(connection.execute(query).first() is not None for query in found)


def scopes_of(connection: Connection, accounts: Sequence[str]) -> dict[str, set[str]]:
    """Return the scopes of accounts that have entries."""
    query = select(ENTRIES.c.account, ENTRIES.c.scope).where(ENTRIES.c.account.in_(accounts))
    found: dict[str, set[str]] = {}
    for account, scope in connection.execute(query.where(ENTRIES.c.scope.is_not(None)).distinct()):
        found.setdefault(account, set()).add(scope)
    return found


def kept_limits(connection: Connection, accounts: Sequence[str] | None = None) -> dict[str, dict[Key, str]]:
    """Return the kinds of the limits that have a balance from closed months, by account; of all with None."""
    query = select(BALANCES) if accounts is None else select(BALANCES).where(BALANCES.c.account.in_(accounts))
    found = {}
    for row in connection.execute(query):
        balance = Balance.read(row.account, row.state)
        found[row.account] = dict.fromkeys(balance.quotas, "quota") | dict.fromkeys(balance.held, "allocation")
    return found


def balances(
    connection: Connection,
    accounts: Sequence[str],
    until: Mapping[str, Mapping[str, int]] | int | None = None,
    *,
    watch: bool = False,
) -> Iterator[tuple[Balance, list[Entry]]]:
    """
    Yield the balance of each account, and the entries after its cut.

    Args:
        connection: A connection.
        accounts: Ids, at most a page of them.
        until: The cut: entries after that instant are not added. One for all, one of each scope of each account ("" is
            the account itself), or None.
        watch: Add up months as well.
    """
    stored = {row.account: row for row in connection.execute(select(BALANCES).where(BALANCES.c.account.in_(accounts)))}
    query = (
        select(*COLUMNS).where(ENTRIES.c.account.in_(accounts)).order_by(ENTRIES.c.account, ENTRIES.c.at, ENTRIES.c.id)
    )
    rows = (Entry(*row) for row in connection.execute(query.execution_options(yield_per=5000)))
    found = {id: list(entries) for id, entries in groupby(rows, lambda entry: entry.account)}
    for id in accounts:
        kept = stored.get(id)
        balance = Balance.read(id, kept.state) if kept is not None else Balance(id)
        balance.since = kept.at if kept is not None else 0
        balance.watches = watch
        cuts = {"": until} if isinstance(until, int) else (until or {}).get(id, {})
        last = max(cuts.values(), default=MAX_COUNT)
        mine = found.get(id, [])
        before = [entry for entry in mine if entry.at <= cuts.get(entry.scope or "", last)]
        balance.add(before)
        if cuts:
            balance.lapse(min(cuts.values()))
        yield balance, mine[len(before) :] if len(cuts) < 2 else [entry for entry in mine if entry not in set(before)]


def since(connection: Connection, start: int, end: int | None, after: int, size: int) -> list[tuple[int, Entry, str]]:
    """Return a page of entries by id: those of [start, end) whose id is above *after*."""
    bounds = [ENTRIES.c.at >= start, ENTRIES.c.id > after, *([ENTRIES.c.at < end] if end is not None else [])]
    query = select(ENTRIES.c.id, ENTRIES.c.writer, *COLUMNS).where(and_(*bounds)).order_by(ENTRIES.c.id).limit(size)
    return [(row[0], Entry(*row[2:]), row[1]) for row in connection.execute(query)]
