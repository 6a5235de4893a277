"""The steps of transition cases in a table of a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from entitlements.cli.transitions.kept_steps import COLUMNS, cells_of, read_steps
from entitlements.errors import AccountError
from entitlements.extras import extra
from entitlements.tiering.case_steps import CaseStep

with extra("sql", "SQLAlchemy", __name__):
    import sqlalchemy as sql

TIMEOUT = 10.0
"""Seconds that a statement may take."""

_KEY = ("account", "opened", "number")
_STEPS = sql.Table(
    "transition_steps",
    sql.MetaData(),
    *(sql.Column(name, sql.Text, primary_key=name in _KEY, nullable=name not in _KEY) for name in COLUMNS),
)


class StepTable:
    """
    The table `transition_steps` of a database; it is created with the first step.

    Args:
        url: The URL of the database, such as `sqlite:///cases.db`.

    Raises:
        AccountError: For a URL that names no database.
    """

    def __init__(self, url: str) -> None:
        from entitlements.accounts.sql.engines import open_engine

        try:
            self._engine = open_engine(url, TIMEOUT)
        except (ValueError, ModuleNotFoundError) as error:
            raise AccountError(str(error)) from None
        self._url = self._engine.url.render_as_string()  # without its password

    def read(self) -> tuple[list[CaseStep], list[str]]:
        """Return the steps, and the problems of the rows."""
        try:
            with self._used() as engine, engine.connect() as connection:
                if not sql.inspect(connection).has_table(_STEPS.name):
                    return [], []
                found = connection.execute(sql.select(_STEPS).order_by(*(_STEPS.c[name] for name in _KEY))).mappings()
                rows = [{name: str(cell or "") for name, cell in row.items()} for row in found]
        except sql.exc.SQLAlchemyError as error:
            raise self._unreadable(error) from None
        return read_steps(self._url, enumerate(rows, 1))

    def add(self, steps: Sequence[CaseStep]) -> None:
        """Insert steps; two runs at once cannot add the same case twice."""
        rows = [dict(zip(COLUMNS, cells_of(step), strict=True)) for step in steps]
        self._run(lambda connection: rows and connection.execute(sql.insert(_STEPS), rows))

    def finish(self, steps: Sequence[CaseStep]) -> None:
        """Update the steps that are still open."""

        def update(connection: Any) -> None:
            for step in steps:
                row = dict(zip(COLUMNS, cells_of(step), strict=True))
                same = [_STEPS.c[name] == row[name] for name in _KEY]
                connection.execute(sql.update(_STEPS).where(*same, _STEPS.c.done == "").values(done=row["done"]))

        self._run(update)

    def _run(self, work: Any) -> None:
        try:
            with self._used() as engine, engine.begin() as connection:
                _STEPS.create(connection, checkfirst=True)
                work(connection)
        except sql.exc.SQLAlchemyError as error:
            raise self._unreadable(error) from None

    @contextmanager
    def _used(self) -> Iterator[sql.Engine]:
        """Yield the engine, and close its connections: a command uses it once or twice."""
        try:
            yield self._engine
        finally:
            self._engine.dispose()

    def _unreadable(self, error: Exception) -> AccountError:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        return AccountError(f"{self._url}: the table {_STEPS.name} cannot be used ({cause}); check the database")
