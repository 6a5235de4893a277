"""Settings and pure half of the sources in SQL: what to load, what to store, and when to repeat."""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from entitlements.accounts.sql import schema
from entitlements.accounts.sql.edits import Scene
from entitlements.accounts.sql.engines import first_line, is_conflict, is_lost, is_missing, unavailable
from entitlements.accounts.sql.errors import ChangedMeanwhile, Conflict, SchemaMismatch
from entitlements.accounts.sql.notifications import feed_of
from entitlements.accounts.sql.options import CHANGE_OPTIONS
from entitlements.accounts.sql.reading import Query, read_rows
from entitlements.accounts.sql.rows import RowError, account_of, read_account
from entitlements.accounts.sql.writing import Event, Noted, Order
from entitlements.errors import AccountError, EntitlementsError
from entitlements.model.instants import check_moment
from entitlements.model.problem import Problem
from entitlements.model.redaction import digest, redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL, Connection, Select
    from sqlalchemy.sql.elements import TextClause

    from entitlements.accounts.sql.edits import Edit
    from entitlements.accounts.sql.options import Invalidator
    from entitlements.accounts.sql.rows import AccountReader
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData
    from entitlements.ports import InvalidationFeed

_log = logging.getLogger("entitlements.accounts")

TIMEOUT = timedelta(seconds=2)
"""Default time limit of a statement."""
ATTEMPTS = 8
"""Attempts of a transaction that others get into the way of."""
MAX_REPORTED = 1000
"""Damaged rows that are remembered as logged."""


class Settings(ABC):
    """The settings and the pure half of both sources."""

    def __init__(
        self,
        query: str | TextClause | Select[Any] | None,
        account: AccountReader | None,
        policy: PolicyData | None,
        enforcer: Any,
        clock: Callable[[], int],
        *,
        listen: bool | str,
    ) -> None:
        if account is not None and query is None:
            raise ValueError("account= reads the rows of a query of yours; give query= as well")
        self._query = None if query is None else Query(query)
        self._account = account
        self._policy = policy
        self._enforcer = enforcer
        self._clock = clock
        self._listen = listen
        self._reported: set[tuple[str, str, str]] = set()

    _is_async = False

    @property
    @abstractmethod
    def _url(self) -> URL: ...

    @property
    def _shown(self) -> str:
        return self._url.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        """Return the class and the database."""
        return f"{type(self).__name__}({self._shown!r})"

    def invalidations(self) -> InvalidationFeed | None:
        """Return a new feed of the accounts that other processes change; None where the database has none."""
        return feed_of(self._url, listen=self._listen)

    @property
    def has_own_tables(self) -> bool:
        """True on the tables of this package, whose accounts can be listed and changed; False for a query of yours."""
        return self._query is None

    def _check_writable(self) -> None:
        if not self.has_own_tables:
            raise TypeError(
                f"{self!r} reads a query of yours; change its accounts where they are kept, then invalidate"
            )

    def _load(self, connection: Connection, ids: Sequence[str]) -> Mapping[str, Account | AccountError]:
        """Return accounts, or the errors of their rows, by id; an unknown one is missing."""
        found: dict[str, Account | AccountError] = {}
        if self._query is None:
            for id, rows in read_rows(connection, ids, self._shown).items():
                try:
                    account = read_account(id, rows).account
                except RowError as error:
                    found[id] = self._report(error)
                else:
                    if account is not None:
                        found[id] = account
            return found
        for id, query_rows in self._query.rows(connection, ids).items():
            try:
                one = account_of(query_rows, id, "of the query", self._account, self._policy)
            except RowError as error:
                found[id] = self._report(error)
            else:
                if one is not None:
                    found[id] = one
        return found

    def _report(self, error: RowError) -> RowError:
        """Log a damaged row, once while it stays so."""
        mark = (error.table, error.key, error.problem)
        if mark not in self._reported:
            if len(self._reported) >= MAX_REPORTED:
                self._reported.clear()
            self._reported.add(mark)
            key = digest(error.id) if error.key == error.id else error.key
            _log.warning(
                "account %s cannot be read: %s, table %s, row %s, column %s: %s",
                digest(error.id), self._shown, error.table, key, error.column or "(several)",
                redact(error.problem, error.id),
                extra={"table": error.table, "key": key, "column": error.column},
            )  # fmt: skip
        return error

    def _order(
        self,
        id: str,
        action: str,
        edit: Edit,
        options: Mapping[str, Any],
        event: Event | None = None,
        *,
        noted: Noted | None = None,
    ) -> Order:
        """Return the order of a verb from its options."""
        self._check_writable()
        if unknown := sorted(options.keys() - CHANGE_OPTIONS):
            raise TypeError(f"{action}() has no argument {unknown[0]!r}")
        if not {"reason", "author"} <= options.keys():
            raise TypeError(f"{action}() needs reason= and author=, which stand in its audit row")
        enforcer, at = self._enforcer_of(options), options.get("at")
        scene = Scene(self._policy if enforcer is None else enforcer.policy, self._clock())
        if at is not None:
            scene = replace(scene, now=dated_back(at, scene.now, action))
        signed = options["reason"], options["author"], options.get("version")
        return Order(id, action, edit, scene, *signed, event, noted or {})

    def _enforcer_of(self, options: Mapping[str, Any]) -> Invalidator | None:
        """Return the enforcer that invalidates the account after a change."""
        enforcer: Invalidator | None = options.get("enforcer") or self._enforcer
        if enforcer is not None and hasattr(enforcer, "aclose") != self._is_async:
            kind, cure = ("AsyncSqlAccounts", "AsyncEnforcer") if self._is_async else ("SqlAccounts", "Enforcer")
            raise TypeError(f"enforcer {enforcer!r} cannot be used by {kind}; give it an {cure}")
        return enforcer

    def _mapped(self, error: Exception, ids: Sequence[str] = ()) -> Exception:
        """Return the error to raise for one of SQLAlchemy or of a driver."""
        if isinstance(error, EntitlementsError | LookupError):
            return error
        if is_missing(error) and self._query is None:
            return SchemaMismatch(schema.MISSING.format(url=self._shown, said=first_line(error)))
        return unavailable(error, self._url, ids)

    def with_policy(self, policy: PolicyData) -> Any:
        """Return the source as it reads under *policy*: our tables, and a reader of yours, read alike under each."""
        if policy is self._policy or self._query is None or self._account is not None:
            return self
        other = copy(self)
        other._policy = policy  # noqa: SLF001 - a copy of this
        other._begin()  # noqa: SLF001 - a copy of this
        return other

    @abstractmethod
    def _begin(self) -> None:
        """Make what a copy must have for itself."""


