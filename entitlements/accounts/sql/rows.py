"""Accounts from rows; a row that is no account is an error that names table, key and column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entitlements.accounts.csv.cells import read_anchor, read_moment, read_status, read_time_zone, read_value
from entitlements.accounts.csv.columns import COLUMNS
from entitlements.accounts.csv.dialect import normalize_heading
from entitlements.accounts.csv.policy_view import apply_to_account
from entitlements.accounts.csv.rows import trial_of
from entitlements.accounts.sql.tables import ACCOUNTS, ADD_ONS, CHANGES, GRANTS, OVERRIDES, TRIALS
from entitlements.accounts.sql.values import read_attributes
from entitlements.accounts.static import check_account
from entitlements.errors import AccountError
from entitlements.model.account import Account, Change, Grant, Override, Trial
from entitlements.model.problem import Severity
from entitlements.policy.errors import InvalidValue

if TYPE_CHECKING:
    from entitlements.accounts.sql.reading import QueryRow, Rows
    from entitlements.model.policy import PolicyData

AccountReader = Callable[[Any], Account | None]
"""A function from a row of a query to the account; None if it is none of yours."""


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """
    An account as it stands in our tables.

    Args:
        account: The account; None if it was closed.
        version: The number of its changes.
        event: The instant and the order of the newest outside event that was applied; None for none.
    """

    account: Account | None
    version: int
    event: tuple[datetime, int] | None = None


class RowError(AccountError):
    """
    A row that is no account.

    Args:
        id: The account.
        table: The table.
        key: The row's primary key.
        column: The column; empty if it is no single one.
        problem: What is wrong, and the cure.
    """

    def __init__(self, id: str, table: str, key: str, column: str, problem: str) -> None:
        where = f"table {table}, row {key}" + (f", column {column}" if column else "")
        super().__init__(f"account {id!r}: {where}: {problem}")
        self.id, self.table, self.key, self.column, self.problem = id, table, key, column, problem

    def __reduce__(self) -> tuple[type[RowError], tuple[str, ...]]:
        """Pickle the constructor's arguments; the default would pickle the message."""
        return (RowError, (self.id, self.table, self.key, self.column, self.problem))


def read_account(id: str, rows: Rows) -> StoredAccount:
    """
    Return an account from its rows of our tables.

    Raises:
        RowError: For a row that is no account.
    """
    (root,) = rows[ACCOUNTS.name]

    def cell(table: str, row: Mapping[str, Any], column: str, read: Callable[[Any], Any]) -> Any:
        value = row[column]
        if value is None:
            return None
        try:
            return read(value)
        except (InvalidValue, AccountError) as error:
            raise RowError(id, table, str(row["key"]), column, str(error)) from None

    def moments(table: str, row: Mapping[str, Any], *columns: str) -> dict[str, Any]:
        return {column: cell(table, row, column, moment_of) for column in columns}

    def part(table: str, build: Callable[[Mapping[str, Any]], Any]) -> list[Any]:
        parts = []
        for row in sorted(rows.get(table, ()), key=lambda row: int(row["key"])):
            try:
                parts.append(build(row))
            except RowError:
                raise
            except AccountError as error:
                raise RowError(id, table, str(row["key"]), _column(table, error), str(error)) from None
        return parts

    def override(row: Mapping[str, Any]) -> Override:
        value = cell(OVERRIDES.name, row, "value", read_value)
        spans = moments(OVERRIDES.name, row, "starts", "expires")
        return Override(row["name"], value, reason=row["reason"], author=row["author"], **spans)

    def grant(row: Mapping[str, Any]) -> Grant:
        spans = moments(GRANTS.name, row, "starts", "expires")
        return Grant(row["name"], row["amount"], reason=row["reason"], **spans)

    closed = cell(ACCOUNTS.name, root, "closed", moment_of)
    event_at = cell(ACCOUNTS.name, root, "event_at", moment_of)
    event = None if event_at is None else (event_at, int(root["event_order"] or 0))
    if closed is not None:
        return StoredAccount(None, root["version"], event)
    fields: dict[str, Any] = {}
    fields.update(
        {
            "status": cell(ACCOUNTS.name, root, "status", read_status),
            "anchor": cell(ACCOUNTS.name, root, "anchor", read_anchor),
            "time_zone": cell(ACCOUNTS.name, root, "time_zone", read_time_zone),
            "overrides": part(OVERRIDES.name, override),
            "grants": part(GRANTS.name, grant),
            "changes": part(CHANGES.name, lambda row: Change(row["tier"], **moments(CHANGES.name, row, "at"))),
            "add_ons": dict(part(ADD_ONS.name, lambda row: (row["name"], row["quantity"]))),
        }
    )
    trials = part(TRIALS.name, lambda row: Trial(row["tier"], **moments(TRIALS.name, row, "starts", "ends")))
    fields["trial"] = trials[0] if trials else None
    fields["attributes"] = cell(ACCOUNTS.name, root, "attributes", read_attributes) or {}
    try:
        account = Account(id, root["tier"], **fields)
    except AccountError as error:
        raise _faulty_part(id, root["tier"], fields, rows, error) from None
    return StoredAccount(account, root["version"], event)


