"""`entitlements ledger`: what each command shows, and with what it exits."""

import json
import sys

import pytest
from ledgers import enforcer, ledger_in

from entitlements.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, valkey):
    """Return a function that runs a command on a ledger and a server with some usage."""
    with valkey.client() as client:
        client.flushall()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTITLEMENTS_LEDGER", "sqlite:///ledger.db")
    monkeypatch.setenv("ENTITLEMENTS_STORE", valkey.url)
    with ledger_in("sqlite:///ledger.db") as ledger, enforcer(ledger, valkey.url) as app:
        app.consume("acme", {"api": 1, "leads": 7})
        app.assign("acme", "agents", "ann")
        app.consume("globex", "storage", 1200)

    def run(*argv):
        code = main(["ledger", *argv])
        return code, *capsys.readouterr()

    return run


def test_lost_counters_are_shown_and_rebuilt(run, valkey):
    assert (0, "no counter differs\n", "") == run("drift", "--settle", "0")
    with valkey.client() as client:
        client.flushall()
    code, out, _ = run("drift", "acme", "--settle", "0")
    assert 1 == code
    assert "7 by the ledger" in out
    assert "acme: holders of agents: missing: ann" in out

    code, out, _ = run("rebuild", "--settle", "0")
    assert 0 == code
    assert "2 accounts compared, 4 counters set, 1208 units restored" in out
    assert (0, "no counter differs\n", "") == run("drift", "--settle", "0")

    code, out, _ = run("rebuild", "--settle", "0", "--json")
    assert {"accounts": 2, "restored": [], "left": [], "tails": []} == json.loads(out)


def test_counts_of_a_module_are_compared(run, tmp_path):
    (tmp_path / "seats.py").write_text("def count(account):\n    return 3\n", encoding="utf-8")
    sys.modules.pop("seats", None)

    code, out, _ = run("drift", "acme", "--count", "agents=seats:count", "--settle", "0")

    assert (1, "acme: agents: 1 used in the store, 1 by the ledger, 3 counted\n") == (code, out)
    assert 2 == run("drift", "--count", "agents", "--settle", "0")[0]
    code, _, error = run("drift", "--count", "agent=seats:count", "--settle", "0")
    assert (2, 1) == (code, len(error.splitlines()))
    assert "did you mean 'agents'?" in error
    code, out, _ = run("drift", "acme", "--count", "rooms=seats:count", "--limit", "rooms=allocation", "--settle", "0")
    assert (1, "acme: rooms: 0 used in the store, 0 by the ledger, 3 counted\n") == (code, out)
    assert 2 == run("drift", "--limit", "rooms", "--settle", "0")[0]


def test_an_account_without_an_entry_is_not_rebuilt(run):
    code, out, error = run("rebuild", "nobody", "--settle", "0")

    assert (0, "") != (code, error)
    assert "" == out
    assert "account 'nobody' has no entry in the ledger" in error


def test_usage_is_a_table(run):
    code, out, _ = run("usage")

    assert 0 == code
    assert ["account", "limit", "scope", "units", "peak", "held"] == out.splitlines()[0].split()
    assert ["globex", "storage", "1,200", "1,200", "1,200"] == out.splitlines()[-1].split()
    assert (0, "no usage\n", "") == run("usage", "--month", "2020-01")
    assert 7 == next(
        each["units"] for each in json.loads(run("usage", "acme", "--json")[1]) if each["limit"] == "leads"
    )
    assert 2 == run("usage", "--month", "soon")[0]


def test_entries_are_exported(run, tmp_path):
    code, out, _ = run("export", "--since", "2020-01-01", "--format", "csv")
    assert 0 == code
    assert 5 == len(out.splitlines())
    assert {"acme", "globex"} == {
        json.loads(line)["subject"] for line in run("export", "--since", "2020-01-01")[1].splitlines()
    }
    assert 0 == run("export", "--since", "2020-01-01", "--format", "parquet", "-o", "e.parquet")[0]
    assert b"PAR1" == (tmp_path / "e.parquet").read_bytes()[:4]
    assert 2 == run("export", "--since", "2020-01-01", "--format", "parquet")[0]
    assert 2 == run("export", "--since", "2020-01-01", "--format", "xml")[0]


def test_writers_and_months(run):
    assert (0, "every writer has ended in order\n", "") == run("writers")
    assert (0, "0 entries deleted\n", "") == run("close-months")


def test_what_cannot_be_opened_is_said_in_one_line(run, monkeypatch):
    code, _, error = run("usage", "--ledger", "mongodb://x")
    assert (2, 1) == (code, len(error.splitlines()))
    code, _, error = run("usage", "--ledger", "sqlite:///missing.db")
    assert 4 == code
    assert "there is no ledger in" in error
    monkeypatch.delenv("ENTITLEMENTS_LEDGER")
    assert 2 == run("usage")[0]
    assert "set ENTITLEMENTS_LEDGER" in run("usage")[2]
