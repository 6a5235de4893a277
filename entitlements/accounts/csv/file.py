"""A CSV file that is read again when it changes; an invalid version never replaces a valid one."""

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
    from collections.abc import Callable, Collection

    from entitlements.accounts.csv.rows import Sheet

FileSignature = tuple[int, int, int]
"""Time of modification, size and inode: another version of the file has another signature."""

MTIME_RESOLUTION = 2_000_000_000
"""Coarsest time stamps of a file system, in nanoseconds; a younger file may change under the same signature."""

_log = logging.getLogger("entitlements.accounts")


class CsvFile:
    """
    A CSV file of accounts, and its last valid version.

    Args:
        path: The file.
        id: The heading of the column with the accounts' ids.
        clock: Monotonic microseconds.
        encoding: Its encoding; None detects it.
        ignore: Headings of columns that are attributes only.

    Raises:
        AccountError: For a file that does not exist or cannot be read at all.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        id: str,
        clock: Callable[[], int],
        encoding: str | None = None,
        ignore: Collection[str] = (),
    ) -> None:
        self.path = os.fspath(path)
        self._encoding = encoding
        self._ignore = tuple(ignore)
        self.stale_because: AccountError | None = None
        self._id = id
        self._clock = clock
        self._next_check = clock() + SECOND
        self._check_due = False
        self._seen: FileSignature | None = None
        self._version = self._read(None)
        self.renew()
        renew_after_fork(self)

    def sheet(self) -> Sheet:
        """Return the last valid version; the file is checked for changes if it was not for a second."""
        if self._check_due:
            self.reload(wait=True)
        elif self._clock() >= self._next_check:
            self.reload()
        return self._version[1]

    def reload(self, *, force: bool = False, wait: bool = False) -> None:
        """
        Read the file if it has changed.

        Args:
            force: Read it in any case.
            wait: Wait for a thread that is reading it, and check again after that.
        """
        if not self._lock.acquire(blocking=wait):
            return
        try:
            self._reload(force=force)
        finally:
            self._lock.release()

    def recheck(self) -> None:
        """Check the file for changes at the next use."""
        self._check_due = True

    def renew(self) -> None:
        """Replace the lock; called in a forked child too, where the old one may be held for ever."""
        self._lock = threading.Lock()

    def _reload(self, *, force: bool) -> None:
        self._check_due = False
        self._next_check = self._clock() + SECOND
        try:
            if self._unchanged() and not force:
                return
            self._version = self._read(self._version)
        except AccountError as error:
            self._keep(error)
        else:
            self._recover()

    def _unchanged(self) -> bool:
        """Return whether the file has the signature of the version read last."""
        seen, self._seen = self._seen, None  # it stays None where the file cannot be read
        self._seen = seen if seen == self._signature() else None
        return self._seen is not None

    def _read(self, last: tuple[bytes, Sheet] | None) -> tuple[bytes, Sheet]:
        """Return the digest and the sheet of the file, or *last* itself if the digest is the same."""
        self._seen = None
        signature, data = self._bytes()
        if time_ns() - signature[0] > MTIME_RESOLUTION:
            self._seen = signature
        digest = blake2b(data).digest()
        if last is not None and last[0] == digest:
            return last
        return digest, read_sheet(self.path, data, self._id, self._encoding, self._ignore)

    def _bytes(self) -> tuple[FileSignature, bytes]:
        """Return the signature and the bytes of the file, if it did not change meanwhile."""
        before = self._signature()
        try:
            data = Path(self.path).read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if before != self._signature():
            raise AccountError(
                f"{self.path}: the file changed while it was read; write a new file and rename it over the old one"
            )
        return before, data

    def _signature(self) -> FileSignature:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - errors name the path as given
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise _unreadable(self.path, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise AccountError(f"{self.path}: this is no file but a directory or a device; name a CSV file")
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _keep(self, error: AccountError) -> None:
        """Keep the last valid version, and log each reason once."""
        if str(error) != str(self.stale_because):
            # A new error: the traceback of this one would keep the bytes of the file in memory.
            self.stale_because = AccountError(str(error))
            _log.warning(
                "accounts are served from the last good version of their file: %s",
                error,
                extra={"accounts_path": self.path, "problem": str(error)},
            )

    def _recover(self) -> None:
        if self.stale_because is not None:
            self.stale_because = None
            _log.info("accounts are served from %s as it is now", self.path, extra={"accounts_path": self.path})


def _unreadable(path: str, error: Exception) -> AccountError:
    why = getattr(error, "strerror", None) or str(error)
    return AccountError(f"{path}: the file cannot be read ({why}); name a CSV file that this process may read")
