"""`entitlements console`, in a process of its own: it serves this machine alone, and reads only unless it is told to write."""

import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from console_site import SIGNED, hidden, text_of

from entitlements.accounts.sql import SqlAccounts
from entitlements.cli import main

POLICY = str(Path(__file__).resolve().parents[2] / "policies" / "minimal.yaml")


@contextmanager
def running(folder, *options):
    command = [sys.executable, "-m", "entitlements", "console", "--policy", POLICY, "--port", "0", *options]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            pytest.fail("the console did not start")
        with httpx.Client(base_url=found[1], timeout=60) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_it_shows_accounts_of_a_file_to_this_machine_alone(tmp_path):
    (tmp_path / "accounts.csv").write_text("id,tier\nacme,free\nglobex,pro\n")
    with running(tmp_path, "--accounts", "accounts.csv") as client:
        assert "acme" in text_of(client.get("/"))
        assert 200 == client.get("/account", params={"id": "acme"}).status_code
        assert "a CSV file" in text_of(client.get("/account/change", params={"id": "acme"}))
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "10.0.0.1:80"):
            assert 421 == client.get("/", headers={"host": host}).status_code
        for host in ("localhost", "localhost:80", "127.0.0.1:1", "[::1]:80"):
            assert 200 == client.get("/", headers={"host": host}).status_code


def test_with_write_accounts_of_a_database_are_changed_by_the_author(tmp_path):
    accounts = SqlAccounts(f"sqlite:///{tmp_path / 'shop.db'}")
    accounts.create_tables()
    accounts.create("acme", "free", **SIGNED)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with running(tmp_path, "--accounts", url, "--write", "--author", "ann") as client:
        form = hidden(client.get("/account/change", params={"id": "acme", "verb": "suspend"}))
        shown = client.post("/account/change/preview", data=form | {"reason": "overdue"})
        assert 303 == client.post("/account/change/confirm", data=hidden(shown)).status_code
    assert ("suspend", "ann") == (accounts.audit("acme")[0].action, accounts.audit("acme")[0].author)
    accounts.close_engine()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: others could reach it"),  # noqa: S104 - is refused
        (["--write"], "--write needs the author of the changes; add --author NAME"),
        (["--write", "--author", "ann"], "--write: accounts come from a CSV file, which the console only reads"),
    ],
)
def test_what_it_refuses_is_told_with_the_cure(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.delenv("ENTITLEMENTS_AUTHOR", raising=False)
    (tmp_path / "accounts.csv").write_text("id,tier\nacme,free\n")

    assert 2 == main(["console", "--policy", POLICY, "--accounts", str(tmp_path / "accounts.csv"), *options])
    assert said in " ".join(capsys.readouterr().err.split())
