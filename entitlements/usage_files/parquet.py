"""Rows of a Parquet file, as the texts that a CSV file would have; needs DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from entitlements.errors import AccountError

_MAGIC = b"PAR1"


def is_parquet(path: str) -> bool:
    """Return True if the file begins as a Parquet file does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def open_duckdb(reason: str) -> Any:
    """
    Return a database in memory.

    Args:
        reason: The work that needs it, for the message.

    Raises:
        AccountError: Where DuckDB is not installed, with the command that installs it.
    """
    try:
        import duckdb
    except ImportError:
        raise AccountError(f"{reason} needs DuckDB; install it: pip install 'entitlements[columnar]'") from None
    return duckdb.connect()


def parquet_rows(path: str) -> tuple[list[str], Iterator[list[str]]]:
    """
    Return the headings of a Parquet file, and its rows.

    Raises:
        AccountError: Without DuckDB, and for a file that it cannot read.
    """
    database = open_duckdb(f"{path}: a Parquet file")
    try:
        found = database.execute("SELECT COLUMNS(*)::VARCHAR FROM read_parquet(?)", [path])
    except Exception as error:  # noqa: BLE001 - any error of DuckDB
        cause = str(error).splitlines()[0]
        raise AccountError(f"{path}: the file cannot be read ({cause}); name a CSV or Parquet file") from None
    return [column[0] for column in found.description], _rows(found)


def _rows(found: Any) -> Iterator[list[str]]:
    while batch := found.fetchmany(10_000):
        for row in batch:
            yield ["" if cell is None else cell for cell in row]
