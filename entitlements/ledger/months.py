"""
Months: usage by calendar month (UTC), and the closing of months.

A closed month is kept as its usage and as the balance that follows from it; its entries are deleted. What it says
never changes again: a refund counts in the month of the refund.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from entitlements.ledger import reading
from entitlements.ledger.balance_parts import MonthBalance, month_of
from entitlements.ledger.balances import Balance
from entitlements.ledger.tables import BALANCES, ENTRIES, MONTHS
from entitlements.model.display import fields_in_json
from entitlements.model.instants import to_instant
from entitlements.model.names import shown

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class MonthlyUsage:
    """
    The usage of a limit in a calendar month (UTC).

    Args:
        account: The account.
        month: `2026-11`.
        limit: The limit.
        kind: `rate`, `quota` or `allocation`.
        scope: The scope of a limit with a `per`; None for a limit of the account.
        units: Units charged, without those that came back in the month. A total that was set counts as its difference.
        peak: For an allocation, the highest number of units held in the month; else None.
        held: For an allocation, the units held at the end of the month; else None.
    """

    account: str
    month: str
    limit: str
    kind: str
    scope: str | None
    units: int
    peak: int | None
    held: int | None

    to_dict = fields_in_json


def parse_month(text: str | date | None, now: int) -> str:
    """
    Return a month as `2026-11`; None is the present one.

    Raises:
        ValueError: For anything else.
    """
    if text is None:
        return month_of(now)
    if isinstance(text, date):
        return text.strftime("%Y-%m")
    try:
        if len(text) == 7:
            return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).strftime("%Y-%m")
    except (ValueError, TypeError):
        pass
    raise ValueError(f"month {shown(text)} is not a month; write one such as 2026-11")


def start_of(month: str) -> int:
    """Return the first instant of a month."""
    return to_instant(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC))


def after(month: str) -> str:
    """Return the next month."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02}"


def usage(engine: Engine, month: str, account: str | None) -> Iterator[MonthlyUsage]:
    """Yield the usage of a month: of one account or all, sorted."""
    with engine.connect() as connection:
        pages = reading.account_pages(connection) if account is None else iter([[account]])
        for page in pages:
            closed = _closed(connection, page, month)
            end = start_of(after(month))
            for balance, _ in reading.balances(connection, page, end - 1, watch=True):
                if balance.since >= end:
                    yield from closed.get(balance.account, ())
                else:
                    yield from of_month(balance, month)


def of_month(balance: Balance, month: str) -> Iterator[MonthlyUsage]:
    """Yield the usage of an account in a month, up to which its entries were added."""
    found = {(limit, scope): each for (when, limit, scope), each in balance.months.items() if when == month}
    for key, held in balance.held.items():  # what is held all the month
        if key not in found and held.used:
            found[key] = MonthBalance("allocation", 0, held.used, held.used)
    for (limit, scope), each in sorted(found.items()):
        is_held = each.limit_kind == "allocation"
        peak, last = (each.peak, each.held) if is_held else (None, None)
        yield MonthlyUsage(balance.account, month, limit, each.limit_kind, scope or None, each.units, peak, last)


def _closed(connection: Connection, accounts: Sequence[str], month: str) -> dict[str, list[MonthlyUsage]]:
    query = select(MONTHS).where(MONTHS.c.account.in_(accounts), MONTHS.c.month == month)
    found: dict[str, list[MonthlyUsage]] = {}
    for row in connection.execute(query.order_by(MONTHS.c.account, MONTHS.c.limit_name, MONTHS.c.scope)):
        found.setdefault(row.account, []).append(
            MonthlyUsage(
                row.account, row.month, row.limit_name, row.limit_kind, row.scope or None, row.units, row.peak, row.held
            )
        )  # fmt: skip
    return found


def close(engine: Engine, before: str) -> int:
    """
    Close every month before *before*; return the number of entries that were deleted.

    Each account is closed in a transaction of its own.
    """
    end, deleted = start_of(before), 0
    with engine.connect() as connection:
        pages = list(reading.account_pages(connection))
    for page in pages:
        for account in page:
            with engine.begin() as connection:
                deleted += _close_account(connection, account, end)
    return deleted


def _close_account(connection: Connection, account: str, end: int) -> int:
    condition = (ENTRIES.c.account == account, ENTRIES.c.at < end)
    first = connection.execute(select(ENTRIES.c.at).where(*condition).order_by(ENTRIES.c.at).limit(1)).scalar()
    stored = connection.execute(select(BALANCES.c.at).where(BALANCES.c.account == account)).scalar()
    if (first is None and stored is None) or (stored is not None and stored >= end):
        return 0
    month = month_of(stored or first or end)
    balance = Balance(account)
    while start_of(month) < end:
        ((balance, _),) = reading.balances(connection, [account], start_of(after(month)) - 1, watch=True)
        rows = [
            {
                "account": account, "month": month, "limit_name": each.limit, "limit_kind": each.kind,
                "scope": each.scope or "", "units": each.units, "peak": each.peak, "held": each.held,
            }
            for each in of_month(balance, month)
        ]  # fmt: skip
        if rows:
            connection.execute(insert(MONTHS), rows)
        month = after(month)
    connection.execute(delete(BALANCES).where(BALANCES.c.account == account))
    connection.execute(insert(BALANCES).values(account=account, at=end, state=balance.write()))
    return connection.execute(delete(ENTRIES).where(*condition)).rowcount
