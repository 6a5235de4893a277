"""
Cost of one decision on a server, compared with floors and with peers.

    python -m benchmarks.hot [--full] [--rounds 3] [--kinds redis-7.0 valkey-9] [--only closed-64 …]

Every case runs in a process of its own, once in each round, against an empty server. The rows of one
table run one after the other, in shuffled order; those of `flagship` stay, each with a database of its
own, and have short turns. A row shows medians over the rounds or turns, with the least and the greatest,
and ratios to a case of the same round or turn.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tests" / "helpers"))  # where the servers are

import pytest
from servers import KINDS, Rack

from benchmarks.hot import environments, machine, plan, report

RESULTS = environments.ROOT / ".bench" / "hot.json"
PATIENCE = 120
"""Seconds until a case that does not end is given up."""


class Run:
    """All rounds against all servers, with their results."""

    def __init__(self, options):
        self.options, self.records, self.servers = options, [], {}
        self.client, self.server_processor = machine.processors()
        self.sections = chosen(options)
        self.left_out = {}
        self._done, self._began = 0, time.monotonic()

    def go(self):
        """Run everything."""
        self._environments()
        rack = Rack()
        try:
            servers = {kind: server for kind in self.options.kinds if (server := self._started(rack, kind))}
            for number in range(self.options.rounds):
                self._round(servers, number)
                self.write()
        finally:
            rack.close()

    def write(self):
        """Write the figures measured so far, and return them."""
        raw = {
            "machine": machine.told(), "servers": self.servers, "left_out": self.left_out,
            "rounds": self.options.rounds, "records": self.records,
        }  # fmt: skip
        self.options.json.parent.mkdir(parents=True, exist_ok=True)
        self.options.json.write_text(json.dumps(raw) + "\n", encoding="utf-8")
        return raw

    def _environments(self):
        """Make every environment first, so that no case waits for one."""
        needed = {case.split("-")[0] for section in self.sections for case in section.cases}
        for name in environments.PINS:
            if name not in needed:
                continue
            self._say(f"environment of {name}")
            try:
                environments.interpreter(name)
            except environments.Missing as reason:
                self.left_out[name] = str(reason)

    def _started(self, rack, kind):
        try:
            server = rack.start(kind)
        except pytest.skip.Exception as missing:
            self.left_out[kind] = str(missing)
            return None
        machine.pin(server.pid, self.server_processor)
        self.servers[kind] = server.version
        return server

    def _round(self, servers, number):
        runs = [
            (section, case, kind)
            for section in sorted(shuffled(self.sections), key=lambda each: bool(each.share))  # by the sustained rate
            if not (section.once and number)
            for kind in shuffled(servers)
            for case in shuffled([section.cases] if section.turns else section.cases)
            if section.turns or self._has(case)
        ]
        for section, case, kind in runs:
            what = "in turns" if section.turns else case
            self._say(f"round {number + 1} of {self.options.rounds}, {kind}, {section.name}: {what}")
            if section.turns:
                self._take_turns(servers[kind], kind, number, section)
                self._done += len(section.cases)
                continue
            self._one(servers[kind], kind, number, section, case)
            self._done += 1

    def _take_turns(self, server, kind, number, section):
        """Run all cases at once, each on a database of its own, and give each a turn in shuffled order, again and again."""
        server.reset()
        with ExitStack() as running:
            processes = {
                case: running.enter_context(turning(case, [f"--url={server.url}/{at}", *section.words], self.client))
                for at, case in enumerate(filter(self._has, section.cases))
            }
            for turn in range(-1, section.turns):
                for case, process in shuffled(processes.items()):
                    process.stdin.write("\n")
                    process.stdin.flush()
                    figures = json.loads(process.stdout.readline() or '{"error": "it ended"}')
                    figures.pop("distribution", None)
                    at = number * section.turns + turn
                    record = {"server": kind, "round": at, "section": section.name, "case": case, "figures": figures}
                    self.records.extend([record] if turn >= 0 else [])  # the first turn loads the accounts

    def _has(self, case):
        return case.split("-")[0] not in self.left_out

    def _one(self, server, kind, number, section, case):
        server.reset()
        words, capacity = list(section.words), self._capacity(section, kind, number)
        if section.share and capacity:
            words += ["--rate", str(capacity * section.share / 100)]
        if section.share and not capacity:
            figures = {"error": f"{section.capacity} was not measured: run it too, or pass --capacity"}
        else:
            with self._way(server, section.trip) as url:
                figures = run(case, ["--url", url, *words], self.client)
        if not section.name.startswith(("sequential", "open")):
            figures.pop("distribution", None)
        self.records.append(
            {"server": kind, "round": number, "section": section.name, "case": case, "figures": figures}
        )

    @contextmanager
    def _way(self, server, trip):
        """Return the URL of the server, or of the proxy that makes round trips longer."""
        if trip is None:
            yield server.url
            return
        words = [sys.executable, "-m", "benchmarks.hot.delay", str(server.port), str(trip)]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, cwd=environments.ROOT, stdin=pipe, stdout=pipe, text=True) as proxy:
            try:
                port = int(proxy.stdout.readline())
                machine.pin(proxy.pid, self.server_processor)
                yield f"redis://127.0.0.1:{port}"
            finally:
                proxy.kill()

    def _capacity(self, section, kind, number):
        """Return our sustained rate in calls a second, as measured in this round on this server; None if it was not measured."""
        wanted = (kind, number, section.capacity, "ours-async")
        for each in self.records:
            if (each["server"], each["round"], each["section"], each["case"]) == wanted:
                return each["figures"].get("rate", self.options.capacity)
        return self.options.capacity

    def _say(self, what):
        rounds = self.options.rounds
        total = sum(len(each.cases) * (1 if each.once else rounds) for each in self.sections) * len(self.options.kinds)
        line = f"[{self._done}/{total}, {time.monotonic() - self._began:.0f} s] {what}"
        end = "" if sys.stderr.isatty() else "\n"
        print(f"\r{line:<110}" if not end else line, end=end, file=sys.stderr, flush=True)


def chosen(options):
    """Return the chosen sections; an unknown name is an error."""
    sections = plan.full() if options.full else plan.quick()
    unknown = set(options.only or ()) - {each.name for each in sections}
    if unknown:
        more = "" if options.full else "; --full has more"
        names = ", ".join(each.name for each in sections)
        raise SystemExit(f"no section {', '.join(sorted(unknown))} among {names}{more}")
    return [each for each in sections if not options.only or each.name in options.only]


def shuffled(things):
    """Return the same in another order."""
    return random.sample(list(things), len(things))


def command_of(case: str, words: list[str], processor: int | None) -> list[str]:
    """Return the command that runs one case."""
    room = case.split("-", maxsplit=1)[0]
    environment = room if room in environments.PINS else environments.OURS
    command = [environments.interpreter(environment), "-m", "benchmarks.hot.case", case, *words]
    return command if processor is None else [*command, "--cpu", str(processor)]


def turning(case: str, words: list[str], processor: int | None) -> subprocess.Popen:
    """Return the process of a case that runs its load for each line it reads."""
    command = [*command_of(case, words, processor), "--turns"]
    return subprocess.Popen(command, cwd=environments.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(case: str, words: list[str], processor: int | None) -> dict:
    """Run one case in a process of its own; return its figures, or `{"error": why}`."""
    command = command_of(case, words, processor)
    try:
        done = subprocess.run(
            command, cwd=environments.ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no end within {PATIENCE} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no word"])[-1][:300]}
    return json.loads(done.stdout, parse_float=lambda said: round(float(said), 3))


def parsed(words=None):
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot", description=__doc__.split("\n\n")[0])
    parser.add_argument("--full", action="store_true", help="everything, and twice as long each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["redis-7.0", "valkey-9"])
    parser.add_argument("--only", nargs="+", help="sections, by name; those of --full only with --full")
    parser.add_argument("--capacity", type=float, help="calls a second, for open loads without sustained")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the raw figures go")
    return parser.parse_args(words)


def main(words=None) -> int:
    """Run, print the tables, write the raw figures."""
    options = parsed(words)
    going = Run(options)
    going.go()
    print(file=sys.stderr)
    print(report.written(going.write(), going.sections))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
