"""
Usage files of millions of rows: DuckDB sorts them by chunk of accounts, out of memory where it must.

The cells that most files have (digits, months) are read by DuckDB. A row with any other cell is
read as `reading.py` reads it, so that values and problems are the same for both.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from entitlements.accounts.csv.dialect import find_separator, is_separator_line
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Problem
from entitlements.usage_files.columns import UsageColumn, UsageColumns, UsagePart, choose_usage_columns
from entitlements.usage_files.parquet import is_parquet, open_duckdb
from entitlements.usage_files.reading import Figures, UsageMonth, UsageReader

_SAMPLE = 65_536
_MONTH = "[0-9]{4}-(0[1-9]|1[0-2])"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ID = "[!#-~]([ !#-~]*[!#-~])?"
MEMORY = "600MB"
"""The memory of DuckDB; it sorts what is larger on disk."""


@dataclass(frozen=True, slots=True)
class ChunkedUsage:
    """
    The usage of the accounts of one chunk.

    Args:
        months: The months of each account, newest first.
        problems: The problems of its rows.
    """

    months: Mapping[str, tuple[UsageMonth, ...]]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class UsageTable:
    """
    A usage file, sorted by chunk of accounts.

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
        figures = ", ".join(f"f{at}" for at in range(len(self.columns.figures)))
        found = connection.execute(
            f"SELECT account, line, day, is_month{', ' if figures else ''}{figures} FROM usage"  # noqa: S608 - own names
            " WHERE chunk = ? ORDER BY account, day DESC, line",
            [number],
        ).fetchall()
        reader = UsageReader(self.file, list(self.headings), self.columns)
        odd = connection.execute("SELECT line, cells FROM odd WHERE chunk = ? ORDER BY line", [number]).fetchall()
        for line, cells in odd:
            reader.read(line, cells)
        keys = [(column.part, column.name) for column in self.columns.figures]
        months = dict(_grouped(found, keys, reader))
        months |= {id: tuple(sorted(each.values(), key=_day, reverse=True)) for id, each in reader.months.items()}
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
    measures: Collection[str] = (),
) -> UsageTable | None:
    """
    Return the rows of a usage file, sorted by chunk; None for a file that only `read_usage` can read.

    Args:
        path: A CSV file in UTF-8, or a Parquet file.
        policy: The policy with the limits.
        chunks: The number of the chunk of each account.
        folder: For the database.
        given: Headings by name, for columns that are not recognised.
        measures: The names of measures that are read too.

    Raises:
        AccountError: Without DuckDB, and for a file without accounts or months.
        ValueError: For an unknown name in *given*.
    """
    source = _parquet_source(path) if is_parquet(path) else _csv_source(path)
    if source is None:
        return None
    headings, relation, first = source
    columns = choose_usage_columns(path, policy, headings, given, measures)
    with (folder / "accounts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(chunks)
    open_duckdb(path).close()  # tells of a missing DuckDB
    import duckdb

    table = UsageTable(path, str(folder / "usage.duckdb"), tuple(headings), columns)
    connection = duckdb.connect(table.database)
    try:
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{folder}'; SET threads = 2")
        _load(connection, relation, folder, columns, len(headings), first)
        if not _is_as_read(connection, path, first):
            return None
        rest = _rest(connection, table)
    except duckdb.Error:
        return None
    finally:
        connection.close()
    return UsageTable(path, table.database, table.headings, columns, rest)


def _load(connection: Any, relation: str, folder: Path, columns: UsageColumns, width: int, first: int) -> None:
    """Fill the tables `usage` (plain rows) and `odd` (all rows of accounts with another row), both by chunk."""
    names = [f"c{at}" for at in range(width)]
    plain = " AND ".join(["month_is_plain", "account_is_plain", *(f"({_is_plain(each)})" for each in columns.figures)])
    figures = ", ".join(f"{_value(each)} AS f{at}" for at, each in enumerate(columns.figures))
    account, month = f"c{columns.account}", f"c{columns.month}"
    connection.execute(f"""
        CREATE TEMP TABLE bases AS
          SELECT * FROM read_csv('{_quoted(folder / "accounts.csv")}', header = false, all_varchar = true,
            columns = {{'account': 'VARCHAR', 'chunk': 'INTEGER'}});
        CREATE TEMP VIEW raw AS
          SELECT row_number() OVER () + {first} AS line, {", ".join(names)} FROM {relation};
        CREATE TEMP VIEW judged AS
          SELECT *, trim(coalesce({account}, '')) AS account, trim(coalesce({month}, '')) AS month,
            regexp_full_match(trim(coalesce({account}, '')), '{_ID}') AS account_is_plain,
            (regexp_full_match(trim(coalesce({month}, '')), '{_MONTH}')
              OR (regexp_full_match(trim(coalesce({month}, '')), '{_DAY}')
                AND try_cast(trim({month}) AS DATE) IS NOT NULL)) AS month_is_plain
          FROM raw;
        CREATE TEMP TABLE split AS
          SELECT line, account, length(month) = 7 AS is_month,
            try_cast(CASE WHEN length(month) = 7 THEN month || '-01' ELSE month END AS DATE) AS day,
            {plain} AS is_plain{", " if figures else ""}{figures} FROM judged;
        CREATE TEMP TABLE slow AS SELECT DISTINCT account FROM split WHERE NOT is_plain;
        CREATE TABLE usage AS
          SELECT bases.chunk, split.* EXCLUDE (is_plain) FROM split JOIN bases USING (account)
          WHERE account NOT IN (SELECT account FROM slow)
          ORDER BY bases.chunk, account, day DESC, line;
        CREATE TABLE odd AS
          SELECT coalesce(bases.chunk, -1) AS chunk, line, [{", ".join(f"coalesce({each}, '')" for each in names)}] AS cells
          FROM judged LEFT JOIN bases USING (account)
          WHERE judged.account IN (SELECT account FROM slow)
          ORDER BY 1, line;
        CREATE TABLE strangers AS
          SELECT account, min(line) AS line FROM split
          WHERE account NOT IN (SELECT account FROM bases) AND account NOT IN (SELECT account FROM slow)
          GROUP BY account ORDER BY 2;
    """)  # noqa: S608 - the names are ours, the paths are quoted


def _is_as_read(connection: Any, path: str, first: int) -> bool:
    """Return True if each line of a CSV file is a row, so that the lines of the rows are known."""
    if not first:
        return True
    (rows,) = connection.execute("SELECT count(*) FROM split").fetchone()
    lines, last = 0, b"\n"
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return bool(rows == lines + (last != b"\n") - first)


def _rest(connection: Any, table: UsageTable) -> tuple[Problem, ...]:
    """Return the problems of rows that belong to no account of the base."""
    from entitlements.usage_files.reading import stranger

    found = connection.execute("SELECT account, line FROM strangers").fetchall()
    reader = UsageReader(table.file, list(table.headings), table.columns)
    for line, cells in connection.execute("SELECT line, cells FROM odd WHERE chunk = -1 ORDER BY line").fetchall():
        reader.read(line, cells)
    odd = [(id, min(each.line for each in months.values())) for id, months in reader.months.items()]
    return (*reader.problems, *(stranger(table.file, id, line) for id, line in (*found, *odd)))


def _is_plain(column: UsageColumn) -> str:
    """Return the condition that a cell is empty, or digits that DuckDB reads as `read_usage` would."""
    cell = f"trim(coalesce(c{column.at}, ''))"
    if column.part is UsagePart.MEASURE:
        pattern = r"-?[0-9]{1,12}(\.[0-9]{1,2})?"
    elif column.factor == 1:
        pattern = "[0-9]{1,17}"
    else:
        digits = len(str(column.factor)) - 1 if column.factor == 10 ** (len(str(column.factor)) - 1) else 0
        pattern = rf"[0-9]{{1,6}}(\.[0-9]{{1,{min(digits, 9)}}})?" if digits else "[0-9]{1,6}"
    return f"{cell} = '' OR regexp_full_match({cell}, '{pattern}')"


def _value(column: UsageColumn) -> str:
    """Return the units in a plain cell, or the text of a measure."""
    cell = f"trim(coalesce(c{column.at}, ''))"
    if column.part is UsagePart.MEASURE:
        return f"nullif({cell}, '')"
    if column.factor == 1:
        return f"try_cast({cell} AS BIGINT)"
    return f"(try_cast({cell} AS DECIMAL(18, 9)) * {column.factor})::BIGINT"


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


def _day(month: UsageMonth) -> date:
    return month.day


def _grouped(
    rows: list[tuple[Any, ...]], keys: list[tuple[UsagePart, str]], reader: UsageReader
) -> Iterator[tuple[str, tuple[UsageMonth, ...]]]:
    """Yield the months of each account from rows that are sorted by account and day; a second row of a day is reported."""
    measures = [at for at, (part, _) in enumerate(keys) if part is UsagePart.MEASURE]
    account, months = None, list[UsageMonth]()
    for id, line, day, is_month, *values in rows:
        if id != account:
            if account is not None:
                yield account, tuple(months)
            account, months = id, []
        for at in measures:
            values[at] = None if values[at] is None else Decimal(values[at])
        if months and months[-1].day == day:
            reader.report_second(id, line, months[-1].line)
            continue
        figures: Figures = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        months.append(UsageMonth(line, day, is_month, figures))
    if account is not None:
        yield account, tuple(months)
