"""Every Python example in the documentation runs as it stands, from top to bottom of its page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from entitlements.accounts.csv.columns import COLUMNS
from entitlements.accounts.sql import SqlAccounts
from entitlements.ledger import SqlLedger
from entitlements.model.instants import MINUTE
from entitlements.stores.orders import deadline_of
from entitlements.stores.redis import encoding
from tools.docs.pages import project_pages

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```\w+\n# (\w+\.(?:yaml|py))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block that begins with the name of a file is that file; examples find it in their folder."""
FOLDERS = ("benchmarks", "docs", "examples", "policies")
PART = re.compile(r"# (?:settings|views)\.py\n")
CHECK = "import django, views; from django.core.management import call_command; django.setup(); call_command('check')"
"""A project of Django, whose settings and views are files of a page, is checked in a process of its own."""
LOCAL = "redis://localhost:6379"
"""The server of examples that name one; a page runs on a real one."""
PAGES = [page for page in project_pages() if EXAMPLE.search(page.read_text(encoding="utf-8"))]


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient` is deprecated")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch, request) -> None:
    """
    A page's examples share their names, as a reader's session would; a failure names the page's own line.

    A server has a minute for each call: on a busy machine it would exceed the deadlines that a page shows.
    """
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    for name in FOLDERS:
        (tmp_path / name).symlink_to(ROOT / name)
    for name, content in FILE.findall(text):
        (tmp_path / name).write_text(content, encoding="utf-8")
    if any(LOCAL in example for example in EXAMPLE.findall(text)):
        text = text.replace(LOCAL, emptied(request.getfixturevalue("valkey")).url)
        monkeypatch.setattr(encoding, "deadline_of", lambda order: max(MINUTE, deadline_of(order)))
    names: dict[str, object] = {"__name__": "__main__"}

    for example in EXAMPLE.finditer(text):
        if PART.match(example[1]):
            continue
        if "settings.configure(" in example[1]:  # a process has one project of Django
            subprocess.run([sys.executable, "-c", example[1]], check=True, timeout=300)
            continue
        above = "\n" * text.count("\n", 0, example.start(1))
        exec(compile(above + example[1], str(page), "exec"), names)  # noqa: S102 - to run them is the test
    close_databases(names.values())
    if (tmp_path / "settings.py").exists():
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "settings"}
        subprocess.run([sys.executable, "-c", CHECK], check=True, timeout=300, env=environment)


def close_databases(values):
    """Close what an application keeps open for as long as it runs."""
    for value in values:
        if isinstance(value, SqlAccounts):
            value.close_engine()
        elif isinstance(value, SqlLedger):
            value.close()
        elif isinstance(value, Engine):
            value.dispose()


def emptied(server):
    """Return a server without the counters of other tests."""
    with server.client() as client:
        client.flushdb()
    return server


OVERVIEW = (ROOT / "docs" / "start" / "overview.md").read_text(encoding="utf-8")


def test_the_commands_of_the_overview_name_files_that_there_are():
    _, _, block = OVERVIEW.partition("## On the command line")
    commands = re.findall(r"^entitlements (.*?)(?: +#.*)?$", block.partition("```\n")[0], re.MULTILINE)
    paths = [word for each in commands for word in each.split() if "/" in word and "://" not in word]

    assert ["policies/customer-tiers", "examples/accounts.csv"] == paths
    assert [] == [path for path in paths if not (ROOT / path).exists()]


def test_a_page_lists_every_column_of_an_accounts_csv_with_an_example_that_can_be_read():
    text = (ROOT / "docs" / "accounts-csv.md").read_text(encoding="utf-8")
    _, _, section = text.partition("\n## The columns of an accounts CSV\n")
    rows = dict(re.findall(r"^\| `(\w+)` \| .+ \| `(.+)` \|$", section.partition("\n## ")[0], re.MULTILINE))

    assert ["id", *COLUMNS] == list(rows)
    assert all(read(rows[column], "a.csv, line 2") for column, read in COLUMNS.items())


def test_the_overview_lists_every_variable_of_the_environment_that_is_asked():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "entitlements").rglob("*.py"))
    asked = set(re.findall(r'(?:envvar=|environ\.get\()"([A-Z_]+)"', code))

    assert {"TERM"} == {name for name in asked if f"`{name}`" not in OVERVIEW}
