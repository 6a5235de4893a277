"""The portfolio: one command reviews three hundred accounts, as tables and as a page that needs nothing beside itself."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from entitlements.cli import main

PORTFOLIO = Path(__file__).resolve().parents[2] / "examples" / "portfolio"
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Notes the elements of a page and what they point to; an element that is not closed is an error."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.pointers, self.text = [], Counter(), [], []

    def handle_starttag(self, tag, attrs):
        self.seen[tag] += 1
        self.pointers += [value for name, value in attrs if name in {"src", "href", "action", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "title"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the command from an empty folder, into a pipe: what it prints, and the page."""
    away = tmp_path_factory.mktemp("away")
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR", "PYTHONPATH"}}
    done = subprocess.run(
        [sys.executable, "-W", "error", PORTFOLIO, "--html", "page.html"],
        cwd=away, env=env | {"PYTHONIOENCODING": "utf-8"}, capture_output=True, encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    assert ["page.html"] == [each.name for each in away.iterdir()]
    return done.stdout, (away / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(run):
    read = Page()
    read.feed(run[1])
    read.close()
    assert [] == read.open
    return read


def read(name):
    with (PORTFOLIO / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_three_hundred_accounts_with_six_months_of_usage():
    accounts, usage = read("accounts.csv"), read("usage.csv")

    assert 300 == len({row["Account ID"] for row in accounts}) == len({row["Account Name"] for row in accounts})
    assert {"2026-05", "2026-06", "2026-07", "2026-08", "2026-09", "2026-10"} == {row["month"] for row in usage}
    assert {6} == set(Counter(row["account"] for row in usage).values())
    assert {row["Account ID"] for row in accounts} == {row["account"] for row in usage}


def test_every_part_of_the_review_is_a_table(run):
    out, _ = run

    for title in (
        "Segments",
        "The same base by its share",
        "Who should move",
        "Over-serviced",
        "Meters near",
        "Compared",
    ):
        assert any(line.startswith(title) for line in out.splitlines())
    assert 4 == sum(line.startswith("gap ") for line in out.splitlines())
    assert "\x1b" not in out


def test_the_segments_add_up_to_the_base(run):
    lines = [re.split(r"  +", line.strip()) for line in run[0].splitlines()]
    begin = next(at for at, line in enumerate(lines) if line[0] == "Segments")
    *tiers, whole = [
        [int(re.sub("[^0-9]", "", cell)) for cell in (line[1], line[2], line[4])]
        for line in lines[begin + 2 : begin + 7]
    ]

    assert whole == [sum(column) for column in zip(*tiers, strict=True)]
    assert 300 == whole[0]


def test_page_and_tables_say_the_same(run, page):
    out, _ = run
    text = " ".join("".join(page.text).split())
    moves = re.search(r"Who should move \((\d+)\)", out)[1]
    over = re.search(r"Over-serviced \((\d+)\)", out)[1]
    meters, full = re.search(r"Meters near their limits \((\d+), (\d+) at it\)", out).groups()

    assert f"{moves} accounts should move" in text
    assert f"{over} paying accounts get more than they pay for" in text
    assert f"{full} meters are at their limit, {int(meters) - int(full)} more are close" in text
    assert "4 accounts cannot be placed" in text


def test_the_page_needs_nothing_beside_itself_and_prints(run, page):
    _, html = run

    assert [] == page.pointers
    assert not {"script", "link", "img", "iframe"} & set(page.seen)
    assert not re.search(r"url\(|@import|https?://", html)
    assert [True, True] == [f"@media {kind}" in html for kind in ("(prefers-color-scheme: dark)", "print")]
    assert page.seen["svg"] > 3


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
