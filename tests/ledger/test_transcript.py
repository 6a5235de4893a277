"""The transcript in docs/ledger.md: its commands run in its order, and print what it shows."""

from __future__ import annotations

import re
import shlex

from snippets import ROOT

from entitlements import Enforcer, Policy
from entitlements.cli import main
from entitlements.ledger import SqlLedger

[TRANSCRIPT] = re.findall(r"^```text\n(\$ entitlements ledger drift\n.*?)^```$", (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)  # fmt: skip
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def test_the_commands_print_what_the_page_shows(tmp_path, monkeypatch, capsys, valkey):
    database = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("ENTITLEMENTS_LEDGER", database)
    monkeypatch.setenv("ENTITLEMENTS_STORE", valkey.url)
    policy, accounts = Policy.load("policies/customer-tiers"), {"acme": "mid-market"}
    with (
        SqlLedger(database) as ledger,
        Enforcer(policy, accounts=accounts, store=valkey.url, hooks=[ledger], expected_processes=1) as enforcer,
    ):
        enforcer.consume("acme", "leads", 40)
        enforcer.assign("acme", "agents", "ann")

    for part in re.split(r"^\$ ", TRANSCRIPT, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        if command == "redis-cli FLUSHALL":
            valkey.client().flushall()
            continue
        code = main(shlex.split(command)[1:])

        assert DAY.sub("day", shown) == DAY.sub("day", capsys.readouterr().out)
        assert code == ("by the ledger" in shown and "drift" in command)  # 1 if anything differs
