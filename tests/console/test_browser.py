"""The console in a headless Chromium: by keyboard, without JavaScript, on a phone, and as a checker of accessibility sees it."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from browser import CHROMIUM, browsing
from console_site import SIGNED, TIERS, ConsoleSite

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
PHONE = 360
PAGES = (
    "", "account?id=petra", "account/meters?id=petra", "account/preview?id=petra&tier=free", "account/change?id=petra",
    "account/change?id=petra&verb=override", "account/audit?id=petra", "plans", "refusals", "account?id=nobody",
)  # fmt: skip
FOCUSED = """(() => {
    const each = document.activeElement, box = each.getBoundingClientRect(), style = getComputedStyle(each);
    const middle = [(Math.max(0, box.left) + Math.min(innerWidth, box.right)) / 2,
                    (Math.max(0, box.top) + Math.min(innerHeight, box.bottom)) / 2];
    const top = document.elementFromPoint(...middle);
    return {
        tag: each.tagName, name: (each.labels?.length ? each.labels[0] : each).innerText.trim(), html: each.outerHTML.slice(0, 120),
        isSeen: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2 && box.width > 0
                && top !== null && (each.contains(top) || top.contains(each)),
    };
})()"""

STOPS = 'a, input:not([type=hidden]), select, button, summary, [tabindex="0"]'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def any_console(tmp_path_factory):
    with ConsoleSite(f"sqlite:///{tmp_path_factory.mktemp('console') / 'a.db'}") as site:
        yield site


@pytest.fixture
def console(any_console):
    """A console with something on each page."""
    any_console.reset()
    any_console.accounts.grant("petra", "leads", 500, **SIGNED)
    any_console.accounts.override("petra", "agents", 40, **SIGNED)
    any_console.accounts.suspend("maxim", **SIGNED)
    for id in TIERS:
        any_console.enforcer.refresh(id)
    any_console.enforcer.consume("petra", "leads", 400)
    any_console.enforcer.can("frida", "sso")
    return any_console


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        page.do("Emulation.setFocusEmulationEnabled", enabled=True)
        for domain in ("Log", "Runtime", "Page"):
            page.do(f"{domain}.enable")
        yield page


@pytest.fixture
def page(window):
    """The window as it is at the start: light, wide, with scripts, and no message."""
    window.events.clear()
    window.do("Emulation.setScriptExecutionDisabled", value=False)
    show(window)
    return window


def show(page, scheme="light", width=1280):
    page.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)


def messages(page):
    """Return what the browser has written to its console since the last call."""
    found = [
        each
        for each in page.events
        if each["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    ]
    page.events.clear()
    return [json.dumps(each["params"]) for each in found]


def focused(page):
    """Press Tab, and return the element that is reached, which must be visible."""
    page.press("Tab", 9)
    found = page.ask(FOCUSED)
    assert found["isSeen"] or found["tag"] == "BODY", found
    return found


def reach(page, name, tag=""):
    """Press Tab until the element of this name, or label, has the focus."""
    seen = []
    while len(seen) < 150:
        found = focused(page)
        if name == found["name"].split("\n")[0].removesuffix(" (optional)") and tag in ("", found["tag"]):
            return
        seen.append((found["tag"], found["name"][:40]))
    raise AssertionError(f"{tag} {name!r} is not reached: {seen}")


def write(page, **texts):
    """Reach fields by their labels, and write into them; a list of choices goes by the first letters."""
    for label, text in texts.items():
        reach(page, label.replace("_", " "))
        if page.ask("document.activeElement.tagName") == "SELECT":
            for letter in text:
                page.press(letter, ord(letter.upper()), letter)
        else:
            page.do("Input.insertText", text=text)


def shown(page):
    return page.ask("document.querySelector('main').innerText")


def violations(page):
    """Return what the checker finds on the open page, each rule with the elements."""
    page.ask("document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.do("Runtime.evaluate", expression=AXE)
    run = "axe.run().then(found => JSON.stringify(found.violations.map(each => [each.id, each.nodes.map(node => node.html)])))"
    answer = page.do("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
    return json.loads(answer["result"]["value"])


@pytest.mark.parametrize(
    "has_scripts",
    [False, pytest.param(True, marks=pytest.mark.slow)],  # seven seconds of a processor; only refusals have a script
)
def test_the_whole_way_of_a_support_person_by_keyboard(console, page, has_scripts):
    console.reset()
    friday = datetime.now(UTC).replace(hour=17, minute=0, second=0, microsecond=0) + timedelta(days=7)
    page.do("Emulation.setScriptExecutionDisabled", value=not has_scripts)
    page.open(console.url + "/")

    assert "Skip to the content" == focused(page)["name"]
    write(page, Id_begins_with="pet")
    page.follow()
    reach(page, "petra")
    page.follow()
    write(page, Name_contains="sso")
    page.follow()
    reach(page, "tier:pro", "SUMMARY")
    page.press("Enter", 13, "\r")
    assert "tier max or add-on phone has it" in shown(page)

    reach(page, "Preview", "A")
    page.follow()
    write(page, Tier="free")
    reach(page, "Preview", "BUTTON")
    page.follow()
    assert "pro to free: downgrade" in shown(page)

    signed = {"Reason": "promised", "Author": "ann"}
    change(page, "Grant", Limit="leads", Units="500", Ends=f"{friday:%Y-%m-%d %H:%M}", **signed)
    assert "leads\t10 per month\t510 per month\tgained" in shown(page)
    assert () == console.accounts.find("petra").grants
    confirm(page, "The grant was added.")
    assert [(500, friday)] == [(each.amount, each.expires) for each in console.accounts.find("petra").grants]

    change(page, "Override", Name="sso", Value="true", **signed)
    assert not console.enforcer.can("petra", "sso")
    confirm(page, "The override was set.")
    assert console.enforcer.can("petra", "sso")

    change(page, "Change of tier", Tier="max", **signed)
    assert "pro" == console.accounts.find("petra").tier
    confirm(page, "The tier was changed.")
    assert "max" == console.accounts.find("petra").tier

    reach(page, "Audit")
    page.follow()
    audit = shown(page)
    assert audit.index("set tier") < audit.index("override") < audit.index("grant")
    assert 3 == audit.count("ann · version")
    assert "set tier promised" in audit


def change(page, title, **texts):
    """Go to the form of a change, fill it, and send it, all by keyboard."""
    reach(page, "Change")
    page.follow()
    reach(page, title)
    page.follow()
    write(page, **texts)
    reach(page, "Show what changes")
    page.follow()
    assert "Nothing is stored yet." in shown(page)


def confirm(page, done):
    reach(page, "Confirm")
    page.follow()
    assert done in page.ask("document.querySelector('[role=status]').innerText")


@pytest.mark.parametrize(
    "width",
    [PHONE, pytest.param(1280, marks=pytest.mark.slow)],  # three seconds of a processor for the same stops
)
def test_no_page_is_wider_than_its_window_and_every_stop_of_the_keyboard_is_seen(console, page, width):
    show(page, width=width)
    for name in PAGES:
        page.open(f"{console.url}/{name}")
        page.ask("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert width >= page.ask("document.documentElement.scrollWidth"), name
        page.ask(f"unreached = new Set(document.querySelectorAll({STOPS!r}))")
        for _ in range(page.ask("unreached.size") + 2):
            focused(page)
            page.ask("unreached.delete(document.activeElement)")
        assert [] == page.ask("[...unreached].map(each => each.outerHTML)"), name


def test_the_content_security_policy_is_in_force_and_its_violations_are_noticed(console, page):
    page.open(console.url + "/")
    assert [] == messages(page)
    page.ask("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">foreign</p>')")
    page.ask("document.body.append(Object.assign(document.createElement('script'), { text: 'isForeign = true' }))")
    page.ask("1")

    assert ["style-src", "script-src"] == [re.search("(style|script)-src", each)[0] for each in messages(page)]
    assert page.ask("window.isForeign === undefined")


def test_a_dark_scheme_is_dark(console, page):
    page.open(console.url + "/")
    light = page.ask("getComputedStyle(document.body).backgroundColor")
    show(page, "dark")

    assert light > page.ask("getComputedStyle(document.body).backgroundColor")


def test_refusals_are_renewed_by_a_script(console, page):
    page.open(f"{console.url}/refusals")
    console.enforcer.can("frida", "chat")
    page.until(lambda: "can chat" in shown(page))


@pytest.mark.parametrize("name", PAGES)
def test_axe_and_the_browser_find_no_violation(console, page, name):
    page.open(f"{console.url}/{name}")

    assert [] == [each for each in messages(page) if "404 (Not Found)" not in each or "nobody" not in each]
    assert [] == violations(page)


@pytest.mark.slow  # other colours and widths of the same pages: a second of a processor for each
@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", PHONE), ("dark", PHONE)])
def test_axe_finds_no_violation_in_the_dark_and_on_a_phone(console, page, scheme, width):
    show(page, scheme, width)
    for name in PAGES:
        page.open(f"{console.url}/{name}")
        assert [] == violations(page), name


@pytest.mark.parametrize("amount", ["5", "many"])
def test_axe_finds_no_violation_in_a_preview_of_a_change_and_in_its_refusal(console, page, amount):
    page.open(f"{console.url}/account/change?id=petra&verb=grant")
    write(page, Limit="leads", Units=amount, Reason="promised", Author="ann")
    reach(page, "Show what changes")
    page.follow()

    for width in (1280, PHONE):
        show(page, width=width)
        assert width >= page.ask("document.documentElement.scrollWidth")
        assert [] == violations(page)
