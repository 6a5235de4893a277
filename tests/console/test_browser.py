"""The pages of the console in a headless Chromium, as a checker of accessibility sees them."""

import json
from pathlib import Path

import pytest
from browser import CHROMIUM, browsing
from console_site import SIGNED, ConsoleSite

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
PAGES = (
    "",
    "account?id=petra",
    "account/meters?id=petra",
    "account/preview?id=petra&tier=free",
    "account/change?id=petra",
    "account/change?id=petra&verb=override",
    "account/audit?id=petra",
    "plans",
    "refusals",
    "account?id=nobody",
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """A console with something on each page."""
    with ConsoleSite(f"sqlite:///{tmp_path_factory.mktemp('console') / 'a.db'}") as site:
        site.accounts.grant("petra", "leads", 500, **SIGNED)
        site.accounts.override("petra", "agents", 40, **SIGNED)
        site.accounts.suspend("maxim", **SIGNED)
        site.enforcer.consume("petra", "leads", 400)
        site.enforcer.can("frida", "sso")
        yield site


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("browser")) as window:
        yield window


def violations(page):
    """Return what the checker finds on the open page, each rule with the elements."""
    page.ask("document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.do("Runtime.evaluate", expression=AXE)
    run = "axe.run().then(found => JSON.stringify(found.violations.map(each => [each.id, each.nodes.map(node => node.html)])))"
    answer = page.do("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
    return json.loads(answer["result"]["value"])


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(console, page, name):
    page.open(f"{console.url}/{name}")

    assert [] == violations(page)
