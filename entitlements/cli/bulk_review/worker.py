"""The review of one chunk of accounts, in a process of its own."""

from __future__ import annotations

import csv
import gc
import io
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any

from entitlements.accounts.csv.policy_view import apply_to_account, faults_of_part
from entitlements.accounts.csv.rows import RowReader, has_errors
from entitlements.cli.bulk_review.parts import Parts
from entitlements.cli.review import BaseReviewer
from entitlements.cli.usage_source import UsageSource
from entitlements.model.problem import Problem, Severity
from entitlements.policy import Policy
from entitlements.policy.sections.readable_values import time_zone
from entitlements.presentation.formatting import format_time
from entitlements.tiering.transition_cases import case_of
from entitlements.usage_files.columnar import UsageTable, open_table
from entitlements.usage_files.measured import measured_columns
from entitlements.usage_files.month_columns import NO_MONTHS, MonthColumns, by_column

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from entitlements.accounts.csv.table import Table
    from entitlements.cli.bulk_review.chunks import AccountChunk
    from entitlements.model.account import Account
    from entitlements.tiering.contracts import Contract
    from entitlements.tiering.reviews import Review
    from entitlements.tiering.triggers import MeasuredUsage
    from entitlements.usage_files import UsageMonth

Months = Mapping[str, "tuple[UsageMonth, ...]"]
"""The months of accounts as `read_usage` returns them."""

HEADINGS = (
    "account",
    "tier",
    "action",
    "to",
    "notice_days",
    "effective",
    "outreach_by",
    "because",
    "also",
    "not_known",
)


@dataclass(frozen=True, slots=True)
class BulkSettings:
    """
    The settings that all workers share.

    Args:
        policy: The path of the policy.
        file: The name of the file of accounts, for messages.
        key: The name of its column of ids.
        table: Its headings.
        now: The instant of the review, in microseconds.
        usage: The sorted usage; None without usage, or where each chunk brings its own.
        is_measured: Usage is looked at.
        folder: For the parts.
    """

    policy: str
    file: str
    key: str
    table: Table
    now: int
    usage: UsageTable | None
    is_measured: bool
    folder: str


class ChunkReviewer:
    """
    A reviewer of chunks.

    Args:
        settings: What all workers share.
    """

    def __init__(self, settings: BulkSettings) -> None:
        self._settings = settings
        self._policy = Policy.load(settings.policy)
        self._parts = Parts(settings.folder)
        self._connection: Any = None if settings.usage is None else open_table(settings.usage)

    def review(self, chunk: AccountChunk, months: Months | None) -> int:
        """Review a chunk, write its part, and return its number; *months* is the usage that it brings."""
        settings = self._settings
        problems: list[tuple[int, str]] = []
        if settings.usage is not None:
            found = settings.usage.chunk(self._connection, chunk.number)
            columns = found.months
            problems += ((each.line, str(each)) for each in found.problems)
        else:
            columns = {id: by_column(each) for id, each in (months or {}).items()}
        source = UsageSource(self._measured(columns)) if settings.is_measured else None
        reviewer = BaseReviewer(self._policy, source, settings.now)
        counts: Counter[tuple[str, str]] = Counter()
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        for line, account in self._accounts(chunk, problems):
            review = reviewer.review(account)
            problems += ((line, problem) for problem in reviewer.problems)
            reviewer.problems.clear()
            if review is not None:
                counts[review.tier, review.action.value] += 1
                writer.writerow(self._row(review))
        self._parts.write(chunk.number, text.getvalue(), counts, sorted(problems))
        return chunk.number

    def _accounts(self, chunk: AccountChunk, problems: list[tuple[int, str]]) -> Iterator[tuple[int, Account]]:
        """Yield the accounts of the rows that can be read; the errors of the others become problems."""
        settings = self._settings
        reader = RowReader(settings.file, settings.key, settings.table, frozenset(), chunk.first_lines)
        for line, cells in chunk.rows:
            row, faults = reader.read(line, cells)
            account = None
            if row is not None and has_errors(faults):
                faults += faults_of_part(self._policy, row.account)
            elif row is not None:
                account, more = apply_to_account(self._policy, row.account)
                faults += more
            problems += (
                (line, str(Problem(settings.file, line, *fault)))
                for fault in faults
                if fault.severity is Severity.ERROR
            )
            if account is not None:
                yield line, account

    def _measured(self, months: Mapping[str, MonthColumns]) -> Callable[[Account, Contract], MeasuredUsage]:
        now = self._settings.now

        def measured(account: Account, contract: Contract) -> MeasuredUsage:
            return measured_columns(
                contract.entitlements, months.get(account.id, NO_MONTHS), now, contract.terms.counted_periods
            )

        return measured

    def _row(self, review: Review) -> tuple[object, ...]:
        case = case_of(self._policy, review, self._settings.now, time_zone)
        effective = case.effective if case is not None and case.effective > case.opened else None
        outreach = case.outreach_due if case is not None else None
        return (
            review.account,
            review.tier,
            review.action.value,
            review.to or "",
            review.notice.days or "",
            "" if effective is None else format_time(effective),
            "" if outreach is None else format_time(outreach),
            "; ".join([each.text for each in review.reasons]),
            "; ".join([f"{each.text} ({each.speaks_for})" for each in review.others]),
            "; ".join(review.unknown),
        )


_worker: list[ChunkReviewer] = []
_GARBAGE = 100_000
"""Values after which garbage is looked for: those of some hundred accounts, which make no cycles."""


def start_worker(settings: BulkSettings) -> None:
    """Prepare this process for chunks; what it has loaded by then stays, and is not searched for garbage again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent,), daemon=True).start()
    _worker.append(ChunkReviewer(settings))
    gc.freeze()
    gc.set_threshold(_GARBAGE)


def _end_after(parent: BaseProcess) -> None:
    """End this process when a killed run no longer gives it chunks: its queue stays open, and would never tell."""
    parent.join()
    os._exit(1)


def review_chunk(chunk: AccountChunk, months: Months | None) -> int:
    """Review a chunk in this process, and return its number."""
    return _worker[-1].review(chunk, months)
