"""
Watcher of policy files: reloads them when they change.

There is no thread. Each call reads a clock, and a `PollingClock` polls the files at an
interval. A changed policy is loaded once two polls in a row find the files in the same state,
and the state is still the same after loading; so a file is not read while it is written.
A policy that is not valid or truncated is reported once and never takes effect; the last
valid one stays in force. Files that were cut at the end of a line may be a valid policy. They
are detected in two ways: the policy has lost something under the same version, or a file has
lost its end mark `...`.

Any number of threads may poll. Only one does at a time, the others continue at once. Policies
take effect in the order in which they were found: an older one never follows a newer one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from entitlements._fork import renew_after_fork
from entitlements.clock import monotonic
from entitlements.errors import PolicyError
from entitlements.model.instants import check_duration
from entitlements.policy import Policy
from entitlements.policy.truncation import first_loss
from entitlements.policy.yaml.files import SUFFIXES

FileStates = tuple[tuple[str, int, int, int, int], ...]
"""Of each file: name, modification time, inode change time, size, inode."""


class PolicyFiles:
    """
    The policy file, or the files of the folder, at *path*.

    Args:
        path: Of a file or a folder, as for `Policy.load()`.

    Raises:
        PolicyError: If the files are not a valid policy now.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._loaded_states = self._states()
        self._pending: FileStates | None = None
        self._update: Policy | str | None = None
        self._lock = threading.Lock()
        renew_after_fork(self)
        self.policy = Policy.load(path)
        self._marked = self._with_end_mark(self._loaded_states)

    def poll(self) -> None:
        """Check the files for changes; `deliver` passes on the result."""
        with _try_lock(self._lock) as locked:
            if locked:
                self._update = self._poll() or self._update

    def deliver(self, take: Callable[[Policy | str], None]) -> None:
        """
        Call *take* with the new policy, or with the error message, if there is an update.

        If another thread polls or delivers, the update stays for the next call.
        """
        with _try_lock(self._lock) as locked:
            if locked and self._update is not None:
                update, self._update = self._update, None
                take(update)

    def renew(self) -> None:
        """Take a fresh lock in a forked child; poll again what a thread of the parent was polling."""
        if self._lock.locked():
            self._loaded_states = ()
        self._lock = threading.Lock()

    def _poll(self) -> Policy | str | None:
        states = self._states()
        if states == self._loaded_states:
            self._pending = None
            return None
        if states != self._pending:
            self._pending = states
            return None
        self._loaded_states, self._pending = states, None
        update = self._load(states)
        if self._states() != states:  # written meanwhile: half of the new content may have been read
            self._loaded_states = ()
            return None
        if not isinstance(update, str):
            self.policy, self._marked = update, self._with_end_mark(states)
        return update

    def _load(self, states: FileStates) -> Policy | str:
        try:
            return self._end_mark_error(states) or self._checked(Policy.load(self.path))
        except (PolicyError, OSError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - an error of loading must not fail the call that polls
            return f"{self.path} cannot be loaded: {type(error).__name__}: {error}"

    def _end_mark_error(self, states: FileStates) -> str:
        """Return a message about a file that lacks its last newline or end mark; empty if there is none."""
        for name, *_ in states:
            tail = _tail(name)
            if not tail.endswith(b"\n"):
                return f"{name} does not end with a newline, so it may be cut off; end it with one"
            if name in self._marked and not _is_end_mark(tail):
                return f"{name} does not end with the line ... as it did, so it may be cut off; end it with that line"
        return ""

    def _checked(self, policy: Policy) -> Policy | str:
        """Return *policy*; a message if it has the version of the one in force and has lost something."""
        loss = first_loss(self.policy, policy) if policy.version == self.policy.version else ""
        if not loss:
            return policy
        return (
            f"{self.path} has lost {loss} under the same version {policy.version!r}, so it may be cut off;"
            " write it again, or change policy.version if that is meant"
        )

    def _with_end_mark(self, states: FileStates) -> frozenset[str]:
        try:
            return frozenset(name for name, *_ in states if _is_end_mark(_tail(name)))
        except OSError:
            return frozenset()

    def _states(self) -> FileStates:
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


class PollingClock:
    """
    A clock that calls *poll* at an interval, when it is read.

    Args:
        clock: Returns the present instant.
        every: The shortest time between two polls: seconds, or a timedelta.
        poll: Called without arguments.
    """

    def __init__(self, clock: Callable[[], int], every: float | timedelta, poll: Callable[[], object]) -> None:
        self.clock = clock
        self._every = check_duration(every, "every")
        self._poll = poll
        self._due = monotonic() + self._every
        self._lock = threading.Lock()
        renew_after_fork(self)

    def __call__(self) -> int:
        """Return the present instant, in microseconds since 1970."""
        now = monotonic()
        if now >= self._due and self._claim(now):
            self._poll()
        return self.clock()

    def renew(self) -> None:
        """Take a fresh lock, in a forked child."""
        self._lock = threading.Lock()

    def _claim(self, now: int) -> bool:
        """Return True for the one caller that polls; two polls are never closer than the interval."""
        with _try_lock(self._lock) as locked:
            claimed = locked and now >= self._due
            if claimed:
                self._due = now + self._every
        return claimed


@contextmanager
def _try_lock(lock: threading.Lock) -> Iterator[bool]:
    """Hold *lock* if it is free; yield whether it is held."""
    locked = lock.acquire(blocking=False)
    try:
        yield locked
    finally:
        if locked:
            lock.release()


def _tail(name: str) -> bytes:
    """Return the last bytes of a file: more than an end mark has."""
    with open(name, "rb") as file:  # noqa: PTH123 - as above
        file.seek(max(0, file.seek(0, os.SEEK_END) - 16))
        return file.read()


def _is_end_mark(tail: bytes) -> bool:
    """Return True if the last line is `...`, the end of a YAML document."""
    return tail.rstrip().endswith(b"\n...")
