"""
In-process benchmarks: every row is a ratio to another case of the same round. `make bench` runs them.

    python -m benchmarks [--rounds 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import embedded
from benchmarks.rounds import Row, environment, measure, ratios

RESULTS = Path(__file__).parents[1] / ".bench" / "embedded.json"


def main() -> int:
    """Measure, print the table, and write the raw figures of every round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="shuffled rounds, at least 9")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the raw figures of every round go")
    options = parser.parse_args()
    if options.rounds < 9:
        parser.error(f"--rounds {options.rounds} says too little about the spread; at least 9")
    cases = embedded.cases()
    print(environment())
    rounds = measure(cases, options.rounds, progress=sys.stderr if sys.stderr.isatty() else None)
    print(f"\n{'what':<58}{'ns':>9}   {'ratio (min to max)':<26}{'bar':>9}")
    for row in embedded.ROWS:
        print(_line(row, rounds))
    raw = {"environment": environment(), "rounds": rounds}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    return 0


def _line(row: Row, rounds: list[dict[str, float]]) -> str:
    """Return one row: nanoseconds, the median of per-round ratios with its spread, and the bar."""
    result = ratios(rounds, row.case, row.against)
    missed = row.bar is not None and result.low > row.bar
    mark = "  MISSED" if missed else ""
    spread = f"{result.median:.2f} x {row.base}  ({result.low:.2f} to {result.high:.2f})"
    bar = "" if row.bar is None else f"<= {row.bar:g}"
    return f"{row.what:<58}{result.nanoseconds:>9,.0f}   {spread:<26}{bar:>9}{mark}"


if __name__ == "__main__":
    raise SystemExit(main())
