"""
Run mutants of the rules, the resilience layer and the Lua scripts, and say which ones no test kills.

    python tests/mutation [rules|resilience|lua ...] [--only TEXT] [--sample 150] [--seed 1] [--jobs 2] [--judged]

A mutant is killed if a test fails, or computes for much longer than without it. Survivors are compared with
`survivors.txt`, where each has a judgement; those that are judged run with `--judged` only.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "entitlements"
SURVIVORS = Path(__file__).with_name("survivors.txt")
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers"), str(Path(__file__).parent)]

from children import run_each  # noqa: E402 - found by the path above
from mutate import Mutant, lua_mutants, python_mutants  # noqa: E402
from python_trials import OPTIONS, Trials  # noqa: E402

TARGETS = {"rules": "rules/*.py", "resilience": "stores/resilience/*.py", "lua": "stores/redis/lua/*.lua"}
"""Patterns of files below the package."""
TESTS = ("rules", "stores", "stores/test_outage.py", "stores/test_replay.py", "enforcer", "tiering", "leases", "http/test_path_forms.py", "http/test_routes.py",
         "http/test_refusals.py", "http/test_fast_path.py", "policy", "accounts")  # fmt: skip
"""Tests that may kill mutants, below `tests/`; of these, the ones that reach the changed line run."""


class Report:
    """The outcome of each mutant."""

    def __init__(self):
        self.killed: list[Mutant] = []
        self.survivors: list[Mutant] = []
        self._total = 0

    def expect(self, many: int) -> None:
        """Expect so many mutants."""
        self._total += many

    def __call__(self, mutant: Mutant, has_survived: bool, why: str) -> None:
        """Note a mutant, and the test that killed it."""
        (self.survivors if has_survived else self.killed).append(mutant)
        done = len(self.killed) + len(self.survivors)
        print(f"{done:4} of {self._total}  {'SURVIVED' if has_survived else 'killed'}  {mutant.name}  [{mutant.line}] {why[-80:]}", flush=True)  # fmt: skip


def mutants_of(target: str) -> list[Mutant]:
    """Return every mutant of a target."""
    found = []
    for path in sorted(PACKAGE.glob(TARGETS[target])):
        make = lua_mutants if path.suffix == ".lua" else python_mutants
        found += make(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
    return found


def judgements() -> dict[str, str]:
    """Return the judgement of each known survivor, by the name of the mutant."""
    lines = SURVIVORS.read_text(encoding="utf-8").splitlines() if SURVIVORS.exists() else []
    entries = [line.rpartition(" | ") for line in lines if line and not line.startswith("#")]
    return {name: judgement for name, _, judgement in entries}


def try_python(mutants: list[Mutant], options: argparse.Namespace, folder: Path, report: Report) -> None:
    """Try mutants of Python sources."""
    import pytest

    sys.dont_write_bytecode = True
    tests = [str(ROOT / "tests" / path) for path in options.tests or TESTS]
    pytest.main([*OPTIONS, *tests], [Trials(mutants, folder, options.jobs, report)])


def try_lua(mutants: list[Mutant], options: argparse.Namespace, folder: Path, report: Report) -> None:
    """Try mutants of Lua sources, on a server for each child at a time."""
    import redis
    from lua_trials import Corpus, try_script
    from servers import Rack

    rack = Rack()
    try:
        ports = [rack.start("valkey-9").port for _ in range(options.jobs)]
        corpus = Corpus(redis.Redis(port=ports[0]))
        for port in ports[1:]:
            for script in corpus.timed.values():
                redis.Redis(port=port).script_load(script.text)
        trials = ((mutant, lambda place, mutant=mutant: try_script(corpus, ports[place], mutant), 60.0) for mutant in mutants)  # fmt: skip
        for mutant, answer in run_each(trials, options.jobs, folder):
            outcome, _, test = answer.partition("\n")
            corpus.told[test] += 1
            report(mutant, outcome == "survived", test or outcome)
    finally:
        rack.close()


def main() -> int:
    """Run the mutants that the command line names; return 1 if a survivor has no judgement, or a judgement no mutant."""
    parser = argparse.ArgumentParser(prog="python tests/mutation", description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="all by default")
    parser.add_argument("--sample", type=int, default=10**6, help="so many mutants of each target, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="children at a time")
    parser.add_argument("--only", nargs="*", default=[""], help="mutants whose name contains one of these")
    parser.add_argument("--tests", nargs="*", help="other tests than usual, below tests/")
    parser.add_argument("--judged", action="store_true", help="try the judged survivors too")
    options = parser.parse_args()
    known, report = judgements(), Report()
    began, judged = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        todo = {True: [], False: []}
        made = {each.name for target in TARGETS for each in mutants_of(target)}
        for target in options.targets or TARGETS:
            mutants = [each for each in mutants_of(target) if any(text in each.name for text in options.only)]
            if options.sample < len(mutants):
                mutants = sorted(random.Random(options.seed).sample(mutants, options.sample), key=lambda each: (each.file, each.line))  # fmt: skip
            judged += [each for each in mutants if each.name in known and not options.judged]
            todo[target == "lua"] += [each for each in mutants if each.name not in known or options.judged]
        report.expect(len(todo[False]) + len(todo[True]))
        if todo[False]:
            try_python(todo[False], options, Path(folder), report)
        if todo[True]:
            try_lua(todo[True], options, Path(folder), report)
    return summary(report, judged, known, sorted(known.keys() - made), time.monotonic() - began)


def summary(report: Report, judged: list[Mutant], known: dict[str, str], stale: list[str], seconds: float) -> int:  # fmt: skip
    """Print the figures of each file, survivors without a judgement, and judgements of no mutant; return 1 if there are some."""
    files = defaultdict(lambda: [0, 0, 0])
    survivors = [each for each in report.survivors if each.name not in known]
    for column, mutants in enumerate((report.killed, [*judged, *(each for each in report.survivors if each.name in known)], survivors)):  # fmt: skip
        for mutant in mutants:
            files[mutant.file][column] += 1
    for mutant in sorted(survivors, key=lambda each: (each.file, each.line)):
        print(f"no judgement: {mutant.name}  [{mutant.line}]")
    for name in stale:
        print(f"no such mutant, take its judgement away: {name}")
    print(f"{'file':40} mutants  killed  judged  open")
    for file, (killed, judged_here, open_here) in [*sorted(files.items()), ("all", [sum(each[column] for each in files.values()) for column in range(3)])]:  # fmt: skip
        total = killed + judged_here + open_here
        print(f"{file:40} {total:7} {killed:7} {judged_here:7} {open_here:5}  {100 * killed / max(1, total):5.1f} %")
    print(f"{seconds:.0f} s")
    return int(bool(survivors or stale))


if __name__ == "__main__":
    raise SystemExit(main())
