"""The example API's plan page can be read by everybody: by contrast, by keyboard, by name."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import zlib

import pytest
from browser import CHROMIUM, OPTIONS, browsing
from leads import EXAMPLE, asking, example

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Debian's Chromium is not installed")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with example(tmp_path_factory.mktemp("leads")) as (_, url):
        yield url


@pytest.fixture
def client(url):
    with asking(url) as client:
        yield client


def luminance(color):
    """Return the relative luminance of `#rrggbb` or `#rgb` (WCAG 2.2)."""
    digits = color.lstrip("#")
    digits = "".join(each * 2 for each in digits) if len(digits) == 3 else digits
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_has_contrast_in_light_and_in_dark():
    """4.5 to 1 for text, 3 to 1 for the bars against their track (WCAG 2.2, AA)."""
    style = (EXAMPLE / "plan.html").read_text(encoding="utf-8")
    palettes = [
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]

    assert 2 == len(palettes)
    for palette in palettes:
        for ground, text in itertools.product(("ground", "card"), ("ink", "soft", "accent", "fine", "nearly", "full")):
            assert contrast(palette[ground], palette[text]) >= 4.5, (ground, text)
        for bar in ("fine", "nearly", "full"):
            assert contrast(palette["track"], palette[bar]) >= 3, bar


def test_the_page_says_to_everybody_what_the_bars_show(client):
    client("POST", "/v1/reports", "cedar-quay")
    page = client("GET", "/plan", "cedar-quay").text

    meters = re.findall(
        r'role="meter" aria-labelledby="(meter-[\w-]+)" aria-valuemin="0" aria-valuemax="100" aria-valuenow="(\d+)"',
        page,
    )
    assert meters
    for label, percent in meters:
        assert f'id="{label}"' in page
        assert 0 <= int(percent) <= 100
    assert 'href="#meters"' in page  # a keyboard gets past the header
    assert 'lang="en"' in page
    assert "<script" not in page


def test_what_stands_in_the_directory_cannot_write_the_page():
    sys.path.insert(0, str(EXAMPLE))
    try:
        from jinja2 import Environment, FileSystemLoader
        from plan import plan_of

        from entitlements import Account, Enforcer, Policy

        policy = Policy.load(EXAMPLE.parents[1] / "policies" / "customer-tiers")
        account = Account("x", "freemium", attributes={"name": "<script>alert(1)</script>"})
        ent = Enforcer(policy)
        pages = Environment(loader=FileSystemLoader(EXAMPLE), autoescape=True)
        page = pages.get_template("plan.html").render(plan_of(account, ent.entitlements(account), ent.usage(account)))
    finally:
        sys.path.remove(str(EXAMPLE))

    assert "<script" not in page


TABBABLE = "[...document.querySelectorAll('a[href], button, input, [tabindex=\"0\"]')].map(each => each.textContent)"
FOCUS = """(() => {
  const at = document.activeElement, box = at.getBoundingClientRect(), style = getComputedStyle(at);
  return {text: at.textContent, outline: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2,
          shown: box.width > 0 && box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight}
})()"""
COLOURS = """(() => {
  const ground = each => {
    for (; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) if (walker.currentNode.data.trim()) {
    const each = walker.currentNode.parentElement;
    found.push([walker.currentNode.data.trim(), getComputedStyle(each).color, ground(each)]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory, url):
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


@needs_browser
def test_the_tab_key_goes_through_the_page_in_order_and_its_focus_is_seen(page, url):
    page.open(f"{url}/signin?key=demo-bluefinch")
    expected, found = page.ask(TABBABLE), []
    for _ in expected:
        page.press("Tab", 9)
        focus = page.ask(FOCUS)
        found.append(focus.pop("text"))
        assert {"outline": True, "shown": True} == focus, found

    assert len(expected) >= 2
    assert expected == found


@needs_browser
def test_the_first_link_goes_past_the_header(page, url):
    page.open(f"{url}/signin?key=demo-bluefinch")
    page.press("Tab", 9)
    page.do("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")

    assert "meters" == page.ask("document.activeElement.id")


OUTSIDE = """(() => {
  const page = document.documentElement, found = page.scrollWidth > page.clientWidth ? ["the page"] : [];
  for (const card of document.querySelectorAll(".card, .next")) {
    const edge = card.getBoundingClientRect().right;
    for (const each of card.querySelectorAll("*"))
      if (each.getBoundingClientRect().right > edge + .5) found.push(each.textContent.trim());
  }
  return found;
})()"""


@needs_browser
@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("account", ["bluefinch", "cedar-quay", "harborwick", "rushlight", "sparrowgate"])
def test_nothing_leaves_its_card_on_a_phone(page, url, account, width):
    """320 px is what a page must fit without scrolling in two directions (WCAG 2.2, 1.4.10)."""
    page.do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True)
    try:
        page.open(f"{url}/signin?key=demo-{account}")
        assert width == page.ask("document.documentElement.clientWidth")
        assert [] == page.ask(OUTSIDE)
    finally:
        page.do("Emulation.clearDeviceMetricsOverride")


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("account", ["bluefinch", "cedar-quay", "rushlight", "sparrowgate"])
def test_every_text_has_contrast_as_the_browser_draws_it(page, url, account, scheme):
    page.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.open(f"{url}/signin?key=demo-{account}")
    texts = page.ask(COLOURS)

    assert len(texts) > 20
    for text, colour, ground in texts:
        assert contrast(hexed(colour), hexed(ground)) >= 4.5, (text, colour, ground)


def hexed(colour):
    """Return `rgb(1, 2, 3)` as `#010203`."""
    red, green, blue = map(int, re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour).groups())
    return f"#{red:02x}{green:02x}{blue:02x}"


@needs_browser
@pytest.mark.parametrize(
    ("name", "size", "ground", "options"),
    [
        ("light", "1100,1400", "f6f7f9", []),
        ("dark", "1100,1400", "0f141a", ["--blink-settings=preferredColorScheme=0"]),
        ("phone", "390,2400", "f6f7f9", []),
    ],
)
def test_the_page_is_drawn_by_a_browser(client, tmp_path, name, size, ground, options):
    (tmp_path / "plan.html").write_text(client("GET", "/plan", "bluefinch").text, encoding="utf-8")
    picture = tmp_path / f"{name}.png"
    subprocess.run(
        [
            CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={size}", f"--screenshot={picture}", *options, f"file://{tmp_path / 'plan.html'}",
        ],
        capture_output=True, check=True, timeout=300,
    )  # fmt: skip

    data = picture.read_bytes()
    assert size == ",".join(str(int.from_bytes(data[at : at + 4], "big")) for at in (16, 20))
    assert ground == first_pixel(data)
    assert len(data) > 20_000  # something is drawn on it


def first_pixel(png):
    """Return the colour in the upper left corner: no filter changes the first pixel of the first row."""
    at, packed = 8, b""
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        packed += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(packed)[1:4].hex()
