"""The benchmark of one decision runs: a few calls of a few cases, in processes of their own; no time is judged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from xml.parsers import expat

import pytest
from virtual_time import run

from benchmarks.hot import figures, holding, loads, plan, plots, report
from benchmarks.hot.__main__ import chosen, parsed
from benchmarks.hot.holding import Admission
from benchmarks.hot.setting import Case, Setting

ROOT = Path(__file__).resolve().parents[2]


def printed(name, url, *words, given=None):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hot.case", name, "--url", url, *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, input=given,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def measured(name, url, *words):
    [figures] = printed(name, url, *words)
    return figures


def test_a_case_measures_in_a_process_of_its_own(valkey):
    found = measured("ours", valkey.url, "--load", "sequential", "--many", "40", "--warm", "5")

    assert (40, 40, 0) == (found["decisions"], found["admitted"], found["degraded"])
    assert 40 == round(found["commandstats"]["evalsha.calls"] * 40)
    assert 0 < found["us"]["p50"] <= found["us"]["p999"]


def test_many_tasks_at_once_are_each_told_whether_they_may(valkey):
    words = ("--load", "closed", "--tasks", "20", "--lasts", "0.05", "--traffic", "none")
    found = measured("coalescing-script", valkey.url, *words)

    assert found["decisions"] >= 20
    assert found["admitted"] <= 1_000  # one for each account, and the warm-up has taken some


def test_a_case_has_a_turn_for_each_line_that_it_reads(valkey):
    words = ("--load", "closed", "--tasks", "8", "--lasts", "0.05", "--turns")
    turns = printed("ours-two-async", f"{valkey.url}/3", *words, given="\n\n\n")

    assert 3 == len(turns)
    assert all(each["decisions"] == each["admitted"] >= 8 and 0 == each["degraded"] for each in turns)


def test_an_open_load_charges_every_call_that_was_meant(valkey):
    words = ("--load", "open", "--rate", "400", "--lasts", "0.25", "--arrivals", "poisson")
    found = measured("ours-async", valkey.url, *words)

    assert found["meant"] == found["decisions"] == found["admitted"]
    assert 0 == found["unanswered"]


@pytest.fixture
def virtual_time(monkeypatch):
    """Let the loads run on the clock of the event loop."""

    class Alarm:
        def __init__(self, due):
            self._due = due

        def set(self, at):
            asyncio.get_running_loop().call_at(at, self._due)

        def close(self):
            pass

    monkeypatch.setattr(loads, "Alarm", Alarm)
    monkeypatch.setattr(loads, "perf_counter", lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(loads, "perf_counter_ns", lambda: round(asyncio.get_running_loop().time() * 1e9))


class OneAtATime(Case):
    """Takes five milliseconds for each call, one after the other: 200 a second at most."""

    asynchronous = True

    async def open(self):
        self.turn, self.opened = asyncio.Lock(), getattr(self, "opened", 0) + 1

    async def hit(self, account):
        async with self.turn:
            await asyncio.sleep(0.005)
        return True

    async def close(self):
        pass


def test_a_rate_that_is_kept_up_with_is_no_more_than_there_is(monkeypatch, virtual_time):
    monkeypatch.setattr(loads, "FIRST", 10.0)
    case = OneAtATime(Setting(None))

    async def found():
        await case.open()
        return await loads.sustained(case, ["a"], lasts=0.3, warm=0.01)

    figures = run(found())

    assert 10 <= figures["rate"] <= 220
    assert case.opened > 1  # after too much it begins anew


def test_a_search_that_breaks_its_case_tells_what_it_had_reached(monkeypatch, virtual_time):
    monkeypatch.setattr(loads, "FIRST", 10.0)

    class Breaking(OneAtATime):
        async def hit(self, account):
            if self.opened > 2:
                raise ConnectionError("too many")
            return await super().hit(account)

    async def found():
        case = Breaking(Setting(None))
        await case.open()
        return await loads.sustained(case, ["a"], lasts=0.3, warm=0.01)

    assert run(found())["rate"] >= 10


@pytest.mark.parametrize("words", [["--only", "closed_64"], ["--only", "sustained"]])
def test_a_section_that_there_is_not_is_an_error(words):
    with pytest.raises(SystemExit, match=r"no section .* among sequential, .*; --full has more"):
        chosen(parsed(words))


def test_an_open_load_without_its_capacity_says_so(valkey, tmp_path):
    words = ("--full", "--rounds", "1", "--kinds", "valkey-9", "--only", "open-constant-50")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hot", *words, "--json", str(tmp_path / "raw.json")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert "sustained was not measured: run it too, or pass --capacity" in done.stdout


def test_every_row_of_every_section_has_its_words_and_a_base_that_is_a_row():
    for section in (*plan.quick(), *plan.full()):
        assert set(section.cases) <= set(plan.WORDS)
        assert section.base is None or section.base in section.cases


def test_ratios_are_taken_within_a_round():
    section = plan.Section("a", "A", ("ours", "throttled"), (), "ours", "bytes")
    sizes = {"ours": (100, 200), "throttled": (50, 300)}
    records = [
        {"server": "s", "round": number, "section": "a", "case": case, "figures": {"bytes": size, "keys": 1}}
        for case, each in sizes.items()
        for number, size in enumerate(each)
    ]
    written = report.written(
        {"machine": "m", "servers": {"s": "1"}, "left_out": {}, "rounds": 2, "records": records}, [section]
    )

    assert "| throttled-py gcra | 175 (50–300) | 1.0 | 1.00 (0.50–1.50) |" in written


@pytest.mark.parametrize(("share", "time"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.001, 1)])
def test_percentiles_are_by_nearest_rank(share, time):
    assert time == figures.at(list(range(1, 101)), share)


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_arrivals_have_the_rate_asked_for(kind):
    instants = figures.arrivals(kind, 1_000, 10)

    assert instants == sorted(instants)
    assert 9_500 < len(instants) < 10_500
    assert instants[-1] < 10


@pytest.mark.parametrize(
    ("admissions", "most"),
    [
        ([], 0),
        ([Admission(0, 0), Admission(9, 9)], 2),
        ([Admission(0, 0), Admission(10, 10)], 1),
        (
            [Admission(0, 1), Admission(8, 10), Admission(9, 11)],
            2,
        ),  # the first is in no window with the last for certain
    ],
)
def test_what_certainly_falls_into_one_window(admissions, most):
    assert most == holding.most_in_any_window(admissions, 10)


def test_half_of_the_accounts_are_small_where_half_is_refused():
    assert 500 == sum(account.startswith("s") for account in figures.keys("half"))


def test_a_case_that_fails_is_told_in_its_row():
    section = plan.Section("a", "A", ("ours",), (), "ours", "bytes")
    record = {"server": "s", "round": 0, "section": "a", "case": "ours", "figures": {"error": "it broke"}}
    raw = {"machine": "m", "servers": {"s": "1"}, "left_out": {}, "rounds": 1, "records": [record]}

    assert "(failed in 1 of 1 rounds) | it broke |" in report.written(raw, [section])


def test_the_plots_are_well_formed_and_name_every_case():
    records = [
        {
            "server": "s", "round": number, "section": section, "case": case,
            "figures": {"rate": 1_000.0 + number, "distribution": [100.0 + number] * len(figures.shares())},
        }
        for number in range(2)
        for section, cases in (("sequential", plan.BLOCKING), ("closed-64", plan.ASYNC), ("closed-512", plan.ASYNC))
        for case in cases
    ]  # fmt: skip
    raw = {"machine": "m; pinned", "servers": {"s": "1"}, "records": records}

    for drawing, cases in (
        (plots.latency(raw, "sequential", "s"), ("redis-ping", *plots.CURVES["sequential"][1])),
        (plots.throughput(raw, "s"), plan.ASYNC),
    ):
        expat.ParserCreate().Parse(drawing, True)
        assert all(plots.plain(case) in drawing for case in cases)
