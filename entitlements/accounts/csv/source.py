"""Source of accounts in a CSV file."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from entitlements.accounts.csv.dialect import known_encoding
from entitlements.accounts.csv.file import CsvFile
from entitlements.accounts.csv.policy_view import apply_policy
from entitlements.accounts.csv.rows import BLANKS, CURES
from entitlements.clock import monotonic
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from entitlements.accounts.csv.rows import Sheet
    from entitlements.errors import AccountError
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData
    from entitlements.model.problem import Problem

_log = logging.getLogger("entitlements.accounts")


class CsvAccounts:
    """
    The accounts of a CSV file: one row each, below a row of headings.

    The columns `id` (or the one that *id* names) and `tier` are required. The columns below
    are optional. Every other column becomes an attribute: a str, under its heading in lower
    case with words joined by `_`. Headings may be in any case, with blanks, `-` or `_`.

    | column | what it holds |
    |---|---|
    | `trial_tier`, `trial_starts`, `trial_ends` | a trial; without a tier it is one of the row's own, which must be a trial plan |
    | `anchor` | the day of the month on which quota periods begin, 1 to 31, or an instant at which one began |
    | `time_zone` | an IANA name: the time zone whose midnight counts in quota periods |
    | `status` | `active` or `suspended` |
    | `add_ons` | `phone-support; custom-reports=3` |
    | `overrides` | `leads=8000 (renewal promise, by Ann, until 2026-12-31); sso=true` |
    | `grants` | `leads+500 (goodwill, from 2026-05-01, until 2026-06-01); storage+10 GB` |
    | `changes` | `mid-market at 2026-04-01` |

    Instants are `2026-03-01` (00:00 UTC), `2026-03-01 09:30` (UTC) or with an offset,
    `2026-03-01T09:30+01:00`. Values of overrides are written as in a policy: `true`,
    `standard`, `50`, `20000 per hour`, `unlimited`, `not-included`. In quotes they are
    text, and may hold `;` and parentheses. The parentheses behind an item hold `by …`,
    `from …` and `until …` in any order; the rest is the reason. The default reason is the
    file and line, the default author `csv`.

    The file is UTF-8, Windows-1252 (with a warning) or in the given *encoding*. Cells are
    separated by commas, semicolons or tabs. An invalid row is not served, and is listed in
    `problems`. A changed file is read again within a second; an invalid version never
    replaces a valid one. To change it, write a new file and rename it over the old one.

    Args:
        path: The file.
        id: The heading of the column with the accounts' ids.
        policy: The policy of the tiers; needed for rows whose tier is a trial plan.
        encoding: The file's encoding, such as `cp1251`; None detects it.
        ignore: Headings of columns that are attributes, such as a CRM's own `Status`.
        clock: Monotonic microseconds.

    Raises:
        AccountError: For a file that does not exist or cannot be read at all.
        ValueError: For an unknown encoding.
        TypeError: For a path that is none, and a single str as *ignore*.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        id: str = "id",
        policy: PolicyData | None = None,
        encoding: str | None = None,
        ignore: Collection[str] = (),
        clock: Callable[[], int] = monotonic,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path {path!r} is a {type(path).__name__}; give the path of a CSV file")
        if isinstance(ignore, str):
            raise TypeError(f"ignore {ignore!r} is one heading; write ignore=[{ignore!r}]")
        known = None if encoding is None else known_encoding(encoding)
        self._open(CsvFile(path, id, clock, known, ignore), policy)

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        row = self._sheet().rows.get(id)
        return None if row is None else row.account

    def line(self, id: str, /) -> int:
        """Return the line on which the row of an account begins; 0 if there is none."""
        row = self._sheet().rows.get(id)
        return 0 if row is None else row.line

    def ids(self) -> tuple[str, ...]:
        """Return the id of every account, in the order of the file."""
        return tuple(self._sheet().rows)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of the file as served, in its order; a row with an error is not served."""
        return self._sheet().problems

    @property
    def stale_because(self) -> AccountError | None:
        """The error for which an earlier version of the file is served; None if the present one is."""
        return self._file.stale_because

    def with_policy(self, policy: PolicyData) -> CsvAccounts:
        """Return the accounts of the same file under *policy*; the file is not read again for it."""
        if policy is self._policy:
            return self
        other = object.__new__(CsvAccounts)
        other._open(self._file, policy)
        return other

    def refresh(self) -> None:
        """Read the file again, now; `stale_because` has the error if it is invalid."""
        self._file.reload(force=True, wait=True)

    def recheck(self, _id: str = "", /) -> None:
        """Check the file for changes at the next use, however recent the last check is."""
        self._file.recheck()

    def __iter__(self) -> Iterator[Account]:
        return (row.account for row in self._sheet().rows.values())

    def __len__(self) -> int:
        return len(self._sheet().rows)

    def __repr__(self) -> str:
        return f"CsvAccounts({self._file.path!r})"

    def _open(self, file: CsvFile, policy: PolicyData | None) -> None:
        self._file = file
        self._policy = policy
        self._applied = self._apply(file.sheet())

    def _sheet(self) -> Sheet:
        """Return the file's present sheet under the policy."""
        sheet, applied = self._file.sheet(), self._applied
        if applied[0] is not sheet:
            # Two threads may both do this, with equal results.
            self._applied = applied = self._apply(sheet)
        return applied[1]

    def _apply(self, sheet: Sheet) -> tuple[Sheet, Sheet]:
        applied = sheet if self._policy is None else apply_policy(self._policy, sheet)
        _warn(self._file.path, applied.problems)
        return sheet, applied


def _warn(file: str, problems: Sequence[Problem]) -> None:
    """Log how many rows are not served, or only by an id with blanks, and where the first is; never the cells."""
    bad = [problem for problem in problems if problem.severity is Severity.ERROR]
    if bad:
        first = bad[0]
        where = (f"{first.file}:{first.line}", first.path, first.cure if first.cure in CURES else "")
        _log.warning(
            "%s: %s rows from being served, the first at %s; entitlements validate POLICY --accounts %s says more",
            file, "1 problem keeps" if len(bad) == 1 else f"{len(bad)} problems keep",
            ": ".join(part for part in where if part), file, extra={"accounts_path": file, "problems": len(bad)},
        )  # fmt: skip
    blank = [problem for problem in problems if problem.cure == BLANKS]
    if blank:
        ids = "1 id begins or ends" if len(blank) == 1 else f"{len(blank)} ids begin or end"
        _log.warning(
            "%s:%s: %s with blanks, and need them to be found; %s",
            file,
            blank[0].line,
            ids,
            BLANKS,
            extra={"accounts_path": file, "line": blank[0].line},
        )
