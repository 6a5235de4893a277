"""
Loads: sequential calls, a number of tasks, or start times that do not wait for answers.

Each returns the times of single decisions in microseconds and what they cost on both sides.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import resource
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Self

from benchmarks.hot.figures import distribution, percentiles
from benchmarks.hot.pacing import Alarm
from benchmarks.hot.wire import Raw, info

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.hot.setting import Case

LOCAL_BLOCK = 100
"""Decisions that are timed as one where one takes less than reading the clock is worth."""
PATIENCE = 20.0
"""Seconds that a load waits for the answers that are still due at its end."""


class Cost:
    """Costs of this process and of the server within a `with` block."""

    def __init__(self, url: str | None) -> None:
        self._raw = Raw(url) if url else None
        self._pid = info(self._raw, "server")["process_id"] if self._raw else ""

    def __enter__(self) -> Self:
        self._server = self._counted()
        gc.collect()
        self._waited, self._cpu, self._began = _waited("self"), _cpu(), perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = perf_counter() - self._began
        self.cpu, self.waited = _cpu() - self._cpu, _waited("self") - self._waited
        after = self._counted()
        self.server = {name: count - self._server.get(name, 0) for name, count in after.items()}
        if self._raw:
            self._raw.close()

    def _counted(self) -> dict[str, float]:
        if self._raw is None:
            return {}
        stats, cpu = info(self._raw, "stats"), info(self._raw, "cpu")
        counted = {
            "bytes_in": float(stats["total_net_input_bytes"]),
            "bytes_out": float(stats["total_net_output_bytes"]),
            "commands": float(stats["total_commands_processed"]),
            "cpu_us": 1e6 * (float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])),
            "waited": _waited(self._pid),
        }
        for name, said in info(self._raw, "commandstats").items():
            fields = dict(each.split("=") for each in said.split(","))
            counted[f"{name}.calls"] = float(fields["calls"])
            counted[f"{name}.usec"] = float(fields["usec"])
        return counted


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _waited(pid: str) -> float:
    """Return the seconds for which a process was ready to run and its processor was busy with others."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, LookupError):
        return 0.0


def told(case: Case, times: list[float], admitted: int, cost: Cost, *, decisions: int | None = None) -> dict:
    """Return the figures of a load; costs are per decision, in microseconds, bytes or commands."""
    many = decisions or len(times)
    server = cost.server
    scripts = ("eval", "evalsha", "evalsha_ro", "eval_ro", "fcall")
    used = {name.split("_", 1)[1]: value for name, value in server.items() if name.startswith("cmdstat_")}
    in_scripts = sum(used.get(f"{name}.usec", 0) for name in scripts)
    in_all = sum(value for name, value in used.items() if name.endswith(".usec") and not name.startswith("info"))
    return {
        "decisions": many,
        "admitted": admitted,
        "degraded": case.degraded,
        "seconds": cost.seconds,
        "rate": many / cost.seconds,
        "us": percentiles(times),
        "distribution": distribution(times),
        "waited": (cost.waited + server.get("waited", 0.0)) / cost.seconds,
        "client_cpu_us": 1e6 * cost.cpu / many,
        "server_cpu_us": server.get("cpu_us", 0.0) / many,
        "server_command_us": (in_scripts or in_all) / many,
        "commands": server.get("commands", 0.0) / many,
        "bytes_in": server.get("bytes_in", 0.0) / many,
        "bytes_out": server.get("bytes_out", 0.0) / many,
        "commandstats": {name: value / many for name, value in used.items() if value},
    }


# -- one after the other -------------------------------------------------------------------


def sequential(case: Case, keys: list[str], *, many: int, warm: int) -> dict:
    """Ask a blocking case *many* times, after a warm-up."""
    for account in itertools.islice(itertools.cycle(keys), warm):
        case.hit(account)
    turns, times, admitted = itertools.cycle(keys), [], 0
    with Cost(case.setting.url) as cost:
        for account in itertools.islice(turns, many):
            began = perf_counter_ns()
            admitted += bool(case.hit(account))
            times.append((perf_counter_ns() - began) / 1000)
    return told(case, times, admitted, cost)


async def sequential_async(case: Case, keys: list[str], *, many: int, warm: int) -> dict:
    """Ask an asynchronous case *many* times, one call after the other, after a warm-up."""
    for account in itertools.islice(itertools.cycle(keys), warm):
        await case.hit(account)
    turns, times, admitted = itertools.cycle(keys), [], 0
    with Cost(case.setting.url) as cost:
        for account in itertools.islice(turns, many):
            began = perf_counter_ns()
            admitted += bool(await case.hit(account))
            times.append((perf_counter_ns() - began) / 1000)
    return told(case, times, admitted, cost)


