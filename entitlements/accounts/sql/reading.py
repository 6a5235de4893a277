"""Statements that load accounts: one for any number of ids, from our tables or by a query of yours."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, Select, Text, bindparam, cast, literal, null, select, text, union_all

from entitlements.accounts.sql.schema import check_version
from entitlements.accounts.sql.tables import ACCOUNTS, ADD_ONS, CHANGES, GRANTS, OVERRIDES, SCHEMA, TRIALS, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Row, Table
    from sqlalchemy.sql.elements import ColumnElement, TextClause
    from sqlalchemy.types import TypeEngine

MAX_IDS = 500
"""Most ids in one statement."""

_SHAPE: tuple[TypeEngine[Any] | Instant, ...] = (
    Text(),
    Text(),
    Text(),
    Text(),
    Text(),
    BigInteger(),
    BigInteger(),
    Instant(),
    Instant(),
)
"""Types of the columns that the parts of the statement share, after part, account and key."""


class _Part(NamedTuple):
    """A table of the statement: its columns in the order of `_SHAPE`; None where it has none for a place."""

    table: Table
    columns: tuple[str | None, ...]


_PARTS = (
    _Part(
        ACCOUNTS,
        ("tier", "status", "anchor", "attributes", "time_zone", "version", "event_order", "closed", "event_at"),
    ),
    _Part(TRIALS, ("tier", None, None, None, None, None, None, "starts", "ends")),
    _Part(OVERRIDES, ("name", "value", "reason", "author", None, None, None, "starts", "expires")),
    _Part(GRANTS, ("name", "reason", None, None, None, "amount", None, "starts", "expires")),
    _Part(ADD_ONS, ("name", None, None, None, None, "quantity", None, None, None)),
    _Part(CHANGES, ("tier", None, None, None, None, None, None, "at", None)),
)
_NAMES = {part.table.name: part.columns for part in _PARTS}

Rows = dict[str, list[dict[str, Any]]]
"""The rows of one account by table, each a dict of its columns and `key`, the primary key."""


def _select(part: _Part) -> Select[Any]:
    table, is_root = part.table, part.table is ACCOUNTS
    owner = table.c.id if is_root else table.c.account
    columns: list[ColumnElement[Any]] = [literal(table.name).label("part"), owner.label("account")]
    columns.append(cast(table.c.id, Text).label("key"))
    for at, (name, kind) in enumerate(zip(part.columns, _SHAPE, strict=True)):
        column: ColumnElement[Any] = cast(null(), kind) if name is None else table.c[name]
        columns.append(column.label(f"c{at}"))
    return select(*columns).where(owner.in_(bindparam("ids", expanding=True)))


_NO_CELLS: list[ColumnElement[Any]] = [cast(null(), kind) for kind in _SHAPE]
_VERSION = select(literal(SCHEMA.name), literal(""), literal(""), *_NO_CELLS[:5], SCHEMA.c.version, *_NO_CELLS[6:])

LOAD = union_all(*map(_select, _PARTS), _VERSION)
"""The statement that loads the accounts `ids` and the version of the tables."""


def read_rows(connection: Connection, ids: Sequence[str], url: str) -> dict[str, Rows]:
    """
    Return the rows of accounts, by id, in one statement; those of an unknown account are missing.

    Raises:
        SchemaMismatch: For tables of another version.
    """
    accounts: dict[str, Rows] = defaultdict(lambda: defaultdict(list))
    version = None
    for part, account, key, *cells in connection.execute(LOAD, {"ids": list(ids)}):
        if part == SCHEMA.name:
            version = cells[5]
            continue
        named = {name: cell for name, cell in zip(_NAMES[part], cells, strict=True) if name is not None}
        accounts[account][part].append({"key": key, **named})
    check_version(version, url)
    return accounts


class QueryRow:
    """A row of your query: a named tuple of SQLAlchemy whose columns can be had by name in brackets, too."""

    __slots__ = ("_row",)

    def __init__(self, row: Row[Any]) -> None:
        self._row = row

    def __getitem__(self, key: Any) -> Any:
        return self._row._mapping[key] if isinstance(key, str) else self._row[key]  # noqa: SLF001 - documented so

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)

    def __iter__(self) -> Any:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __repr__(self) -> str:
        return f"QueryRow({', '.join(self._row._fields)})"

    def keys(self) -> tuple[str, ...]:
        """Return the names of the columns: with the brackets, what `dict` needs."""
        return tuple(self._row._fields)


class Query:
    """
    A query of yours.

    Args:
        query: A text with `:id` for one account or `:ids` for many (`where id in :ids`), or a `select` with such
            a `bindparam`.

    Raises:
        ValueError: For a query with neither, or with other parameters.
    """

    def __init__(self, query: str | TextClause | Select[Any]) -> None:
        statement: Any = text(query) if isinstance(query, str) else query
        names = set(statement.compile().params)
        if names not in ({"id"}, {"ids"}):
            found = ", ".join(sorted(names)) or "none"
            raise ValueError(
                f"query: its parameters are {found}; write `where id = :id`, or `where id in :ids` for many"
            )
        self.is_batch = names == {"ids"}
        if self.is_batch and isinstance(query, str):
            statement = statement.bindparams(bindparam("ids", expanding=True))
        self._statement = statement

    def rows(self, connection: Connection, ids: Sequence[str]) -> Mapping[str, list[QueryRow]]:
        """
        Return the rows of each account.

        Raises:
            LookupError: For rows of several accounts without a column `id`.
        """
        found: dict[str, list[QueryRow]] = defaultdict(list)
        if not self.is_batch:
            for id in ids:
                found[id] = [QueryRow(row) for row in connection.execute(self._statement, {"id": id})]
            return found
        result: CursorResult[Any] = connection.execute(self._statement, {"ids": list(ids)})
        names = set(result.keys())
        if "id" not in names:
            raise LookupError(
                "a query with :ids needs a column `id` in its result; name it, as by `select number as id`"
            )
        for row in map(QueryRow, result):
            found[str(row["id"])].append(row)
        return found
