"""`entitlements transitions`: cases from a review, open and late steps, in a CSV file and in a database."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
FRIDAY = "2026-11-06T22:00Z"  # 17:00 in New York
ACCOUNTS = """id,tier,annual-value,events
acme,freemium,0,expansion
globex,mid-market,50000,less-usage
initech,mid-market,50000,
"""


@pytest.fixture(params=["cases.csv", "sqlite:///cases.db"])
def cases(request):
    """Return the place in which cases are kept."""
    return request.param


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs `transitions` on three accounts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", str(ROOT / "policies" / "customer-tiers"))
    monkeypatch.delenv("ENTITLEMENTS_STORE", raising=False)
    (tmp_path / "accounts.csv").write_text(ACCOUNTS, encoding="utf-8")

    def run_command(*argv, at=FRIDAY):
        code = main(["transitions", *argv, "--accounts", "accounts.csv", "--at", at])
        return code, *capsys.readouterr()

    return run_command


def words(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_review_opens_a_case_for_each_recommended_move(run, cases):
    """24 support hours from Friday 17:00 in New York are Tuesday 17:00; 60 days from 6 November are 5 January."""
    code, out, _ = run(cases, "--review")

    assert (code, words(out)[0]) == (0, "8 open steps of 2 accounts, 0 late")
    assert (
        "2026-11-10 22:00 UTC acme freemium to small-business 2026-11-06 2 Sales gets in touch within 24 hours Sales"
        in words(out)
    )
    assert "2027-01-05 22:00 UTC globex mid-market to small-business 2027-01-05 1 Notice of 60 days CSM" in words(out)


def test_a_second_review_opens_no_case_again(run, cases):
    _, first, _ = run(cases, "--review")
    _, second, _ = run(cases, "--review", at="2026-11-07T22:00Z")

    assert words(first)[0] == "8 open steps of 2 accounts, 0 late"
    assert words(second)[0] == "8 open steps of 2 accounts, 1 late"


def test_outreach_is_late_after_24_support_hours_and_not_before(run, cases):
    run(cases, "--review")

    assert run(cases, "--role", "sales", "--late", at="2026-11-10T22:00Z")[0] == 0
    code, out, _ = run(cases, "--role", "sales", "--late", at="2026-11-10T22:00:01Z")
    assert (code, words(out)[0]) == (1, "1 open steps of 1 accounts, 1 late")


def test_a_step_that_is_done_is_no_longer_listed(run, cases):
    run(cases, "--review")
    code, out, _ = run(cases, "--done", "acme=1", "--done", "acme=2", "--account", "acme", at="2026-11-10T12:00Z")

    assert (code, words(out)[0]) == (0, "2 open steps of 1 accounts, 0 late")
    assert run(cases, "--account", "acme", at="2026-11-10T12:00Z")[1] == out


def test_a_new_case_is_opened_after_the_last_one_is_done(run, cases):
    run(cases, "--review")
    run(cases, *(option for step in range(1, 5) for option in ("--done", f"acme={step}")))
    _, out, _ = run(cases, "--review", "--account", "acme", at="2027-02-01T12:00Z")

    assert words(out)[0] == "4 open steps of 1 accounts, 0 late"


def test_as_json(run, cases):
    found = json.loads(run(cases, "--review", "--json")[1])

    assert (found["late"], len(found["steps"])) == (0, 8)
    assert found["steps"][0] | {"account": "acme", "number": 1, "late": False, "owner": "Product"} == found["steps"][0]


def test_an_unknown_step_is_refused_with_the_open_ones(run, cases):
    run(cases, "--review")
    code, _, err = run(cases, "--done", "acme=7")

    assert (code, "account 'acme' has no open step 7; it has 1, 2, 3, 4" in err) == (2, True)


def test_rows_that_cannot_be_are_told_by_row_and_field_and_the_others_count(run, tmp_path):
    run("cases.csv", "--review")
    lines = (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace("2026-11-06T22:00:00Z", "2026-02-30", 1)
    lines[3] = lines[3].replace(",3,", ",third,")
    lines.append(lines[2])
    (tmp_path / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    code, out, err = run("cases.csv")

    assert (code, words(out)[0]) == (1, "6 open steps of 2 accounts, 0 late")
    assert "cases.csv:2: opened: '2026-02-30' does not exist" in err
    assert "cases.csv:4: number: 'third' is not a number; write one such as 1" in err
    assert "cases.csv:10: number: step 2 of this case stands in an earlier row; keep one" in err
    assert run("cases.csv", "--review")[0] == 4
    assert (tmp_path / "cases.csv").read_text(encoding="utf-8") == "\n".join(lines)


def test_a_file_without_a_column_names_it(run, tmp_path):
    (tmp_path / "cases.csv").write_text("account,text\nacme,Call\n", encoding="utf-8")
    code, _, err = run("cases.csv")

    assert (code, "cases.csv: no column 'from_tier'; the columns are account, from_tier, to" in err) == (4, True)


def test_a_database_is_read_with_any_client(run, tmp_path):
    run("sqlite:///cases.db", "--review")
    with closing(sqlite3.connect(tmp_path / "cases.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM transition_steps WHERE owner = 'Sales'").fetchone()

    assert count == 2


def test_a_database_that_is_none_is_refused(run, tmp_path):
    (tmp_path / "cases.db").write_text("no database, but a text that is long enough to be told from one " * 20)
    code, _, err = run("sqlite:///cases.db")

    assert (code, "the table transition_steps cannot be used" in err) == (4, True)
