"""Commands of the package in the shell blocks of pages run, in the order of each page."""

from __future__ import annotations

import re
import shlex
import shutil

import duckdb
import pytest
from snippets import ROOT, snippets

from entitlements.accounts.sql import SqlAccounts
from entitlements.cli import main
from entitlements.ledger import SqlLedger
from tools.docs.pages import project_pages

SERVED = {"serve", "console"}
"""Commands that go on; tests of their own ask them."""
PAGES = {}
for snippet in snippets(project_pages()):
    if snippet.language in {"sh", "bash"}:
        PAGES.setdefault(snippet.page, []).extend(
            words[1:] for words in snippet.commands if words[0] == "entitlements" and words[1] not in SERVED
        )
PAGES = {page: commands for page, commands in PAGES.items() if commands and page != "docs/frameworks.md"}
"""tests/examples/test_frameworks_page.py runs the page of frameworks, with each application."""
FILE = re.compile(r"^```yaml\n# (\w+\.yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPORT = re.compile(r"^export (.*)$", re.MULTILINE)
VARIABLE = re.compile(r"\b(ENTITLEMENTS_\w+)=([^\s']+)")
PLACES = {
    "redis://localhost:6379": "{valkey}", "redis://localhost": "{valkey}", "redis://cache": "{valkey}",
    "postgresql://user@host/db": "sqlite:///accounts.db", "postgresql://app@db/shop": "sqlite:///shop.db",
    "ACCOUNT": "acme",
}  # fmt: skip
"""What a command names, and what it names here: servers, and words in capitals that a reader replaces."""
ELSEWHERE = {"transitions cases.csv --done acme=2", "transitions sqlite:///cases.db"}
"""They need an open step of `acme`, and a table: `tests/cli/test_transitions.py` has both."""


def accounts_with(heading: str) -> str:
    """Return the accounts of the examples and `acme`, with a heading for the ids."""
    head, *lines = (ROOT / "examples" / "accounts.csv").read_text(encoding="utf-8").splitlines()
    _, _, values = next(line for line in lines if ",mid-market," in line).split(",", 2)
    return "\n".join([head.replace("id,name", f"{heading},Label", 1), *lines, f"acme,Acme,{values}", ""])


@pytest.fixture
def folder(tmp_path, monkeypatch, valkey):
    """A folder with all that the commands name, which the environment serves."""
    for name in ("policies", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "all.csv").write_text(accounts_with("id"), encoding="utf-8")
    (tmp_path / "export.csv").write_text(accounts_with("Account ID"), encoding="utf-8")
    for name in ("accounts.csv", "tiered.csv"):
        (tmp_path / name).write_text(accounts_with("Account Name"), encoding="utf-8")
    shutil.copy(ROOT / "examples" / "accounts.csv", tmp_path / "last-year.csv")
    shutil.copy(ROOT / "examples" / "portfolio" / "usage.csv", tmp_path / "usage.csv")
    duckdb.sql(f"copy (from '{tmp_path}/usage.csv') to '{tmp_path}/usage.parquet'")
    (tmp_path / "prices").mkdir()
    for place in ("prices.yml", "prices/tokens.yml"):
        shutil.copy(ROOT / "tests" / "pricing2yaml" / "lists" / "tokens-3.yml", tmp_path / place)
    (tmp_path / "journeys.csv").write_text("account,plan,started\nquillmark,enterprise,2026-10-01\n", encoding="utf-8")
    (tmp_path / "plan.csv").write_text("account,tier\nrookhaven,mid-market\n", encoding="utf-8")
    (tmp_path / "answers.yaml").write_text("tables: [{tiers: [free], answers: {sso: false}}]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "POLICY": "policies/customer-tiers", "ACCOUNTS": "all.csv", "STORE": valkey.url, "AUTHOR": "ops",
        "LEDGER": "sqlite:///shop.db",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"ENTITLEMENTS_{name}", value)
    with SqlLedger("sqlite:///shop.db") as ledger:
        ledger.create_tables()
    accounts = SqlAccounts("sqlite:///accounts.db")
    accounts.create_tables()
    accounts.close_engine()
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, folder, valkey, monkeypatch, capsys):
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, content in FILE.findall(text):
        (folder / name).write_text(content, encoding="utf-8")
    if "--usage usage.parquet" in text:  # of a file, in place of a store
        monkeypatch.delenv("ENTITLEMENTS_STORE")
    for line in EXPORT.findall(text):
        for name, value in VARIABLE.findall(line):
            monkeypatch.setenv(name, PLACES.get(value, value).format(valkey=valkey.url))
    if page == "docs/how-to/accounts-in-sql.md":  # its Python has created the account
        assert 0 == main(["account", "create", "acme", "pro", "--reason", "x"])
    failed = []
    for command in PAGES[page]:
        if " ".join(command) in ELSEWHERE:
            continue
        words = [PLACES.get(word, word).format(valkey=valkey.url) for word in command]
        code = main(words)
        said = capsys.readouterr()
        if code not in {0, 1}:
            failed.append((shlex.join(words), code, said.err))

    assert [] == failed
