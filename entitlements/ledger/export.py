"""
Export: entries as CloudEvents, CSV or Parquet.

CloudEvents are of version 1.0 in JSON, one in a line; a receiver recognises a repeated one by `source` and `id`.
Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from entitlements.extras import extra
from entitlements.ledger import reading
from entitlements.ledger.entries import Entry
from entitlements.model.instants import NEVER, to_datetime

if TYPE_CHECKING:
    from sqlalchemy import Engine

FORMATS = ("cloudevents", "csv", "parquet")
FIELDS = (
    "id", "account", "entry", "kind", "limit", "limit_kind", "scope", "holder", "units", "at", "period_start",
    "period_end", "size", "expires", "operation", "writer",
)  # fmt: skip
"""Columns of CSV and Parquet; instants are ISO 8601 in UTC."""
_PAGE = 2000
_MOMENTS = {"at", "period_start", "period_end", "expires"}


def rows(engine: Engine, start: int, end: int | None) -> Iterator[dict[str, Any]]:
    """Yield the entries of [start, end) in the order in which they were written."""
    after = 0
    while True:
        with engine.connect() as connection:
            page = reading.since(connection, start, end, after, _PAGE)
        for id, entry, writer in page:
            yield _row(id, entry, writer)
        if len(page) < _PAGE:
            return
        after = page[-1][0]


def _row(id: int, entry: Entry, writer: str) -> dict[str, Any]:
    values: dict[str, Any] = dict(zip(FIELDS, (id, *entry, writer), strict=True))
    for name in _MOMENTS:
        if values[name] == NEVER:
            values[name] = None
        if values[name] is not None:
            values[name] = to_datetime(values[name]).isoformat(timespec="microseconds")
    values["limit"] = values["limit"] or None
    return values


def as_cloudevents(found: Iterable[dict[str, Any]], source: str) -> Iterator[str]:
    """Yield one event in JSON for each entry, with a line feed."""
    for row in found:
        data = {
            name: row[name] for name in FIELDS if name not in ("id", "account", "at", "kind") and row[name] is not None
        }
        event = {
            "specversion": "1.0",
            "id": f"{row['account']}/{row['entry']}/{row['limit'] or ''}",
            "source": source,
            "type": f"entitlements.ledger.{row['kind']}",
            "subject": row["account"],
            "time": row["at"],
            "datacontenttype": "application/json",
            "data": data,
        }
        yield json.dumps(event, ensure_ascii=False) + "\n"


def as_csv(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a CSV, the headings first."""
    yield _line(FIELDS)
    for row in found:
        yield _line(row[name] for name in FIELDS)


def as_parquet(found: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield the pieces of a Parquet file: numbers as BIGINT, instants as TIMESTAMP WITH TIME ZONE."""
    with extra("columnar", "DuckDB", __name__):
        import duckdb
    types = dict.fromkeys(_MOMENTS, "TIMESTAMPTZ") | {"id": "BIGINT", "units": "BIGINT"}
    columns = ", ".join(f"'{name}': '{types.get(name, 'VARCHAR')}'" for name in FIELDS)
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        lines, target = Path(folder, "entries.csv"), Path(folder, "entries.parquet")
        with lines.open("w", encoding="utf-8", newline="") as file:
            file.writelines(as_csv(found))
        options = f"columns={{{columns}}}, header=true, auto_detect=false, delim=',', quote='\"', escape='\"'"
        query = f"select * from read_csv('{lines}', {options})"  # noqa: S608 - our own names
        connection.execute(f"copy ({query}) to '{target}' (format parquet)")
        with target.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece


def _line(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(["" if each is None else each for each in values])
    return text.getvalue()
