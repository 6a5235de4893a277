"""Loads without times: bytes per account, and the most that one window holds."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.hot.wire import Raw

if TYPE_CHECKING:
    from benchmarks.hot.setting import Case

HELD = 100
"""Accounts whose bytes are counted."""
TRIED = 3
"""Accounts whose windows are looked at."""
STEP = 0.02
"""Seconds between two looks at what a window holds."""


def memory(case: Case, keys: list[str], *, many: int, warm: int) -> dict:
    """Spread the decisions over a hundred accounts, and return the bytes of all keys, per account."""
    for account in itertools.islice(itertools.cycle(keys[:HELD]), many):
        case.hit(account)
    raw, cursor, found = Raw(case.setting.url), b"0", set()
    while True:
        cursor, some = raw.ask("SCAN", cursor, "COUNT", "1000")
        found.update(some)
        if cursor == b"0":
            break
    total = sum(raw.ask("MEMORY", "USAGE", key, "SAMPLES", "0") or 0 for key in found)
    raw.close()
    return {"bytes": total / HELD, "keys": len(found) / HELD, "decisions_each": many / HELD}


class Admission(NamedTuple):
    """One admitted unit: it was counted at some instant from *asked* to *answered*, in seconds."""

    asked: float
    answered: float


def window(case: Case, keys: list[str], *, many: int, warm: int) -> dict:
    """
    Ask for as much as possible at the worst instants, and return the most that one window held.

    The calls are: one when a window of the wall clock begins; all that is left just before it
    ends; again just after; again just under a window later and just after that; then from time
    to time for one more window. At these edges a fixed window, and a weighted pair of windows, admit most.
    """
    seconds = case.setting.seconds
    admitted: dict[str, list[Admission]] = {account: [] for account in keys[:TRIED]}
    start = (time.time() // seconds + 2) * seconds + 0.02
    edge = 0.075 * seconds
    _all(case, admitted, start, 1)
    bursts = [seconds - edge, seconds + 0.02, 2 * seconds - 1.3 * edge, 2 * seconds + 0.02]
    bursts += [2 * seconds + edge * step for step in range(1, 14)]
    for burst in bursts:
        _all(case, admitted, start + burst, case.setting.limit + 1)
    most = max(most_in_any_window(each, seconds) for each in admitted.values())
    return {
        "most": most, "limit": case.setting.limit, "ratio": most / case.setting.limit, "degraded": case.degraded,
        "seconds": seconds, "held": held(admitted[keys[0]], start, seconds, bursts[-1] + seconds),
    }  # fmt: skip


def held(admissions: list[Admission], start: float, seconds: float, lasts: float) -> list[int]:
    """Return how many units the window that ends now certainly holds, every `STEP` seconds from *start* on."""
    found = []
    for step in range(int(lasts / STEP)):
        ends = start + step * STEP
        found.append(sum(each.asked > ends - seconds and each.answered <= ends for each in admissions))
    return found


def _all(case: Case, admitted: dict[str, list[Admission]], instant: float, most: int) -> None:
    """Ask for each account from *instant* on until it is refused, *most* times at most."""
    time.sleep(max(0.0, instant - time.time()))
    for account, admissions in admitted.items():
        for _ in range(most):
            asked = time.time()
            if not case.hit(account):
                break
            admissions.append(Admission(asked, time.time()))


def most_in_any_window(admissions: list[Admission], seconds: float) -> int:
    """Return the most units that certainly fell into one window, for admissions in order of time."""
    most, first = 0, 0
    for last, admission in enumerate(admissions):
        while admission.answered - admissions[first].asked >= seconds:
            first += 1
            if first > last:
                break
        most = max(most, last - first + 1)
    return most
