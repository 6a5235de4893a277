"""A review of a base of any size: chunks of accounts go to processes, and their parts into one file."""

from __future__ import annotations

import csv
import io
import multiprocessing
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entitlements.cli.bulk_review import chunks as account_chunks
from entitlements.cli.bulk_review.chunks import AccountChunk, AccountFile, open_account_file
from entitlements.cli.bulk_review.parts import Parts
from entitlements.cli.bulk_review.worker import (
    HEADINGS,
    BulkSettings,
    ChunkReviewer,
    Months,
    review_chunk,
    start_worker,
)
from entitlements.cli.console import with_progress
from entitlements.cli.files import write_atomically
from entitlements.errors import AccountError
from entitlements.usage_files.columnar import UsageTable, sort_usage
from entitlements.usage_files.reading import UsageFile, read_usage

if TYPE_CHECKING:
    from entitlements.policy import Policy

_AHEAD = 2
"""Chunks of a worker that wait for it, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class BulkReview:
    """
    The result of a run.

    Args:
        counts: Number of accounts by tier and action.
        problems: The problems of the files, in order.
        remarks: What is not known for want of a column.
        resumed: Chunks that an earlier run had finished.
        now: The instant of the review, in microseconds.
    """

    counts: Counter[tuple[str, str]]
    problems: list[str]
    remarks: list[str]
    resumed: int
    now: int


def review_in_bulk(
    policy: Policy,
    policy_path: str,
    accounts: str,
    output: str,
    *,
    id: str,
    now: int,
    is_now_given: bool,
    usage: str | None = None,
    usage_columns: Mapping[str, str] | None = None,
    workers: int = 2,
) -> BulkReview:
    """
    Review every account of a file, and write a row for each into *output*.

    Args:
        policy: The policy.
        policy_path: Its path, from which each process loads it.
        accounts: The file of accounts.
        output: The file to write; unfinished parts are kept in a folder next to it.
        id: The heading of the accounts' ids.
        now: The instant of the review, in microseconds.
        is_now_given: The instant is a part of the run; else a resumed run keeps its first one.
        usage: A file of usage by month.
        usage_columns: Its headings by name.
        workers: Processes; 1 reviews in this one.

    Raises:
        AccountError: For files that cannot be read at all.
        ValueError: For an unknown name of a column of usage.
    """
    file = open_account_file(accounts, id)
    parts = Parts(f"{output}.parts")
    fingerprint = _fingerprint(
        policy_path, accounts, usage, [id, usage_columns or {}, now if is_now_given else 0, account_chunks.CHUNK]
    )
    now = parts.begin({"fingerprint": fingerprint, "now": now})["now"]
    table, months = _usage(policy, file, usage, usage_columns, parts.workspace())
    settings = BulkSettings(
        policy_path, accounts, file.key, file.table, now, table, usage is not None, f"{output}.parts"
    )
    remarks = list((table or months).columns.lacking) if (table or months) is not None else []  # type: ignore[union-attr]
    count, resumed = _work(settings, file, parts, months, workers)
    rest = _rest(table, months, file)
    counts: Counter[tuple[str, str]] = Counter()
    problems: list[str] = []
    for report in parts.reports(count):
        counts.update({(tier, action): number for tier, action, number in report["counts"]})
        problems += (text for _, text in report["problems"])
    write_atomically(output, _joined(parts, count))
    parts.remove()
    return BulkReview(counts, problems + rest, remarks, resumed, now)


def _usage(
    policy: Policy, file: AccountFile, usage: str | None, columns: Mapping[str, str] | None, folder: Path
) -> tuple[UsageTable | None, UsageFile | None]:
    """Return the usage, sorted by chunk where DuckDB can read it, else in memory."""
    if usage is None:
        return None, None
    try:
        table = sort_usage(usage, policy, file.ids(), folder, given=columns)
    except AccountError as error:
        if "needs DuckDB" not in str(error):
            raise
        table = None
    return (table, None) if table is not None else (None, read_usage(usage, policy, given=columns))


def _work(
    settings: BulkSettings, file: AccountFile, parts: Parts, months: UsageFile | None, workers: int
) -> tuple[int, int]:
    """Review the chunks that are not finished; return the number of chunks, and of those that were."""
    seen, resumed = 0, 0

    def waiting() -> Iterator[tuple[AccountChunk, Months | None]]:
        nonlocal seen, resumed
        at = file.table.names.index(file.key)
        for chunk in file.chunks():
            seen += 1
            if parts.has(chunk.number):
                resumed += 1
                yield AccountChunk(chunk.number, []), None
                continue
            own = None
            if months is not None:
                ids = (cells[at] for _, cells in chunk.rows if at < len(cells))
                own = {id: months.months[id] for id in ids if id in months.months}
            yield chunk, own

    done = _in_processes(settings, waiting(), workers) if workers > 1 else _here(settings, waiting())
    for _ in with_progress(done, -(-file.lines // account_chunks.CHUNK), "reviewing", at_least=2):
        pass
    return seen, resumed


def _here(settings: BulkSettings, chunks: Iterator[tuple[AccountChunk, Months | None]]) -> Iterator[int]:
    reviewer = ChunkReviewer(settings)
    for chunk, months in chunks:
        yield reviewer.review(chunk, months) if chunk.rows else chunk.number


def _in_processes(
    settings: BulkSettings, chunks: Iterator[tuple[AccountChunk, Months | None]], workers: int
) -> Iterator[int]:
    """Yield the number of each finished chunk; a worker has few chunks ahead."""
    waiting: deque[Future[int]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(settings,)) as pool:
        try:
            for chunk, months in chunks:
                if not chunk.rows:
                    yield chunk.number
                    continue
                waiting.append(pool.submit(review_chunk, chunk, months))
                while len(waiting) > workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _rest(table: UsageTable | None, months: UsageFile | None, file: AccountFile) -> list[str]:
    """Return the problems of the usage that no chunk reports."""
    if table is not None:
        return [*map(str, table.rest)]
    if months is None:
        return []
    return [*map(str, months.problems), *map(str, months.strangers({id for id, _ in file.ids()}))]


def _joined(parts: Parts, count: int) -> Iterator[bytes]:
    head = io.StringIO(newline="")
    csv.writer(head, lineterminator="\n").writerow(HEADINGS)
    yield head.getvalue().encode()
    yield from parts.rows(count)


def _fingerprint(policy: str, accounts: str, usage: str | None, options: list[Any]) -> str:
    """Return a digest of the files and options of a run; a changed file has another."""
    where = Path(policy)
    files = sorted(where.rglob("*")) if where.is_dir() else [where]
    files += [Path(accounts), *([] if usage is None else [Path(usage)])]
    stats = [(str(each), each.stat().st_size, each.stat().st_mtime_ns) for each in files if each.is_file()]
    return sha256(repr((stats, options)).encode()).hexdigest()
