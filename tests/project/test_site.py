"""The site: its navigation, its strict build, its links and its search."""

from __future__ import annotations

import functools
import json
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import browsing

from tools.docs import pages, site

ROOT = Path(__file__).resolve().parents[2]
NAVIGATION = re.findall(
    r"^ +- (?:[^\n]*: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
)


FOUND = {
    "redis": "docs/how-to/redis/", "fastapi": "docs/fastapi/", "flask": "docs/frameworks/", "django": "docs/frameworks/",
    "celery": "docs/how-to/celery/", "webhook": "docs/how-to/billing-webhook/", "seats": "docs/how-to/seats/",
    "trial": "docs/how-to/trials/", "quota": "docs/concepts/limits/", "overage": "policies/",
    "invalidate": "docs/concepts/invalidation/", "outage": "docs/concepts/outage/", "lease": "docs/leases/",
    "ledger": "docs/ledger/", "console": "docs/console/", "slowapi": "docs/migrating/",
    "upgrade": "docs/how-to/upgrade/", "postgres": "docs/accounts-in-sql/", "token": "docs/token-budgets/",
    "kubernetes": "docs/how-to/deploy/", "pytest": "docs/testing/", "refused": "docs/why-refused/",
    "prometheus": "docs/telemetry/", "storage": "docs/how-to/storage/", "reservation": "docs/reservations/",
}  # fmt: skip
"""Words that people search for, and a page that must be among the first ten of each."""


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


def test_a_member_is_found_by_the_entry_of_its_class(tmp_path):
    places = ["docs/reference/api/core/#entitlements.Trial", "docs/reference/api/core/#entitlements.Trial.ends",
              "docs/reference/api/enforcer/#entitlements.Enforcer", "docs/reference/api/enforcer/#entitlements.Enforcer.can"]  # fmt: skip
    items = [{"location": each, "title": "a title", "text": "a text"} for each in places]
    (tmp_path / "search.json").write_text(json.dumps({"items": items}))

    site.merge_members(tmp_path)

    kept = json.loads((tmp_path / "search.json").read_text())["items"]
    assert [places[0], *places[2:]] == [each["location"] for each in kept]
    assert "<code>ends</code>" in kept[0]["text"]


FIELD = "document.querySelector('.md-search__button').click();"
ROOT_OF_SEARCH = "[...document.querySelectorAll('*')].find(each => each.shadowRoot)?.shadowRoot"
TYPE = """(() => {
    const field = search.querySelector('input');
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, %s);
    field.dispatchEvent(new Event('input', {bubbles: true}));
    return true;
})()"""
LINKS = "JSON.stringify([...search.querySelectorAll('a')].map(each => each.href))"


def results(page, word):
    """Return the addresses that the search of the site shows for a word."""
    page.ask(TYPE % json.dumps(word))
    page.until(lambda: f"?h={word}" in (page.ask(LINKS) or ""))
    return json.loads(page.ask(LINKS))


@pytest.mark.slow  # a minute: Zensical renders every page, and a browser searches them
def test_the_site_builds_without_a_warning_and_its_search_finds_what_people_look_for(capsys, tmp_path):
    assert 0 == site.build(), capsys.readouterr().err

    handler = functools.partial(SimpleHTTPRequestHandler, directory=ROOT / "build" / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, browsing(tmp_path) as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{server.server_port}/")
        page.until(lambda: page.ask(f"{FIELD} !!{ROOT_OF_SEARCH}?.querySelector('input')"))
        page.ask(f"window.search = {ROOT_OF_SEARCH}; true")
        found = {word: results(page, word) for word in FOUND}
        server.shutdown()

    assert {} == {
        word: found[word] for word, place in FOUND.items() if not any(f"/{place}" in each for each in found[word])
    }
