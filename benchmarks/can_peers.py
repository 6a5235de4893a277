"""
Cost of one question about a feature: ours, OpenFeature's in-memory provider, GrowthBook.

    python -m benchmarks.can_peers [--rounds 15]

Each library answers in an environment and a process of its own, new in every round and in
shuffled order. The unit is a plain function in that same process, one `dict.get` and one
test in a `frozenset`; so differences between processes cancel out.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.can_cases import BASE, LIBRARIES
from benchmarks.peers import ROOT, chief, machine, markdown, python_of, versions_of, write
from benchmarks.rounds import ratios

RESULTS = ROOT / "benchmarks" / "results" / "can_peers.json"
HEAD = ("library", "question", "ns", "times the base (min to max)")


def asked(library):
    """Return the nanoseconds of each question to one library, from a new process in its environment."""
    command = [python_of(library), "-m", "benchmarks.can_cases", library]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measured(rounds, ask=asked):
    """Return the figures of each library in each round."""
    found = {library: [] for library in LIBRARIES}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for library in random.sample(list(LIBRARIES), len(LIBRARIES)):
            found[library].append(ask(library))
    return found


def table(found):
    """Return the rows as a Markdown table: medians, and ratios with their least and greatest."""
    rows = []
    for library, rounds in found.items():
        for question in rounds[0]:
            if question != BASE:
                of = ratios(rounds, question, BASE)
                ratio = f"{of.median:.1f} ({of.low:.1f} to {of.high:.1f})"
                rows.append(
                    (library, f"`{question}`" if "(" in question else question, f"{of.nanoseconds:,.0f}", ratio)
                )
    each = [figures[BASE] for rounds in found.values() for figures in rounds]
    rows.append(("none", "the base", f"{median(each):,.0f}", "1"))
    return markdown(HEAD, rows)


def main() -> int:
    """Measure, print the table, and write the raw figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.can_peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the raw figures go")
    options = parser.parse_args()
    versions = {library: versions_of(library) for library in LIBRARIES}
    found = measured(options.rounds)
    write(options.json, {"machine": machine(), "versions": versions, "rounds": found})
    print(f"{machine()}; {options.rounds} rounds")
    print(chief(versions, "entitlements", "openfeature-sdk", "growthbook"))
    print(f"\n{table(found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
