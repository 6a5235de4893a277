"""The portfolio: two commands review three hundred accounts, as a table and as a page."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from entitlements.cli import main

PORTFOLIO = Path(__file__).resolve().parents[2] / "examples" / "portfolio"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the example from an empty folder, into a pipe: what it prints, and the page."""
    away = tmp_path_factory.mktemp("away")
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR", "PYTHONPATH"}}
    done = subprocess.run(
        [sys.executable, "-W", "error", PORTFOLIO, "--html", "page.html"],
        cwd=away, env=env | {"PYTHONIOENCODING": "utf-8"}, capture_output=True, encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip
    assert 1 == done.returncode
    assert ["page.html"] == [each.name for each in away.iterdir()]
    return done, (away / "page.html").read_text(encoding="utf-8")


def read(name):
    with (PORTFOLIO / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_three_hundred_accounts_with_six_months_of_usage():
    accounts, usage = read("accounts.csv"), read("usage.csv")

    assert 300 == len({row["Account ID"] for row in accounts}) == len({row["Account Name"] for row in accounts})
    assert {"2026-05", "2026-06", "2026-07", "2026-08", "2026-09", "2026-10"} == {row["month"] for row in usage}
    assert {6} == set(Counter(row["account"] for row in usage).values())
    assert {row["Account ID"] for row in accounts} == {row["account"] for row in usage}


def test_the_moves_are_printed_and_the_page_is_written(run):
    done, page = run
    printed = [line for line in done.stdout.splitlines() if re.match(r"\S+ +\S+ +(upgrade|downgrade|close) ", line)]

    assert "written: page.html" in done.stdout
    assert len(printed) > 5
    assert 5 <= sum(line.split("  ")[0] in page for line in printed)  # the page shows the most valuable
    assert "'2/30/2027' does not exist" in done.stderr
    assert "2/30/2027" in page


def test_the_same_file_makes_the_round_trip(tmp_path, capsys):
    """Five bad cells are told, four rows get no tier, and every row is there."""
    target = tmp_path / "tiered.csv"
    policy = PORTFOLIO.parents[1] / "policies" / "customer-tiers"
    source, options = (
        str(PORTFOLIO / "accounts.csv"),
        ["--id", "Account ID", "--policy", str(policy), "--ignore", "Overrides"],
    )
    code = main(["crm", "assign", source, "-o", str(target), *options])
    out, err = capsys.readouterr()
    before, after = (path.read_bytes().splitlines() for path in (PORTFOLIO / "accounts.csv", target))

    assert (1, 5) == (code, len(err.splitlines()))
    assert re.search(r"^\(no tier\) +4 ", out, re.MULTILINE)
    assert 301 == len(before) == len(after)
    assert all(len(old.split(b",")) == len(new.split(b",")) for old, new in zip(before, after, strict=True))
