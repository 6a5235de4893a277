"""Every fault on every operation, by threads and tasks: what is told is what is counted, and no promise is broken."""

from __future__ import annotations

import pytest
from faultlab.bench import bench_of
from faultlab.cells import run
from faultlab.faults import FAULTS
from faultlab.operations import OPERATIONS

KNOWN: dict[tuple[str, str, str], str] = {}
"""Cells that differ, with the cause, by fault, operation and mode."""
TRIES = 3
"""A machine that is busy holds a call up where no heartbeat sees it; what is late three times is late."""
TIMED = {"deadline", "strict"}
"""Promises of which such a machine makes a breach: a call that it holds up is decided without the store."""
QUICK_FAULT, QUICK_OPERATION = "reply lost, 30 %", "mixed"


def cells():
    for number, fault in enumerate(FAULTS.values()):
        modes = fault.modes
        for operation in OPERATIONS.values():
            if fault.operations and operation.name not in fault.operations:
                continue
            for mode in operation.modes:
                if mode in modes:
                    alternate = mode == modes[number % len(modes)]
                    sampled = operation.name == QUICK_OPERATION and alternate and number % 4 < 2
                    is_quick = fault.name == QUICK_FAULT or sampled
                    marks = [] if is_quick else [pytest.mark.slow]
                    if reason := KNOWN.get((fault.name, operation.name, mode)):
                        marks.append(pytest.mark.xfail(strict=True, reason=reason))
                    yield pytest.param(fault, operation, mode, marks=marks, id=f"{fault.name}-{operation.name}-{mode}")


pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.mark.parametrize(("fault", "operation", "mode"), list(cells()))
def test_cell(fault, operation, mode, request, record_property):
    record_property("cell", (fault.name, operation.name, mode))
    for _ in range(TRIES):
        with bench_of(fault.on, request) as bench:
            verdict = run(fault, operation, mode, bench)
        print(f"{verdict.calls} calls, {verdict.degraded} degraded, {dict(verdict.errors)}, {verdict.over:.3f} s over")
        if not verdict.problems or not TIMED >= set(verdict.problems):
            break
    record_property("figures", (verdict.calls, verdict.degraded, round(1000 * verdict.over)))

    assert {} == verdict.problems
