"""Worker processes: how many share the limits, as the application, the environment or the command line says."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
from pathlib import PurePath

from entitlements.model.names import MAX_COUNT

_ENVIRONMENT = ("WEB_CONCURRENCY", "UVICORN_WORKERS", "GRANIAN_WORKERS")
_SERVERS = {"uvicorn", "gunicorn", "hypercorn", "granian", "fastapi"}
"""Programs whose options `-w` and `--workers` are the number of worker processes."""
_OPTION = re.compile(r"(?:^|\s)(?:--workers[=\s]|-w[=\s]?)(\d+)(?=\s|$)")

_log = logging.getLogger("entitlements.stores")


def check_processes(expected: object) -> None:
    """
    Check `expected_processes`.

    Raises:
        ValueError: For anything but None or an int of at least 1.
    """
    if expected is not None and (type(expected) is not int or not 1 <= expected <= MAX_COUNT):
        raise ValueError(f"expected_processes {expected!r} must be an int of at least 1")


def processes_of(expected: int | None) -> int:
    """
    Return the number of processes that share the limits.

    Args:
        expected: `expected_processes`; None reads `WEB_CONCURRENCY`, and assumes 1
            with a warning where that is not set.

    Raises:
        ValueError: For anything but an int of at least 1.
    """
    check_processes(expected)
    if expected is not None:
        return expected
    said = os.environ.get("WEB_CONCURRENCY", "")
    if count := _count(said):
        return count
    why = f"WEB_CONCURRENCY {said!r} is no number of processes" if said else "expected_processes is not set"
    _warn_once(
        "%s; assuming 1 process while the store is away: pass expected_processes=, or set WEB_CONCURRENCY",
        why,
        problem=why,
    )
    return 1


def warn_if_divided(expected: int | None) -> None:
    """Warn, once, that several worker processes would each count in a memory of their own."""
    for name, count in (("expected_processes", expected),) if expected else _stated():
        if count > 1:
            _warn_once(
                "%s is %d, but memory:// counts in each process by itself, so the limits hold %d times over;"
                " use a store that the processes share, such as redis://", name, count, count, setting=name, expected_processes=count,
            )  # fmt: skip
            return


def _stated() -> list[tuple[str, int]]:
    """Return each number of workers that the environment or the command line states, with its source."""
    program = PurePath(sys.argv[0] if sys.argv else "")
    server = program.parent.name if program.stem == "__main__" else program.stem
    options = shlex.join(sys.argv[1:]) if server in _SERVERS else ""
    stated = [(name, _count(os.environ.get(name, ""))) for name in _ENVIRONMENT]
    return [*stated, *(("--workers", _count(each)) for each in _OPTION.findall(options))]


def _count(text: str) -> int:
    """Return a number of processes; 0 if the text is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


_warned: set[str] = set()


def _warn_once(line: str, *values: object, **facts: object) -> None:
    if line not in _warned:
        _warned.add(line)
        _log.warning(line, *values, extra=facts)
