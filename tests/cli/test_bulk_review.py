"""`entitlements review -o`: the same reviews as one by one, in bounded memory, and resumable."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.base import write_base
from entitlements import CsvAccounts, Policy
from entitlements.accounts.csv.cells import read_moment
from entitlements.cli import main
from entitlements.cli.bulk_review import chunks
from entitlements.cli.review import BaseReviewer
from entitlements.cli.usage_source import UsageSource
from entitlements.model.instants import to_instant
from entitlements.model.problem import Severity
from entitlements.usage_files import measured_usage, read_usage

ROOT = Path(__file__).resolve().parents[2]
POLICY = str(ROOT / "policies" / "customer-tiers")
AT = "2026-11-02T09:00Z"
NOW = to_instant(read_moment(AT))
MAIN = " from entitlements.cli import main; __name__ == '__main__' and sys.exit(main(sys.argv[1:]))"


def run(folder, *argv, name="out.csv", workers=1):
    """Run the command on the base of a folder, and return its exit code."""
    files = ["--accounts", str(folder / "accounts.csv"), "--usage", str(folder / "usage.csv"), "--id", "Account ID"]
    return main(
        ["review", "--policy", POLICY, *files, "--at", AT, "-o", str(folder / name), "--workers", str(workers), *argv]
    )


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def reference(folder):
    """Return the reviews of a base one by one, and the problems, as texts."""
    policy = Policy.load(POLICY)
    accounts = CsvAccounts(folder / "accounts.csv", id="Account ID", policy=policy)
    usage = read_usage(str(folder / "usage.csv"), policy)

    def measured(account, contract):
        return measured_usage(contract.entitlements, usage.months.get(account.id, ()), NOW)

    reviewer = BaseReviewer(policy, UsageSource(measured, usage), NOW)
    reviews = [each for account in accounts if (each := reviewer.review(account)) is not None]
    problems = [str(each) for each in accounts.problems if each.severity is Severity.ERROR]
    return reviews, {
        *problems,
        *reviewer.problems,
        *map(str, usage.problems),
        *map(str, usage.strangers(accounts.ids())),
    }


def check_equal(folder, capsys):
    """Check that the rows and problems of a run are those of the reference."""
    reviews, problems = reference(folder)
    capsys.readouterr()
    code = run(folder, "--json")
    told = json.loads(capsys.readouterr().out)
    rows = rows_of(folder / "out.csv")

    assert code == 1
    assert len(rows) == len(reviews)
    for row, each in zip(rows, reviews, strict=True):
        assert (row["account"], row["tier"], row["action"]) == (each.account, each.tier, each.action)
        assert row["to"] == (each.to or "")
        assert row["notice_days"] == str(each.notice.days or "")
        assert row["because"] == "; ".join(reason.text for reason in each.reasons)
        assert row["also"] == "; ".join(f"{other.text} ({other.speaks_for})" for other in each.others)
        assert row["not_known"] == "; ".join(each.unknown)
    own = {text for text in problems if not is_of_unread_account(text, folder, problems)}
    assert own <= set(told["problems"])
    assert set(told["problems"]) <= problems | own


def is_of_unread_account(text, folder, problems):
    """Return True for an account of the usage whose own row cannot be read: it is no stranger to the base's file."""
    if "is no account" not in text:
        return False
    id = text.split("account: ")[1].split("'")[1]
    return id in (folder / "accounts.csv").read_text(encoding="utf-8")


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 100)


def test_every_verdict_and_reason_is_that_of_the_reviews_one_by_one(tmp_path, capsys, small_chunks):
    write_base(tmp_path, 500, seed=7)

    check_equal(tmp_path, capsys)


@pytest.mark.slow
def test_every_verdict_and_reason_of_ten_thousand_accounts(tmp_path, capsys):
    write_base(tmp_path, 10_000, seed=11, by_month=True)

    check_equal(tmp_path, capsys)


