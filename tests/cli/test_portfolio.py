"""`entitlements portfolio`: the figures of the page, its text from files, and how it shows and prints."""

import base64
import re
from html import unescape
from pathlib import Path

import pytest
from browser import CHROMIUM, browsing

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "portfolio"
AT = "2026-11-02T09:00Z"


@pytest.fixture(scope="module")
def policy():
    """Return the policy of the example base."""
    return str(ROOT / "policies" / "customer-tiers")


@pytest.fixture(scope="module")
def page(policy, tmp_path_factory):
    """Return the path of the page of the example base, and the exit code."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    argv = ["portfolio", "--policy", policy, "--accounts", str(EXAMPLE / "accounts.csv"), "--id", "Account ID"]
    code = main([*argv, "--usage", str(EXAMPLE / "usage.csv"), "--at", AT, "-o", str(path)])
    return path, code


def text_of(page):
    """Return the text of the page, without tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page[0].read_text(encoding="ascii").partition("</style>")[2]).split())


def test_the_figures_at_the_top_are_those_of_the_base(page):
    """The annual values sum up to 6,301,010; serving the base costs 698,488."""
    text = text_of(page)

    assert "300 accounts under policy" in text
    assert "6,301,010 paid a year by 300 accounts" in text
    assert "5,602,522 left after serving them" in text
    assert "17 renewals in 90 days, 452,250 a year" in text


def test_every_section_is_there(page):
    ids = re.findall(r'<section id="([\w-]+)">', page[0].read_text(encoding="ascii"))

    assert {"due", "moves", "capacity", "money", "risks", "unknown"} <= set(ids)


def test_capacity_is_by_the_ratios_of_the_tiers_now_and_after_the_moves(page):
    """14 enterprise accounts at 1:1, 52 at 1:5 and 122 at 1:20 need 14 + 11 + 7 = 32."""
    assert "32 customer success managers by the ratios of the tiers" in text_of(page)
    assert "Tier 2 \N{EN DASH} Mid-Market 52 10\N{EN DASH}20 1:5 11" in unescape(text_of(page))


def test_moves_have_their_reasons_and_times(page):
    """90 days after 2 November 2026 are 31 January 2027."""
    text = text_of(page)

    assert "Linfield Casualty Company AC-2953 Tier 1" in text
    assert "106,000 31 Jan 2027 renewal-with-less speaks for a downgrade" in text


def test_what_cannot_be_read_is_listed_and_exits_with_1(page):
    assert page[1] == 1
    assert "accounts.csv:138: renewal-date: &#x27;2/30/2027&#x27; does not exist" in page[0].read_text(encoding="ascii")


def test_the_page_needs_nothing_from_elsewhere(page):
    source = page[0].read_text(encoding="ascii")

    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|https?:", source)


def test_text_of_files_is_escaped(policy, tmp_path):
    rows = 'id,name,tier,annual-value,events\nx,"<script>alert(1)</script>",mid-market,50000,less-usage\n'
    (tmp_path / "accounts.csv").write_text(rows, encoding="utf-8")
    path = tmp_path / "page.html"
    main(["portfolio", "--policy", policy, "--accounts", str(tmp_path / "accounts.csv"), "--at", AT, "-o", str(path)])

    assert "<script>" not in path.read_text(encoding="ascii")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in path.read_text(encoding="ascii")


SMALL = """
policy: {version: 1}
assignment:
  binding: annual-value
  criteria: {annual-value: {kind: amount, least: 0}}
  rules: [{tier: pro, when: {annual-value: {from: 1000}}}, {tier: free}]
tiers: {pro: {rank: 2}, free: {rank: 1}}
"""


def test_a_base_without_services_usage_and_dates_is_shown_without_them(tmp_path):
    (tmp_path / "policy.yaml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "accounts.csv").write_text("id,tier,annual-value\nx,pro,2000\n", encoding="utf-8")
    path = tmp_path / "page.html"
    argv = ["portfolio", "--policy", str(tmp_path / "policy.yaml"), "--accounts", str(tmp_path / "accounts.csv")]
    main([*argv, "--at", AT, "-o", str(path)])
    source = path.read_text(encoding="ascii")

    assert '<section id="money">' not in source
    assert "No account should move." in source


def test_a_page_that_cannot_be_written_is_told(policy, capsys):
    argv = ["portfolio", "--policy", policy, "--accounts", str(EXAMPLE / "accounts.csv"), "--id", "Account ID"]

    assert main([*argv, "--at", AT, "-o", "/nowhere/page.html"]) == 4
    assert "/nowhere/page.html: the file cannot be written" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_fits_a_screen_a_phone_and_a4(page, tmp_path):
    with browsing(tmp_path) as window:
        for width in (1280, 390):
            window.do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
            window.open(page[0].as_uri())
            assert window.ask("document.documentElement.scrollWidth") <= width
        assert window.ask("document.querySelectorAll('svg.chart').length") >= 2
        printed = window.do("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        boxes = re.findall(rb"/MediaBox \[([^\]]*)\]", base64.b64decode(printed["data"]))

    sizes = {tuple(round(float(side)) for side in box.split()) for box in boxes}
    assert all(abs(width - 595) <= 1 and abs(height - 842) <= 1 for _, _, width, height in sizes)
    assert 2 <= len(boxes) <= 12
