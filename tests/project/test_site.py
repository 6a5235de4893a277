"""The site: its navigation, its strict build, its links and its search."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools.docs import pages, site

ROOT = Path(__file__).resolve().parents[2]
NAVIGATION = re.findall(
    r"^ +- (?:[^\n]*: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
)


FOUND = {
    "redis": "docs/start/", "fastapi": "docs/fastapi/", "flask": "docs/frameworks/", "django": "docs/frameworks/",
    "celery": "docs/how-to/celery/", "webhook": "docs/how-to/billing-webhook/", "seats": "docs/how-to/seats/",
    "trial": "docs/how-to/trials/", "quota": "docs/concepts/limits/", "overage": "policies/",
    "invalidate": "docs/concepts/invalidation/", "outage": "docs/concepts/outage/", "lease": "docs/leases/",
    "ledger": "docs/ledger/", "console": "docs/console/", "slowapi": "docs/migrating/",
    "kubernetes": "docs/how-to/deploy/", "pytest": "docs/testing/", "refused": "docs/why-refused/",
    "prometheus": "docs/telemetry/", "storage": "docs/how-to/storage/", "reservation": "docs/reservations/",
}  # fmt: skip
"""Words that people search for, and a page that each must find."""


TABS = ("Home", "Start", "How-to", "Concepts", "In depth", "Reference", "Migrate", "Benchmarks", "Why was I refused?")


def test_the_tabs_stand_in_the_order_of_a_reader():
    _, _, navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")

    assert list(TABS) == re.findall(r"^  - (.+?):", navigation.partition("\ntheme:")[0], re.MULTILINE)


def test_the_navigation_names_every_page_once():
    assert sorted(NAVIGATION) == sorted(page.relative_to(ROOT).as_posix() for page in pages.project_pages())


def test_a_link_to_code_leads_to_a_page_that_shows_it(tmp_path):
    pages.stage(tmp_path)

    assert "](sqlite_store.py.md)" in (tmp_path / "examples" / "README.md").read_text(encoding="utf-8")
    assert "```python\n" in (tmp_path / "examples" / "sqlite_store.py.md").read_text(encoding="utf-8")
    assert "](../policies/second-funnel/README.md)" in (tmp_path / "docs" / "account-base.md").read_text(
        encoding="utf-8"
    )


def test_a_link_of_the_site_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h1 id="top"></h1><a href="../b/#top"></a><img src="no.svg">')
    (tmp_path / "b.html").write_text('<a href="a/#top"></a><a href="a/#none"></a><a href="https://example.com/x"></a>')

    assert ["a/index.html: ../b/#top", "a/index.html: no.svg", "b.html: a/#none"] == sorted(site.broken_links(tmp_path))


@pytest.mark.slow  # half a minute: Zensical renders every page
def test_the_site_builds_without_a_warning_and_its_search_finds_what_people_look_for(capsys):
    assert 0 == site.build(), capsys.readouterr().err

    items = json.loads((ROOT / "build" / "site" / "search.json").read_text(encoding="utf-8"))["items"]
    texts = [(each["location"], f"{each['title']} {each['text']}".lower()) for each in items]
    assert [] == [
        word for word, page in FOUND.items()
        if not any(location.startswith(page) and word in text for location, text in texts)
    ]  # fmt: skip
