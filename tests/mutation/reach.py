"""Which test runs which line of the sources that have mutants, and for how long."""

from __future__ import annotations

import json
import os
import warnings
from collections import defaultdict
from hashlib import sha1
from pathlib import Path

import pytest
from children import run_each


class Reach:
    """
    Lines that each test runs, and the CPU time it takes.

    Kept in a file by the digests of the package and of each file of tests, so that only changed files run again.
    """

    def __init__(self, files: list[Path], kept: Path):
        self._files, self._kept = files, kept
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[str, list[int]]] = {}
        """By test and file."""

    def measure(self, items: list[pytest.Item], folder: Path) -> None:
        """Run the tests whose lines are not known, in one child."""
        known = json.loads(self._kept.read_text()) if self._kept.exists() else {}
        package = digest(*sorted(self._files), Path(__file__))
        by_file = defaultdict(list)
        for item in items:
            by_file[item.path].append(item)
        digests = {path: f"{package} {digest(path)}" for path in by_file}
        stale = [path for path in by_file if known.get(str(path), {}).get("digest") != digests[path]]
        todo = [item for path in stale for item in by_file[path]]

        def trace(_):
            return json.dumps(self._trace(todo))

        found = {}
        if todo:
            print(f"which lines {len(todo)} tests of {len(stale)} files run…", flush=True)
            answer = next(run_each([(None, trace, 1800.0)], 1, folder))[1]
            if not answer.startswith("{"):
                raise SystemExit(answer)
            found = json.loads(answer)
        for path in stale:
            tests = {item.nodeid: found[item.nodeid] for item in by_file[path] if item.nodeid in found}
            known[str(path)] = {"digest": digests[path], "tests": tests}
        self._kept.parent.mkdir(exist_ok=True)
        self._kept.write_text(json.dumps(known))
        for path in by_file:
            for name, (seconds, lines) in known[str(path)]["tests"].items():
                self.seconds[name], self.lines[name] = seconds, lines

    def _trace(self, items):
        from coverage import Coverage

        found = {}
        for item, after in zip(items, [*items[1:], None], strict=True):
            cov = Coverage(
                data_file=None, include=[str(path) for path in self._files], config_file=False, messages=False
            )
            began, failed = sum(os.times()[:4]), item.session.testsfailed
            cov.start()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            cov.stop()
            if item.session.testsfailed != failed:
                continue  # it would fail with every mutant
            with warnings.catch_warnings(action="ignore"):  # that a test runs none of these lines
                data = cov.get_data()
            lines = {path: data.lines(path) for path in data.measured_files()}
            found[item.nodeid] = sum(os.times()[:4]) - began, lines
        return found


def digest(*paths: Path) -> str:
    """Return a digest of the text of files."""
    return sha1(b"".join(path.read_bytes() for path in paths), usedforsecurity=False).hexdigest()
