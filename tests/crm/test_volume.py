"""A hundred thousand rows in less than half a gigabyte, and a bar that shows how far it is."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.crm import export, run
from entitlements.accounts import CsvAccounts
from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
FUNNEL = str(ROOT / "policies" / "second-funnel")


@pytest.mark.slow
@pytest.mark.parametrize("way", [(), ("--by", "arr-share"), ("--explain", "--sort")], ids=["rules", "share", "sorted"])
def test_a_hundred_thousand_rows_fit_in_half_a_gigabyte(way):
    figures = run(100_000, *way)

    assert figures["most memory, MB"] < 500


def test_what_is_written_is_read_again_with_the_same_tiers(tmp_path, capsys):
    """Three thousand rows with breaks in their cells, as a directory and as an export."""
    export(tmp_path / "base.csv", 3_000)
    for source, target in (("base.csv", "once.csv"), ("once.csv", "twice.csv")):
        main(["crm", "assign", str(tmp_path / source), "-o", str(tmp_path / target), "--policy", FUNNEL])
    capsys.readouterr()
    accounts = CsvAccounts(tmp_path / "once.csv", id="Account Name")

    assert (tmp_path / "once.csv").read_bytes() == (tmp_path / "twice.csv").read_bytes()
    assert 3_000 - 60 == len(accounts)
    assert {"tier-1", "tier-2", "tier-3"} == {account.tier for account in accounts}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_sees_a_bar(tmp_path):
    export(tmp_path / "base.csv", 3_000)
    outer, inner = pty.openpty()
    command = [
        "-m",
        "entitlements",
        "crm",
        "assign",
        tmp_path / "base.csv",
        "-o",
        tmp_path / "out.csv",
        "--policy",
        FUNNEL,
    ]
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=inner, env=os.environ | {"TERM": "xterm"}
    ) as done:
        os.close(inner)
        seen = b""
        while chunk := _read(outer):
            seen += chunk
    os.close(outer)

    assert 1 == done.returncode
    assert [True, True] == [word in seen for word in (b"assigning", b"writing")]


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""