def dated_back(at: Any, now: int, action: str) -> int:
    """Return the instant of a change that is made at once."""
    try:
        moment = check_moment(at, "at")
    except ValueError as error:
        raise AccountError(str(error)) from None
    if moment > now:
        raise AccountError(f"{action} at {at}: it takes effect at once; leave at= out, or date it back")
    return moment


def repeats(error: Exception, order: Order | None, *, is_committing: bool) -> bool:
    """
    Return whether a transaction may be repeated after an error.

    While it was being committed, a broken connection leaves it unknown: only an outside event, which is applied once,
    may be repeated then.
    """
    if isinstance(error, Conflict) or is_conflict(error):
        return True
    return is_lost(error) and (not is_committing or (order is not None and order.event is not None))


def pause(attempt: int) -> float:
    """Return the seconds before the next attempt."""
    return float(random.uniform(0.5, 1.5) * 0.005 * 2**attempt)  # noqa: S311 - spreads attempts


def busy_error(order: Order | None) -> ChangedMeanwhile:
    """Return the error of a transaction that others got into the way of each time."""
    what = "the tables" if order is None else f"account {order.id!r}"
    return ChangedMeanwhile(f"{what}: others change it all the time, {ATTEMPTS} attempts failed; try again")


def without_errors(loaded: Mapping[str, Account | Exception]) -> dict[str, Account]:
    """Return accounts; raise the first error of a row."""
    found: dict[str, Account] = {}
    for id, account in loaded.items():
        if isinstance(account, Exception):
            raise account
        found[id] = account
    return found


def problem_of(error: RowError) -> Problem:
    """Return the problem that `validate` shows for a damaged row."""
    problem, _, cure = error.problem.rpartition("; ")
    where = f"{error.table}, row {error.key}"
    return Problem(where, 0, error.column, problem or cure, cure if problem else "correct the row")