def local(case: Case, keys: list[str], *, many: int, warm: int) -> dict:
    """Ask a case that needs no server; a time is that of a hundred decisions, divided by a hundred."""
    for account in itertools.islice(itertools.cycle(keys), warm):
        case.hit(account)
    turns, times, admitted = itertools.cycle(keys), [], 0
    with Cost(None) as cost:
        for _ in range(many // LOCAL_BLOCK):
            block = list(itertools.islice(turns, LOCAL_BLOCK))
            began = perf_counter_ns()
            for account in block:
                admitted += case.hit(account)
            times.append((perf_counter_ns() - began) / 1000 / LOCAL_BLOCK)
    return told(case, times, admitted, cost, decisions=many // LOCAL_BLOCK * LOCAL_BLOCK)


# -- many at once --------------------------------------------------------------------------


async def closed(case: Case, keys: list[str], *, tasks: int, seconds: float, warm: float) -> dict:
    """Let a number of tasks ask, each again as soon as it has its answer, for some seconds after a warm-up."""
    turns = itertools.cycle(keys)
    await _ask(case, turns, tasks, warm, [])
    times: list[float] = []
    with Cost(case.setting.url) as cost:
        admitted = await _ask(case, turns, tasks, seconds, times)
    return told(case, times, admitted, cost)


async def _ask(case: Case, turns: Iterator[str], tasks: int, seconds: float, times: list[float]) -> int:
    until = perf_counter_ns() + int(seconds * 1e9)
    hit, admitted = case.hit, 0

    async def client():
        nonlocal admitted
        ended = perf_counter_ns()
        while ended < until:
            began = ended
            answer = await hit(next(turns))
            admitted += bool(answer)
            ended = perf_counter_ns()
            times.append((ended - began) / 1000)

    await asyncio.gather(*(client() for _ in range(tasks)))
    return admitted


# -- not waiting ---------------------------------------------------------------------------


async def opened(case: Case, keys: list[str], *, instants: list[float], warm: float) -> dict:
    """
    Start a call at each of these instants, without waiting for earlier calls.

    A time counts from the instant at which the call was *meant* to start, so that a pause
    counts for every call that it made late. A pause of the machine, of its host or of Python's
    collector falls into few quarters of a second: `quarter` has the percentiles of the median
    one, `us` those of the whole run.

    Args:
        case: Asynchronous.
        keys: The accounts of the calls, in turn.
        instants: Seconds from the beginning, ascending.
        warm: Seconds of a closed load beforehand.
    """
    turns, admitted, due = itertools.cycle(keys), 0, 0
    quarters: list[list[float]] = [[] for _ in range(int(4 * instants[-1]) + 1)]
    running: dict[int, asyncio.Task[None]] = {}
    loop, all_started = asyncio.get_running_loop(), asyncio.Event()
    await _ask(case, turns, 32, warm, [])

    async def call(number, intended):
        nonlocal admitted
        answer = await case.hit(next(turns))
        admitted += bool(answer)
        quarters[int(4 * instants[number])].append((perf_counter() - intended) * 1e6)
        del running[number]

    def start():
        nonlocal due
        now = perf_counter() - began
        while due < len(instants) and instants[due] <= now:
            running[due] = loop.create_task(call(due, began + instants[due]))
            due += 1
        if due < len(instants):
            alarm.set(began + instants[due])
        else:
            all_started.set()

    with Cost(case.setting.url) as cost:
        alarm = Alarm(start)
        began = perf_counter() + 0.01
        alarm.set(began)
        await all_started.wait()
        in_time = sum(map(len, quarters))
        if running:
            await asyncio.wait(running.values(), timeout=PATIENCE)
        alarm.close()
    unanswered = len(running)
    for task in running.values():
        task.cancel()
    counts = {"meant": len(instants), "decided_in_time": in_time, "unanswered": unanswered}
    times = list(itertools.chain.from_iterable(quarters))
    if not times:
        raise RuntimeError(f"none of {len(instants):,} calls was decided")
    each = [percentiles(quarter) for quarter in quarters[:-1] or quarters if quarter]
    middle = {name: median(one[name] for one in each) for name in each[0]}
    return told(case, times, admitted, cost) | counts | {"quarter": middle}


FIRST, STEPS = 10_000.0, (2.0, 1.2, 1.05)
"""Calls a second that a search begins with, and the factors by which it goes on, each until it is too much."""


async def sustained(case: Case, keys: list[str], *, lasts: float, warm: float) -> dict:
    """
    Return the highest rate of evenly spaced calls that a case sustains: its capacity for an open load.

    A rate is sustained if 99 of 100 calls are decided when the last one starts, and the server
    has decided all of them. A rate that is not is tried a second time with the case reopened,
    because the machine may have been the cause.

    Args:
        case: Asynchronous.
        keys: The accounts of the calls, in turn.
        lasts: Seconds of each trial.
        warm: Seconds of a closed load before each.
    """
    reached: dict = {}
    rate = FIRST
    for step in STEPS:
        while figures := await _kept_up(case, keys, rate, lasts, warm) or await _kept_up(case, keys, rate, lasts, warm):
            reached, rate = figures | {"rate": rate}, rate * step
        if not reached:
            raise SystemExit(f"not even {FIRST:,.0f} calls a second are kept up with")
        rate = reached["rate"] * STEPS[min(STEPS.index(step) + 1, len(STEPS) - 1)]
    return reached


async def _kept_up(case: Case, keys: list[str], rate: float, lasts: float, warm: float) -> dict | None:
    """Return the figures of a load at this rate; None if it fell behind."""
    instants = [number / rate for number in range(int(rate * lasts))]
    degraded = case.degraded
    with suppress(Exception):  # it may break under the load
        figures = await opened(case, keys, instants=instants, warm=warm)
        if case.degraded == degraded and figures["decided_in_time"] >= 0.99 * figures["meant"] - 1:
            return figures
    case.degraded = degraded
    with suppress(Exception):
        await case.close()
    await case.open()
    return None