def _column(table: str, error: AccountError) -> str:
    """Return the column that an error of a part is about, as its text names it."""
    text = str(error)
    for word, column in (("starts", "starts"), ("amount", "amount"), ("reason", "reason"), ("author", "author")):
        if f"{word} " in text:
            return column
    return "tier" if "tier" in text else "at" if "at " in text and table == CHANGES.name else "name"


_TABLES = {"overrides": OVERRIDES, "grants": GRANTS, "changes": CHANGES, "add_ons": ADD_ONS}


def _faulty_part(id: str, tier: Any, fields: Mapping[str, Any], rows: Rows, error: AccountError) -> RowError:
    """Return the error of an account whose parts do not make one, with the table that is to blame."""
    said = str(error).removeprefix(f"account {id!r}: ")
    for name, table in _TABLES.items():
        for row in rows.get(table.name, ()):
            value = {row["name"]: row["quantity"]} if name == "add_ons" else fields[name]
            part: dict[str, Any] = {name: value}
            try:
                Account(id, "tier", **part)
            except AccountError:
                return RowError(id, table.name, str(row["key"]), "quantity" if name == "add_ons" else "at", said)
    return RowError(id, ACCOUNTS.name, id, "id" if isinstance(tier, str) and tier else "tier", said)


def moment_of(cell: object) -> datetime:
    """
    Return an instant from a cell; one without an offset is UTC.

    Raises:
        InvalidValue: For anything else but a datetime or a text in ISO 8601.
    """
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=UTC) if cell.tzinfo is None else cell.astimezone(UTC)
    text = str(cell).replace("+00:00", "Z")
    return read_moment(text)


def read_query_row(row: QueryRow, id: str, source: str) -> Account:
    """
    Return the account of a row whose columns are named like those of a CSV of accounts.

    A cell may be a text as in a CSV, or have the type itself: a datetime, an int, a mapping of add-ons.
    Other columns become attributes.

    Raises:
        RowError: For a cell that cannot be read.
    """
    fields: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for heading in row.keys():  # noqa: SIM118 - iterating over a row gives its cells
        value, name = row[heading], normalize_heading(heading)
        if name == "id" or value is None:
            continue
        if name not in COLUMNS:
            attributes[name] = value
            continue
        try:
            if isinstance(value, datetime):
                fields[name] = moment_of(value)
            elif not isinstance(value, str):
                fields[name] = value
            elif value.strip():
                fields[name] = COLUMNS[name](value.strip(), f"from {source}")
        except (InvalidValue, AccountError) as error:
            raise RowError(id, source, id, heading, str(error)) from None
    if "tier" not in fields:
        raise RowError(id, source, id, "tier", "there is none; select the tier's name as tier")
    try:
        return Account(id, trial=trial_of(fields), attributes=attributes, **fields)
    except (InvalidValue, AccountError) as error:
        raise RowError(id, source, id, "", str(error).removeprefix(f"account {id!r}: ")) from None


def account_of(
    rows: list[QueryRow], id: str, source: str, read: AccountReader | None, policy: PolicyData | None
) -> Account | None:
    """
    Return the account that a query found; None for no row.

    Raises:
        RowError: For several rows, and for one that is no account of this id.
    """
    if not rows:
        return None
    if len(rows) > 1:
        raise RowError(id, source, id, "id", f"the query gives {len(rows)} rows for one id; it must give one")
    if read is not None:
        try:
            found = read(rows[0])
            return None if found is None else check_account(found, id, "the query's reader")
        except RowError:
            raise
        except (AccountError, InvalidValue, LookupError, AttributeError, TypeError) as error:
            said = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            raise RowError(id, source, id, "", said.removeprefix(f"account {id!r}: ")) from error
    account = read_query_row(rows[0], id, source)
    if policy is None:
        return account
    bound, faults = apply_to_account(policy, account)
    bad = [fault for fault in faults if fault.severity is Severity.ERROR]
    if bound is None and bad:
        raise RowError(id, source, id, bad[0].path, f"{bad[0].problem}; {bad[0].cure}")
    return bound
