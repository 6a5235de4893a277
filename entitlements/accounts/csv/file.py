"""A file that is read again when it changes; a bad version never replaces a good one."""

from __future__ import annotations

import logging
import os
import stat
import threading
from hashlib import blake2b
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.accounts.csv.rows import read_sheet
from entitlements.errors import AccountError
from entitlements.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.accounts.csv.rows import Sheet

Signature = tuple[int, int, int]
"""What tells one version of a file from the next: time of modification, size, inode."""

TICK = 2_000_000_000
"""The coarsest clock of a file system in nanoseconds: a younger file may change without a sign of it."""

_log = logging.getLogger("entitlements.accounts")


class CsvFile:
    """
    A file with accounts, and the last good version of it.

    Args:
        path: The file.
        id: The heading of the column with the accounts' ids.
        clock: Microseconds that only ever grow.
        encoding: What it is encoded in; None finds out.

    Raises:
        AccountError: For a file that is not there or cannot be read at all.
    """

    def __init__(
        self, path: str | os.PathLike[str], id: str, clock: Callable[[], int], encoding: str | None = None
    ) -> None:
        self.path = os.fspath(path)
        self._encoding = encoding
        self.stale_because: AccountError | None = None
        self._id = id
        self._clock = clock
        self._lock = threading.Lock()
        self._look_at = clock() + SECOND
        self._due = False
        self._seen: Signature | None = None
        self._digest, self._sheet = self._read(None)
        renew_after_fork(self)

    def sheet(self) -> Sheet:
        """Return the last good version, after a look at the file if none was taken for a second."""
        if self._due:
            self.look(wait=True)
        elif self._clock() >= self._look_at:
            self.look()
        return self._sheet

    def look(self, *, again: bool = False, wait: bool = False) -> None:
        """
        Read the file if it has changed.

        Args:
            again: Read it in any case.
            wait: Wait for a thread that is looking already, and look once more.
        """
        if not self._lock.acquire(blocking=wait):
            return
        try:
            self._look(again=again)
        finally:
            self._lock.release()

    def recheck(self) -> None:
        """Look at the file when it is next asked for."""
        self._due = True

    def renew(self) -> None:
        """Take a fresh lock, in a forked child."""
        self._lock = threading.Lock()

    def _look(self, *, again: bool) -> None:
        self._due = False
        self._look_at = self._clock() + SECOND
        try:
            if self._unchanged() and not again:
                return
            self._digest, self._sheet = self._read((self._digest, self._sheet))
        except AccountError as error:
            self._stay(error)
        else:
            self._move_on()

    def _unchanged(self) -> bool:
        """Say whether the file is the version seen last; one that is not there is none."""
        seen, self._seen = self._seen, None
        if seen == _signature(self._stat()):
            self._seen = seen
        return self._seen is not None

    def _read(self, last: tuple[bytes, Sheet] | None) -> tuple[bytes, Sheet]:
        """Return what the file holds and its digest, *last* itself if it holds the same."""
        self._seen = None
        signature, data = self._bytes()
        if time_ns() - signature[0] > TICK:
            self._seen = signature
        digest = blake2b(data).digest()
        if last is not None and last[0] == digest:
            return last
        return digest, read_sheet(self.path, data, self._id, self._encoding)

    def _bytes(self) -> tuple[Signature, bytes]:
        """Return the whole file, if it holds still meanwhile."""
        before = _signature(self._stat())
        try:
            data = Path(self.path).read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if before != _signature(self._stat()):
            raise AccountError(
                f"{self.path}: the file changed while it was read; write a new file and rename it over the old one"
            )
        return before, data

    def _stat(self) -> os.stat_result:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - names the path as the user did
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise _unreadable(self.path, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise AccountError(f"{self.path}: this is no file but a directory or a device; name a CSV file")
        return found

    def _stay(self, error: AccountError) -> None:
        """Go on with the last good version; say so once for each reason."""
        if str(error) != str(self.stale_because):
            # A new one: the error itself would keep the bytes of the file in memory.
            self.stale_because = AccountError(str(error))
            _log.warning("accounts are served from the last good version of their file: %s", error)

    def _move_on(self) -> None:
        if self.stale_because is not None:
            self.stale_because = None
            _log.info("accounts are served from %s as it is now", self.path)


def _signature(found: os.stat_result) -> Signature:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unreadable(path: str, error: Exception) -> AccountError:
    why = getattr(error, "strerror", None) or str(error)
    return AccountError(f"{path}: the file cannot be read ({why}); name a CSV file that this process may read")
