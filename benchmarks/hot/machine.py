"""The machine: which process runs on which processor, and a description for reports."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def processors() -> tuple[int, int] | tuple[None, None]:
    """Return the processors for the client and for the server; None if processes cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    ours = sorted(os.sched_getaffinity(0))
    return (ours[0], ours[1]) if len(ours) > 1 else (None, None)


def pin(pid: int, processor: int | None) -> None:
    """Keep every thread of a process on one processor."""
    if processor is None:
        return
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {processor})


def told() -> str:
    """Return the machine in one line."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    client, server = processors()
    pinned = "not pinned" if client is None else f"client on processor {client}, server on {server}"
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, {python}; {pinned}"