def test_two_processes_write_what_one_writes(tmp_path, capsys):
    write_base(tmp_path, 300, seed=3)
    run(tmp_path)
    run(tmp_path, name="two.csv", workers=2)

    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_a_usage_file_with_cells_over_several_lines_is_read_row_by_row_and_equal(tmp_path, capsys, small_chunks):
    write_base(tmp_path, 150, seed=5)
    usage = tmp_path / "usage.csv"
    lines = usage.read_text(encoding="utf-8").splitlines()
    lines = [f'{line},"a note\nof two lines"' if at else f"{line},Note" for at, line in enumerate(lines)]
    usage.write_text("\n".join(lines), encoding="utf-8")

    check_equal(tmp_path, capsys)


def test_an_id_that_occurs_again_in_a_later_chunk_is_reported_with_its_first_line(tmp_path, capsys, small_chunks):
    write_base(tmp_path, 150, seed=9)
    accounts = tmp_path / "accounts.csv"
    lines = accounts.read_text(encoding="utf-8").splitlines()
    accounts.write_text("\n".join([*lines, lines[1]]), encoding="utf-8")

    check_equal(tmp_path, capsys)
    assert len(rows_of(tmp_path / "out.csv")) <= 150


def test_finished_parts_are_kept_and_a_run_goes_on_with_them(tmp_path, capsys, small_chunks, monkeypatch):
    write_base(tmp_path, 450, seed=13)
    run(tmp_path, name="whole.csv")
    from entitlements.cli.bulk_review import worker

    review, done = worker.ChunkReviewer.review, []

    def interrupted(self, chunk, months):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(chunk.number)
        return review(self, chunk, months)

    monkeypatch.setattr(worker.ChunkReviewer, "review", interrupted)
    assert run(tmp_path) != 0
    assert not (tmp_path / "out.csv").exists()
    monkeypatch.setattr(worker.ChunkReviewer, "review", review)
    capsys.readouterr()
    run(tmp_path)

    assert "(3 chunks were finished before)" in capsys.readouterr().out
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == []


def test_parts_of_other_files_are_not_used(tmp_path, capsys, small_chunks):
    write_base(tmp_path, 250, seed=13)
    parts = tmp_path / "out.csv.parts"
    parts.mkdir()
    (parts / "settings.json").write_text('{"fingerprint": "another", "now": 0}', encoding="utf-8")
    (parts / "000000.csv").write_text("stale\n", encoding="utf-8")
    (parts / "000000.json").write_text('{"counts": [], "problems": []}', encoding="utf-8")
    run(tmp_path)

    assert rows_of(tmp_path / "out.csv")[0]["account"] == "AC-0000000"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_killed_goes_on_and_writes_what_an_uninterrupted_one_does(tmp_path, workers):
    write_base(tmp_path, 600, seed=17)

    def start(output):
        script = "import sys; from entitlements.cli.bulk_review import chunks; chunks.CHUNK = 40;" + MAIN
        argv = [
            sys.executable, "-c", script, "review", "--policy", POLICY, "--id", "Account ID", "--at", AT, "--accounts",
            "accounts.csv", "--usage", "usage.csv", "-o", output, "--workers", str(workers),
        ]  # fmt: skip
        return subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    start("whole.csv").communicate()
    parts, killed = tmp_path / "out.csv.parts", start("out.csv")
    deadline = time.monotonic() + 240
    while not (parts / "000002.json").exists() and time.monotonic() < deadline and killed.poll() is None:
        time.sleep(0.005)
    killed.kill()
    killed.communicate(timeout=240)  # its processes end with it, and close the pipe

    assert (parts / "000002.json").exists()
    assert not (tmp_path / "out.csv").exists()
    assert "chunks were finished before" in start("out.csv").communicate()[0]
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {"accounts.csv", "usage.csv", "whole.csv", "out.csv"} == {each.name for each in tmp_path.iterdir()}


def test_output_is_about_all_accounts_and_files(tmp_path, capsys):
    write_base(tmp_path, 3)

    assert run(tmp_path, "AC-0000001") == 2
    assert "--output is about all accounts" in capsys.readouterr().err


def test_a_usage_file_without_months_is_refused_before_anything_is_written(tmp_path, capsys):
    write_base(tmp_path, 3)
    (tmp_path / "usage.csv").write_text("account,leads\nAC-0000001,3\n", encoding="utf-8")

    assert run(tmp_path) == 4
    assert "no column 'month'" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
