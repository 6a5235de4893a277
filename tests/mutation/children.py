"""A pool of forked children: each tries one mutant and writes which check killed it."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

WAITS = 12
"""Seconds of waiting, for each second that a child may compute: a busy machine gives it a share of a core."""
ASLEEP = 8.0
"""Seconds after which a child that has hardly computed waits for something that never comes."""


def fork(work: Callable[[], str], answer: Path, seconds: float) -> int:
    """Run *work* in a child of so many seconds of CPU, and return its process id; what it returns goes to a file."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    output = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(output, stream)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer.write_text(work(), encoding="utf-8")
    except BaseException:  # noqa: BLE001 - the child ends here
        answer.write_text("error\n" + traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(0)


class Sleep:
    """
    The sleep of a child that waits for something.

    One that is ready, and gets no core, does not sleep, nor does one that waits for a process of its own.
    """

    def __init__(self, child: int):
        self._path, self._processes = Path(f"/proc/{child}/stat"), Path(f"/proc/{child}/task/{child}/children")
        self._begin(0)

    def _begin(self, ticks: int) -> None:
        self._since, self._ticks, self._looks, self._ready = time.monotonic(), ticks, 0, 0

    def is_for_ever(self) -> bool:
        """Return True after `ASLEEP` seconds of it, but for timers that tick; False on a system that does not say."""
        try:
            state, *rest = self._path.read_text().rpartition(")")[2].split()
            waits = self._processes.read_text()
        except OSError:
            return False
        self._looks += 1
        self._ready += bool(state != "S" or waits)
        if time.monotonic() - self._since < ASLEEP:
            return False
        ticks = int(rest[10]) + int(rest[11])
        is_asleep = ticks - self._ticks < 20 and 10 * self._ready < self._looks
        self._begin(ticks)
        return is_asleep


def run_each(
    items: Iterator[tuple[object, Callable[[int], str], float]], jobs: int, folder: Path
) -> Iterator[tuple[object, str]]:
    """
    Run one child for each item, so many at a time, and yield the items with what their children returned.

    Args:
        items: Each with its work, which gets the number of its place, and its seconds of CPU.
        jobs: Children at a time.
        folder: For their answers.

    Returns:
        With each item the answer, or `time` where a child computed for longer, fell asleep or did not end.
    """
    items, running, places = iter(items), {}, list(range(jobs))
    gc.collect()
    gc.freeze()
    while True:
        while places and (item := next(items, None)):
            what, work, seconds = item
            place = places.pop()
            answer = folder / f"{place}.answer"
            answer.unlink(missing_ok=True)
            sys.stdout.flush()
            child = fork(lambda work=work, place=place: work(place), answer, seconds)
            running[child] = what, place, time.monotonic() + WAITS * seconds, Sleep(child)
        if not running:
            return
        time.sleep(0.005)
        for child, (what, place, until, sleep) in tuple(running.items()):
            done, _ = os.waitpid(child, os.WNOHANG)
            if not done and time.monotonic() < until and not sleep.is_for_ever():
                continue
            if not done:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            del running[child]
            places.append(place)
            answer = folder / f"{place}.answer"
            yield what, answer.read_text(encoding="utf-8") if answer.exists() else "time"
