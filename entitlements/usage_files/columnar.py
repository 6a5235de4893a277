"""
Usage files of millions of rows: DuckDB sorts them by account, out of memory where it must.

DuckDB reads the cells that most files have (digits, months). A row with any other cell is
read as `reading.py` reads it, so that values and problems are the same for both.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from entitlements.accounts.csv.dialect import find_separator, is_separator_line
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Problem
from entitlements.usage_files.columns import UsageColumn, UsageColumns, choose_usage_columns
from entitlements.usage_files.month_columns import FigureKey, MonthColumns, by_column
from entitlements.usage_files.parquet import is_parquet, open_duckdb
from entitlements.usage_files.reading import Figures, UsageMonth, UsageReader, stranger

_SAMPLE = 65_536
_MONTH = "[0-9]{4}-(0[1-9]|1[0-2])"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
MEMORY = "600MB"
"""The memory of DuckDB; it sorts what is larger on disk."""


@dataclass(frozen=True, slots=True)
class ChunkedUsage:
    """
    The usage of the accounts of one chunk.

    Args:
        months: The months of each account.
        problems: The problems of its rows.
    """

    months: Mapping[str, MonthColumns]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class UsageTable:
    """
    A usage file, sorted by account.

    Args:
        file: Its name, as given.
        database: The path of the database that holds it.
        headings: Its headings.
        columns: Its columns.
        rest: The problems of rows without an account of the base, and the accounts that are none.
    """

    file: str
    database: str
    headings: tuple[str, ...]
    columns: UsageColumns
    rest: tuple[Problem, ...] = ()

    def chunk(self, connection: Any, number: int) -> ChunkedUsage:
        """
        Return the usage of a chunk.

        Args:
            connection: To the database, as `open_table` returns one.
            number: Of the chunk.
        """
        ids = dict(connection.execute("SELECT place, account FROM bases WHERE chunk = ?", [number]).fetchall())
        rows = connection.execute(
            "SELECT place, number, line, cells, * EXCLUDE (place, number, line, cells, chunk, account, is_plain) FROM usage"
            " WHERE chunk = ? ORDER BY place, number DESC, line",
            [number],
        ).fetchall()
        keys = [(column.part, column.name) for column in self.columns.figures]
        reader = UsageReader(self.file, list(self.headings), self.columns)
        months: dict[str, MonthColumns] = {}
        for place, group in groupby(rows, itemgetter(0)):
            whole = list(group)
            _, days, _, cells, *figures = zip(*whole, strict=True)
            if any(cells) or not _are_distinct(days):
                _read_rows(reader, ids[place], whole, keys)
            else:
                months[ids[place]] = MonthColumns(days, dict(zip(keys, figures, strict=True)))
        months |= {id: by_column(each) for id, each in reader.in_order().items()}
        return ChunkedUsage(months, tuple(reader.problems))


def open_table(table: UsageTable) -> Any:
    """Return a read-only connection to the database of a table."""
    import duckdb

    connection = duckdb.connect(table.database, read_only=True)
    connection.execute("SET threads = 1")
    return connection


def sort_usage(
    path: str,
    policy: PolicyData,
    chunks: Iterable[tuple[str, int]],
    folder: Path,
    *,
    given: Mapping[str, str] | None = None,
) -> UsageTable | None:
    """
    Return the rows of a usage file, sorted by account; None for a file that only `read_usage` can read.

    Args:
        path: A CSV file in UTF-8, or a Parquet file.
        policy: The policy with the limits.
        chunks: The accounts in their order, each with the number of its chunk.
        folder: For the database.
        given: Headings by name, for columns that are not recognised.

    Raises:
        AccountError: Without DuckDB, and for a file without accounts or months.
        ValueError: For an unknown name in *given*.
    """
    source = _parquet_source(path) if is_parquet(path) else _csv_source(path)
    if source is None:
        return None
    headings, relation, first = source
    columns = choose_usage_columns(path, policy, headings, given)
    with (folder / "accounts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows((id, chunk, at) for at, (id, chunk) in enumerate(chunks) if id == id.strip())
    open_duckdb(path).close()  # tells of a missing DuckDB
    import duckdb

    table = UsageTable(path, str(folder / "usage.duckdb"), tuple(headings), columns)
    connection = duckdb.connect(table.database)
    try:
        connection.execute(
            f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{folder}'; SET threads = 2;"
            " SET enable_progress_bar = false"
        )
        _load(connection, relation, folder, columns, len(headings), first)
        if not _is_as_read(connection, path, first):
            return None
        return replace(table, rest=tuple(_rest(connection, table)))
    except (duckdb.DataError, duckdb.OperationalError, duckdb.InvalidInputException):
        return None
    finally:
        connection.close()


def _load(connection: Any, relation: str, folder: Path, columns: UsageColumns, width: int, first: int) -> None:
    """
    Fill the table `usage`, sorted by account and month.

    A row has its cells where it is not plain, or of no account of the base. The blanks around an id are those
    of Python: a row whose account is not one of the base as it is written may still be one without them.
    """
    names = [f"c{at}" for at in range(width)]
    account, month = f"c{columns.account}", f"c{columns.month}"
    plain = " AND ".join(["number >= 2", *(f"({_is_plain(each)})" for each in columns.figures)])
    figures = "".join(f", {_value(each)} AS f{at}" for at, each in enumerate(columns.figures))
    connection.execute(f"""
        CREATE TABLE bases AS
          SELECT * FROM read_csv('{_quoted(folder / "accounts.csv")}', header = false, auto_detect = false,
            columns = {{'account': 'VARCHAR', 'chunk': 'INTEGER', 'place': 'INTEGER'}});
        CREATE TABLE judged_rows AS
          WITH raw AS (SELECT (row_number() OVER () + {first})::INTEGER AS line, {", ".join(names)} FROM {relation}),
          dated AS (
            SELECT *, CASE
              WHEN regexp_full_match({month}, '{_MONTH}') THEN 2 * {_ordinal(f"{month} || '-01'")} + 1
              WHEN regexp_full_match({month}, '{_DAY}') THEN 2 * {_ordinal(month)} END AS number FROM raw),
          judged AS (
            SELECT bases.chunk, bases.place, dated.*, coalesce({plain}, false) AS is_plain
            FROM dated LEFT JOIN bases ON dated.{account} = bases.account)
          SELECT chunk, place, number, line, is_plain, CASE WHEN place IS NULL THEN {account} END AS account,
            CASE WHEN place IS NULL OR NOT is_plain THEN [{", ".join(f"coalesce({each}, '')" for each in names)}] END
              AS cells{figures}
          FROM judged;
        -- a statement of its own: with the reading of the file it takes more than the memory at millions of rows
        CREATE TABLE usage AS SELECT * FROM judged_rows ORDER BY place, number DESC, line;
        DROP TABLE judged_rows;
    """)  # noqa: S608 - the names are ours, the paths are quoted


def _is_as_read(connection: Any, path: str, first: int) -> bool:
    """Return True if each line of a CSV file is a row, so that the lines of the rows are known."""
    if not first:
        return True
    (rows,) = connection.execute("SELECT count(*) FROM usage").fetchone()
    lines, last = 0, b"\n"
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return bool(rows == lines + (last != b"\n") - first)


def _rest(connection: Any, table: UsageTable) -> Iterator[Problem]:
    """Give rows to the account that they are of without blanks; yield the problems of rows that belong to none."""
    found = connection.execute("""
        SELECT coalesce(account, ''), min(line), bool_and(is_plain) AND count(*) = count(DISTINCT number // 2)
        FROM usage WHERE place IS NULL GROUP BY 1 ORDER BY 2
    """).fetchall()
    reader = UsageReader(table.file, list(table.headings), table.columns)
    lines: dict[str, int] = {}
    for text, line, is_simple in found:
        id = text.strip()
        own = (
            connection.execute("SELECT chunk, place FROM bases WHERE account = ?", [id]).fetchone()
            if id != text
            else None
        )
        if own is not None:
            connection.execute(
                "UPDATE usage SET chunk = ?, place = ? WHERE place IS NULL AND account = ?", [*own, text]
            )
            continue
        if is_simple and id == text != "":
            lines[id] = line
        else:
            query = "SELECT line, cells FROM usage WHERE place IS NULL AND coalesce(account, '') = ? ORDER BY line"
            for each, cells in connection.execute(query, [text]).fetchall():
                reader.read(each, cells)
    yield from reader.problems
    for id, months in reader.months.items():
        first = min(each.line for each in months.values())
        lines[id] = min(first, lines.get(id, first))
    yield from (stranger(table.file, id, line) for id, line in lines.items())


def _is_plain(column: UsageColumn) -> str:
    """Return the condition that a cell is empty, or digits that DuckDB reads as `read_usage` would."""
    cell = f"c{column.at}"
    if column.factor == 1:
        fits = f"try_cast({cell} AS BIGINT)::VARCHAR = {cell} AND try_cast({cell} AS BIGINT) >= 0"
    else:
        digits = len(str(column.factor)) - 1 if column.factor == 10 ** (len(str(column.factor)) - 1) else 0
        decimals = rf"(\.[0-9]{{1,{min(digits, 9)}}})?" if digits else ""
        fits = f"regexp_full_match({cell}, '[0-9]{{1,6}}{decimals}')"
    return f"coalesce({cell}, '') = '' OR ({fits})"


def _value(column: UsageColumn) -> str:
    """Return the units in a plain cell."""
    cell = f"c{column.at}"
    if column.factor == 1:
        return f"try_cast({cell} AS BIGINT)"
    return f"(try_cast({cell} AS DECIMAL(15, 9))::DECIMAL(38, 9) * {column.factor})::BIGINT"


def _ordinal(text: str) -> str:
    """Return the expression of Python's ordinal of a day; NULL for a day that does not exist."""
    return f"(try_cast({text} AS DATE) - DATE '0001-01-01' + 1)"


def _csv_source(path: str) -> tuple[list[str], str, int] | None:
    """Return the headings, the relation and the lines before the first row; None where line numbers are not certain."""
    with Path(path).open("rb") as file:
        head = file.read(_SAMPLE)
    try:
        text = head.decode("utf-8-sig", "strict" if len(head) < _SAMPLE else "ignore")
    except UnicodeDecodeError:
        return None
    first = text.partition("\n")[0].rstrip("\r")
    if is_separator_line(text) or not first.strip() or "\r" in text.replace("\r\n", ""):
        return None
    separator = find_separator(path, text[: text.rfind("\n") + 1] or text, ("account", "month"))
    headings = next(csv.reader([first], delimiter=separator))
    types = ", ".join(f"'c{at}': 'VARCHAR'" for at in range(len(headings)))
    relation = (
        f"read_csv('{_quoted(path)}', header = false, skip = 1, delim = '{separator}', quote = '\"', escape = '\"',"
        f" columns = {{{types}}}, auto_detect = false)"
    )
    return headings, relation, 1


def _parquet_source(path: str) -> tuple[list[str], str, int]:
    from entitlements.usage_files.parquet import parquet_rows

    headings, rows = parquet_rows(path)
    del rows
    cells = ", ".join(
        f'"{heading.replace(chr(34), chr(34) * 2)}"::VARCHAR AS c{at}' for at, heading in enumerate(headings)
    )
    return headings, f"(SELECT {cells} FROM read_parquet('{_quoted(path)}'))", 0  # noqa: S608 - quoted


def _quoted(path: object) -> str:
    return str(path).replace("'", "''")


@lru_cache(maxsize=4096)
def _are_distinct(days: tuple[int, ...]) -> bool:
    return len({day // 2 for day in days}) == len(days)


def _read_rows(reader: UsageReader, id: str, rows: list[tuple[Any, ...]], keys: Sequence[FigureKey]) -> None:
    """Read the rows of an account one by one, in the order of the file."""
    for _, number, line, cells, *values in sorted(rows, key=itemgetter(2)):
        if cells:
            reader.read(line, cells)
        else:
            figures: Figures = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
            reader.add(id, UsageMonth(line, date.fromordinal(number // 2), bool(number % 2), figures))
