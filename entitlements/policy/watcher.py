"""
A policy whose files change while it is in force.

Nobody waits for a change: looking rides on calls, through the clock that each of them
reads. What has changed is loaded once it has stood still from one look to the next and
while it was read, so that a file is never taken while somebody writes it. What is bad,
cut off or half written is reported, once, and never put in force; the last good one stays.
A cut at the end of a line leaves a good policy. It is known by what is lost while the
version stays, or by the end mark `...` that the file had.

Any number of threads may look. One at a time does, and what it finds takes effect in that
order: an older policy never follows a newer one. Nobody waits for their turn.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.clock import monotonic
from entitlements.errors import PolicyError
from entitlements.model.instants import check_duration
from entitlements.policy import Policy as Loaded
from entitlements.policy.truncation import lost
from entitlements.policy.yaml.files import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from entitlements.model.policy import Policy

Signature = tuple[tuple[str, int, int, int, int], ...]
"""Of each file: its name, when it and its inode changed, its size, its inode."""


class PolicyFiles:
    """
    The file, or the files of the folder, at *path*.

    Args:
        path: As `Policy.load()` takes it.

    Raises:
        PolicyError: Where they are no policy now.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._settled = self._signature()
        self._pending: Signature | None = None
        self._news: Policy | str | None = None
        self._turn = threading.Lock()
        renew_after_fork(self)
        self.policy: Policy = Loaded.load(path)
        self._marked = self._with_end_mark(self._settled)

    def look(self) -> None:
        """Look whether they have changed; `hand_over` tells what they have become."""
        turn = self._turn
        if turn.acquire(blocking=False):
            try:
                self._news = self._looked() or self._news
            finally:
                turn.release()

    def hand_over(self, take: Callable[[Policy | str], None]) -> None:
        """
        Give *take* the policy that they have become, or what is wrong with them, if there is news.

        Where somebody else has their turn, the news waits for the next one.
        """
        turn = self._turn
        if turn.acquire(blocking=False):
            try:
                news, self._news = self._news, None
                if news is not None:
                    take(news)
            finally:
                turn.release()

    def renew(self) -> None:
        """Let a forked child look for itself: what a thread of the parent had found may be nowhere yet."""
        if self._turn.locked():
            self._settled = ()
        self._turn = threading.Lock()

    def _looked(self) -> Policy | str | None:
        found = self._signature()
        if found == self._settled:
            self._pending = None
            return None
        if found != self._pending:
            self._pending = found
            return None
        self._settled, self._pending = found, None
        said = self._loaded(found)
        if self._signature() != found:  # somebody wrote meanwhile: what was read may be half of it
            self._settled = ()
            return None
        if not isinstance(said, str):
            self.policy, self._marked = said, self._with_end_mark(found)
        return said

    def _loaded(self, found: Signature) -> Policy | str:
        try:
            return self._cut_off(found) or self._whole(Loaded.load(self.path))
        except (PolicyError, OSError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever loading trips over, the call that looked by the way goes on
            return f"{self.path} cannot be loaded: {type(error).__name__}: {error}"

    def _cut_off(self, found: Signature) -> str:
        for name, *_ in found:
            tail = _tail(name)
            if not tail.endswith(b"\n"):
                return f"{name} does not end with a newline, so it may be cut off; end it with one"
            if name in self._marked and not _is_end_mark(tail):
                return f"{name} does not end with the line ... as it did, so it may be cut off; end it with that line"
        return ""

    def _whole(self, policy: Policy) -> Policy | str:
        """Return *policy*, unless it lacks something while it says that it is the one in force."""
        what = lost(self.policy, policy) if policy.version == self.policy.version else ""
        if not what:
            return policy
        return (
            f"{self.path} has lost {what} under the same version {policy.version!r}, so it may be cut off;"
            " write it anew, or change policy.version if that is meant"
        )

    def _with_end_mark(self, found: Signature) -> frozenset[str]:
        try:
            return frozenset(name for name, *_ in found if _is_end_mark(_tail(name)))
        except OSError:
            return frozenset()

    def _signature(self) -> Signature:
        found = []
        for name in self._names():
            try:
                known = os.stat(name)  # noqa: PTH116 - called often
            except OSError:
                continue
            found.append((name, known.st_mtime_ns, known.st_ctime_ns, known.st_size, known.st_ino))
        return tuple(found)

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.path) as entries:
                return sorted(each.path for each in entries if each.name.endswith(SUFFIXES) and each.name[0] != ".")
        except OSError:
            return [self.path]


class WatchingClock:
    """
    A clock that, every so often when it is read, has somebody look at something.

    Args:
        clock: What tells the time.
        every: The least time between two looks: seconds, or a timedelta.
        look: Is called without arguments.
    """

    def __init__(self, clock: Callable[[], int], every: float | timedelta, look: Callable[[], object]) -> None:
        self.clock = clock
        self._every = check_duration(every, "every")
        self._look = look
        self._due = monotonic() + self._every
        self._turn = threading.Lock()
        renew_after_fork(self)

    def __call__(self) -> int:
        """Return the present instant, in microseconds since 1970."""
        now = monotonic()
        if now >= self._due and self._is_mine(now):
            self._look()
        return self.clock()

    def renew(self) -> None:
        """Take a fresh lock, in a forked child."""
        self._turn = threading.Lock()

    def _is_mine(self, now: int) -> bool:
        """Say whether the caller is the one who looks this time: two looks are never closer than they should be."""
        turn = self._turn
        if not turn.acquire(blocking=False):
            return False
        try:
            mine = now >= self._due
            self._due = now + self._every if mine else self._due
        finally:
            turn.release()
        return mine


def _tail(name: str) -> bytes:
    """Return the last bytes of a file, more than an end mark has."""
    with open(name, "rb") as file:  # noqa: PTH123 - as above
        file.seek(max(0, file.seek(0, os.SEEK_END) - 16))
        return file.read()


def _is_end_mark(tail: bytes) -> bool:
    """Say whether the last line is `...`, with which YAML ends a document."""
    return tail.rstrip().endswith(b"\n...")
