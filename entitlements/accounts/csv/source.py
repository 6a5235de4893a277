"""Accounts in a CSV file, one row each."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from entitlements.accounts.csv.dialect import known_encoding
from entitlements.accounts.csv.file import CsvFile
from entitlements.accounts.csv.rows import CURES
from entitlements.accounts.csv.trials import under
from entitlements.clock import monotonic
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from entitlements.accounts.csv.rows import Sheet
    from entitlements.errors import AccountError
    from entitlements.model.account import Account
    from entitlements.model.policy import Policy
    from entitlements.model.problem import Problem

_log = logging.getLogger("entitlements.accounts")


class CsvAccounts:
    """
    The accounts of a CSV file: one row each, below a row of headings.

    Needed are the columns `id` (or what *id* names) and `tier`. These may stand beside
    them, and every other column becomes an attribute (a str, under its heading in lower
    case, words joined by `_`); headings may be in any case, with blanks, `-` or `_`.

    | column | what it holds |
    |---|---|
    | `trial_tier`, `trial_starts`, `trial_ends` | a trial; without a tier it is one of the row's own, which must be a trial plan |
    | `anchor` | the day of the month on which quota periods begin, 1 to 31 |
    | `status` | `active` or `suspended` |
    | `add_ons` | `phone-support; custom-reports=3` |
    | `overrides` | `leads=8000 (renewal promise, by Ann, until 2026-12-31); sso=true` |
    | `grants` | `leads+500 (goodwill, from 2026-05-01, until 2026-06-01); storage+10 GB` |
    | `changes` | `mid-market at 2026-04-01` |

    Instants are `2026-03-01` (00:00 UTC), `2026-03-01 09:30` (UTC) or with an offset,
    `2026-03-01T09:30+01:00`. Values of overrides are written as in a policy: `true`,
    `standard`, `50`, `20000 per hour`, `unlimited`, `not-included`; in quotes they are
    text, and so may hold `;` and parentheses. In the parentheses behind an item, in any
    order: `by …`, `from …`, `until …`, and the rest is the reason. Left out, the reason
    is the file and line, and the author `csv`.

    The file is UTF-8, or Windows-1252 (told as a warning) or what *encoding* says, separated
    by commas, semicolons or tabs. A bad row is not served,
    and stands in `problems`. A file that has changed is read again, within a second; a
    bad version never replaces a good one. Write a new file and rename it over the old.

    Args:
        path: The file.
        id: The heading of the column with the accounts' ids.
        policy: What the tiers mean; needed for rows whose tier is a trial plan.
        encoding: What the file is encoded in, such as `cp1251`; None finds out.
        clock: Microseconds that only ever grow.

    Raises:
        AccountError: For a file that is not there or cannot be read at all.
        ValueError: For an encoding that there is not.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        id: str = "id",
        policy: Policy | None = None,
        encoding: str | None = None,
        clock: Callable[[], int] = monotonic,
    ) -> None:
        self._view(CsvFile(path, id, clock, None if encoding is None else known_encoding(encoding)), policy)

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        row = self._sheet().rows.get(id)
        return None if row is None else row.account

    def ids(self) -> tuple[str, ...]:
        """Return the id of every account, in the order of the file."""
        return tuple(self._sheet().rows)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the file as served, in its order; errors are rows that are not served."""
        return self._sheet().problems

    @property
    def stale_because(self) -> AccountError | None:
        """Why the file is not served as it is now but as it was before; None if it is."""
        return self._file.stale_because

    def with_policy(self, policy: Policy) -> CsvAccounts:
        """Return the accounts of the same file under *policy*; the file is not read again for it."""
        if policy is self._policy:
            return self
        other = object.__new__(CsvAccounts)
        other._view(self._file, policy)
        return other

    def refresh(self) -> None:
        """Read the file again, now; if it is bad, `stale_because` says why."""
        self._file.look(again=True, wait=True)

    def recheck(self, _id: str = "", /) -> None:
        """Look whether the file has changed at the next question, however lately that was done."""
        self._file.recheck()

    def __iter__(self) -> Iterator[Account]:
        return (row.account for row in self._sheet().rows.values())

    def __len__(self) -> int:
        return len(self._sheet().rows)

    def __repr__(self) -> str:
        return f"CsvAccounts({self._file.path!r})"

    def _view(self, file: CsvFile, policy: Policy | None) -> None:
        self._file = file
        self._policy = policy
        self._meant = self._under_policy(file.sheet())

    def _sheet(self) -> Sheet:
        """Return what the file's present sheet means under the policy."""
        sheet, meant = self._file.sheet(), self._meant
        if meant[0] is not sheet:
            # Two threads may both do this; they get the same.
            self._meant = meant = self._under_policy(sheet)
        return meant[1]

    def _under_policy(self, sheet: Sheet) -> tuple[Sheet, Sheet]:
        meant = sheet if self._policy is None else under(self._policy, sheet)
        _warn(self._file.path, meant.problems)
        return sheet, meant


def _warn(file: str, problems: Sequence[Problem]) -> None:
    """Log that accounts are missing and where, once for each version of the file and policy; cells are not for logs."""
    bad = [problem for problem in problems if problem.severity is Severity.ERROR]
    if bad:
        first = bad[0]
        where = (f"{first.file}:{first.line}", first.path, first.cure if first.cure in CURES else "")
        _log.warning(
            "%s: %s rows from being served, the first at %s; entitlements validate POLICY --accounts %s says more",
            file, "1 problem keeps" if len(bad) == 1 else f"{len(bad)} problems keep",
            ": ".join(part for part in where if part), file,
        )  # fmt: skip
