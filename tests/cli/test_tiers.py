"""`entitlements tiers`: the cells of the matrix, and its formats."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from entitlements.cli import main
from entitlements.cli.wrap import wrap_text
from entitlements.policy import Policy
from entitlements.presentation.matrix.comparison import matrix_of
from entitlements.presentation.matrix.model import CellKind

POLICIES = Path(__file__).resolve().parents[2] / "policies"
CUSTOMER_TIERS = str(POLICIES / "customer-tiers")
FORMATS = ["table", "markdown", "html", "json"]

POLICY = """\
policy: {version: 7, currency: EUR}
features: {sso: Single sign-on}
levels: {analytics: [none, standard]}
limits:
  api: {kind: rate, per: address}
  leads: {kind: quota, period: month, mode: shadow}
  storage: {kind: allocation, unit: byte}
tiers:
  free:
    rank: 1
    levels: {analytics: none}
    limits: {api: 0 per hour, leads: 100}
    values: {support: {reply: {no-commitment: When we can}, days: [monday, friday]}, seats: {from: 1, to: 5}, shade: red}
  taste: {rank: 2, extends: pro, trial: {of: 14 days, then: free}}
  pro:
    rank: 2
    name: For | teams
    features: [sso]
    levels: {analytics: standard}
    limits: {api: 1000 per hour, leads: unlimited, storage: 1500 MB}
    values:
      support: {reply: 4 hours, days: [], phone: {number: "1-2-3", open: true, night: false}}
      seats: {from: 5, open-ended: true}
add_ons:
  sign-on: {tiers: [free], features: [sso], price: 5 per month}
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("ENTITLEMENTS_POLICY", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return str(path)


@pytest.fixture
def tiers(capsys, monkeypatch):
    """Return a function that runs the command in this process, in a pipe or at a width."""

    def run(path: str, *argv: str, width: int | None = None) -> str:
        if width:
            monkeypatch.setenv("COLUMNS", str(width))
        assert 0 == main(["tiers", "--policy", path, *argv])
        out, err = capsys.readouterr()
        assert "" == err
        return out

    return run


def cells(path: str) -> dict[str, list[str]]:
    """Return the cells of a policy's matrix by `section row`."""
    matrix = matrix_of(Policy.load(path))
    return {
        f"{section.name} {row.name}": ["; ".join(cell.items) for cell in row.cells]
        for section in matrix.sections
        for row in section.rows
    }


# --- Cells --------------------------------------------------------------------------------------------------------


def test_the_highest_tier_is_first_and_a_trial_plan_behind_its_equals(path):
    columns = matrix_of(Policy.load(path)).columns

    assert [("pro", "For | teams", ""), ("taste", "taste", "trial, 14 days, then free"), ("free", "free", "")] == [
        (column.id, column.name, column.note) for column in columns
    ]


def test_every_cell_shows_the_value_in_words(path):
    assert {
        "limits api": ["1,000 per hour", "1,000 per hour", "0 per hour"],
        "limits leads": ["unlimited", "unlimited", "100 per month"],
        "limits storage": ["1.5 GB", "1.5 GB", "not included"],
        "features sso": ["yes", "yes", "not included"],
        "features analytics": ["standard", "standard", "none"],
        "support reply": ["4 hours", "4 hours", "When we can"],
        "support days": ["none", "none", "monday; friday"],
        "support phone": [],
        "support phone.number": ["1-2-3", "1-2-3", "not included"],
        "support phone.open": ["yes", "yes", "not included"],
        "support phone.night": ["no", "no", "not included"],
        "values seats": ["from 5, open-ended", "from 5, open-ended", "from 1 to 5"],
        "values shade": ["not included", "not included", "red"],
        "add-ons sign-on": ["not included", "not included", "5 per month"],
    } == cells(path)


def test_a_token_bucket_shows_its_capacity(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(
        """\
policy: {version: 1}
limits: {jobs: {kind: rate, algorithm: token-bucket, burst: 5}, runs: {kind: rate, algorithm: token-bucket}}
tiers:
  free: {rank: 1, limits: {jobs: 0 per minute, runs: 60 per minute}}
  pro: {rank: 2, limits: {jobs: 60 per minute, runs: unlimited}}
""",
        encoding="utf-8",
    )

    assert {
        "limits jobs": ["60 per minute, at most 5 at once", "0 per minute"],
        "limits runs": ["unlimited", "60 per minute"],
    } == cells(str(path))


def test_zero_none_no_and_not_included_stay_apart(path):
    matrix = matrix_of(Policy.load(path))
    kinds = {row.name: [cell.kind for cell in row.cells] for section in matrix.sections for row in section.rows}

    assert [CellKind.HAS, CellKind.HAS, CellKind.NO] == kinds["api"]
    assert [CellKind.HAS, CellKind.HAS, CellKind.ABSENT] == kinds["storage"]
    assert [CellKind.YES, CellKind.YES, CellKind.ABSENT] == kinds["sso"]
    assert [CellKind.HAS, CellKind.HAS, CellKind.OPEN] == kinds["reply"]
    assert [CellKind.NO, CellKind.NO, CellKind.ABSENT] == kinds["phone.night"]


def test_a_key_that_is_a_node_in_another_tier_has_its_values_in_the_rows_below(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(
        "policy: {version: 1}\ntiers:\n"
        "  a: {rank: 1, values: {help: {phone: never}}}\n"
        "  b: {rank: 2, values: {help: {phone: {day: yes-sir, night: no-sir}}}}\n"
    )

    assert {"help phone": ["", "never"], "help phone.day": ["yes-sir", "not included"]}.items() <= cells(path).items()


def test_a_node_that_holds_one_thing_shares_its_row(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("policy: {version: 1}\ntiers: {a: {rank: 1, values: {top: {one: {two: {three: 3}}, four: 4}}}}\n")

    (section,) = matrix_of(Policy.load(path)).sections

    assert [("one.two.three", "one.two.three", 0), ("four", "four", 0)] == [
        (row.name, row.label, row.depth) for row in section.rows
    ]


def test_the_matrix_has_everything_of_the_customer_tiers():
    policy = Policy.load(CUSTOMER_TIERS)
    shown = cells(CUSTOMER_TIERS)

    assert set(policy.limits) == {name.split()[1] for name in shown if name.startswith("limits ")}
    assert set(policy.features) == {name.split()[1] for name in shown if name.startswith("features ")}
    assert set(policy.add_ons) == {name.split()[1] for name in shown if name.startswith("add-ons ")}
    text = [text for row in shown.values() for text in row]
    for number in ("99.95", "500 per year", "10,000 per hour", "100 GB", "from 100,000 to 500,000, open-ended"):
        assert number in text


# --- As a table ---------------------------------------------------------------------------------------------------

IN_A_PIPE = """\
limits               pro             taste           free
  api (per address)  1,000 per hour  1,000 per hour  0 per hour
  leads (shadow)     unlimited       unlimited       100 per month
  storage            1.5 GB          1.5 GB          —

features     pro       taste     free
  sso        yes       yes       —
  analytics  standard  standard  none

support     pro      taste    free
  reply     4 hours  4 hours  When we can *
  days      none     none     monday; friday
  phone
    number  1-2-3    1-2-3    —
    open    yes      yes      —
    night   no       no       —

values   pro                 taste               free
  seats  from 5, open-ended  from 5, open-ended  from 1 to 5
  shade  —                   —                   red

add-ons    pro  taste  free
  sign-on  —    —      5 per month

— not included    * no commitment
policy 7, amounts in EUR
"""


def test_in_a_pipe_every_row_is_one_line(path, tiers):
    assert IN_A_PIPE == tiers(path)


@pytest.mark.parametrize("width", [60, 80, 140, 200])
def test_a_table_fits_its_width(width, tiers):
    lines = tiers(CUSTOMER_TIERS, width=width).splitlines()

    assert max(map(cell_len, lines)) <= width
    assert cell_len(next(line for line in lines if line.startswith("─"))) > width * 0.85


def test_at_80_columns_all_five_tiers_stand_side_by_side(tiers):
    text = tiers(CUSTOMER_TIERS, width=80)

    assert "\nlimits                enterprise  mid-market  small-      freemium    trial\n" in text
    assert "\n  sso                 yes         —           —           —           —\n" in text
    assert "\n  api                 10,000 per  1,000 per   100 per     0 per hour  0 per hour\n" in text
    assert "\n  process             5 items…    4 items…    4 items…    —           —\n" in text


def test_at_200_columns_long_lists_stand_item_by_item(tiers):
    text = tiers(CUSTOMER_TIERS, width=200)

    assert "items…" not in text
    assert re.search(
        r"^  kpis +• Lead volume and quality +• Lead volume and quality +• Lead volume", text, re.MULTILINE
    )


def test_tiers_that_do_not_fit_follow_below(tmp_path, tiers):
    path = tmp_path / "policy.yaml"
    many = "\n".join(f"  number-{at}: {{rank: {at}, features: [sso]}}" for at in range(20))
    path.write_text(f"policy: {{version: 1}}\nfeatures: {{sso: Single sign-on}}\ntiers:\n{many}\n")

    text = tiers(str(path), width=80)

    assert 20 == len(re.findall(r"\byes\b", text))
    assert 4 == len(re.findall(r"^features ", text, re.MULTILINE))
    assert max(map(cell_len, text.splitlines())) <= 80


def test_a_policy_with_nothing_but_a_tier_is_shown(tmp_path, tiers):
    path = tmp_path / "policy.yaml"
    path.write_text("policy: {version: 1}\ntiers: {a: {rank: 1}}\n")

    for form in FORMATS:
        assert tiers(str(path), "--format", form)
    assert tiers(str(path), width=80).endswith("policy 1, amounts in USD\n")


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("short", 9, ["short"]),
        ("two words", 5, ["two", "words"]),
        ("small-business", 10, ["small-", "business"]),
        ("America/New_York", 10, ["America/", "New_York"]),
        ("comprehensive", 10, ["compreh-", "ensive"]),
        ("1000000000", 9, ["100000000", "0"]),
        ("日本語日本語", 6, ["日本語", "日本語"]),
        ("", 5, [""]),
    ],
)
def test_text_is_wrapped_between_words_first(text, width, lines):
    assert lines == wrap_text(text, width)


def test_wrapped_lines_are_indented():
    assert ["one two", "  three"] == wrap_text("one two three", 7, "  ")


# --- In parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_an_option_selects_sections(form, path, tiers):
    text = tiers(path, "--section", "support", "--section", "limits", "--format", form)

    assert "reply" in text
    assert "leads" in text
    assert "analytics" not in text
    assert "shade" not in text
    assert "sign-on" not in text


# --- As Markdown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["customer-tiers", "photo-lab.yaml", "minimal.yaml"])
def test_markdown_has_a_table_for_each_section_and_a_cell_for_each_tier(file, tiers):
    matrix = matrix_of(Policy.load(POLICIES / file))
    tokens = MarkdownIt().enable("table").parse(tiers(str(POLICIES / file), "--format", "markdown"))
    kinds = [token.type for token in tokens]
    rows = sum(1 for section in matrix.sections for row in section.rows if row.cells)

    assert len(matrix.sections) == kinds.count("table_open")
    assert rows == kinds.count("tr_open") - len(matrix.sections)
    assert rows * (1 + len(matrix.columns)) == kinds.count("td_open")


HOSTILE = """a|b \\ *c* _d_ <b>&amp;"e"' `f` [g](h) ~~i~~ # j"""


@pytest.fixture
def hostile(tmp_path):
    """Return the path of a policy with texts that contain markup."""
    path = tmp_path / "policy.yaml"
    text = json.dumps(HOSTILE)
    path.write_text(
        f"policy: {{version: {text}}}\nfeatures: {{sso: {text}}}\n"
        f"tiers: {{a: {{rank: 1, name: {text}, features: [sso], values: {{t: {text}, u: [{text}, {text}]}}}}}}\n"
    )
    return str(path)


def test_markdown_shows_texts_as_they_are(hostile, tiers):
    tokens = MarkdownIt().enable(["table", "strikethrough"]).parse(tiers(hostile, "--format", "markdown"))
    children = [child for token in tokens for child in token.children or ()]
    inline = {"text", "text_special", "code_inline", "softbreak"}

    assert {child.type for child in children} <= inline
    shown = ["".join(child.content for child in token.children or ()) for token in tokens]
    assert [f"Tiers, policy {HOSTILE}"] == [text for text in shown if text.startswith("Tiers")]
    assert 1 == shown.count(f"{HOSTILE}; {HOSTILE}")


# --- As HTML ------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """A parsed page: the open tags, the texts, and the attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("file", ["customer-tiers", "photo-lab.yaml", "minimal.yaml"])
def test_html_is_one_self_contained_page(file, tiers):
    text = tiers(str(POLICIES / file), "--format", "html")
    page = Page(text)

    assert text.startswith("<!DOCTYPE html>")
    assert text.isascii()
    assert [] == page.open
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "style", "onload"} & {name for name, _ in page.attributes}
    assert all(value.startswith("#s") for name, value in page.attributes if name == "href")
    assert "url(" not in text
    assert "@media (prefers-color-scheme: dark)" in text


def test_html_has_a_cell_for_each_tier(tiers):
    matrix = matrix_of(Policy.load(CUSTOMER_TIERS))
    page = Page(tiers(CUSTOMER_TIERS, "--format", "html"))
    full = sum(1 for section in matrix.sections for row in section.rows if row.cells)
    heads = sum(1 for section in matrix.sections for row in section.rows if not row.cells)

    assert full * 5 + heads + len(matrix.sections) + 1 == page.tags.count("td")
    assert "Tier 1 – Enterprise" in page.texts
    assert "48+ hours" in page.texts


def test_html_shows_texts_as_they_are(hostile, tiers):
    page = Page(tiers(hostile, "--format", "html"))

    assert [] == page.open
    assert "b" not in page.tags
    assert 5 == page.texts.count(HOSTILE)
    assert f"Tiers, policy {HOSTILE}" in page.texts


# --- As JSON ------------------------------------------------------------------------------------------------------


def test_json_keeps_what_each_tier_has_as_data(path, tiers):
    whole = json.loads(tiers(path, "--json"))

    assert ["pro", "taste", "free"] == [tier["id"] for tier in whole["tiers"]]
    assert {"of": 1209600, "from": 1209600, "to": 1209600, "then": "free"} == whole["tiers"][1]["trial"]
    assert {"pro": 1000, "taste": 1000, "free": 0} == whole["limits"]["api"]["tiers"]
    assert {"pro": "unlimited", "taste": "unlimited", "free": 100} == whole["limits"]["leads"]["tiers"]
    assert {"pro": 1_500_000_000, "taste": 1_500_000_000, "free": "not-included"} == whole["limits"]["storage"]["tiers"]
    assert ["rate", 3600, "address"] == [whole["limits"]["api"][name] for name in ("kind", "window", "per")]
    assert {"pro": True, "taste": True, "free": False} == whole["features"]["sso"]["tiers"]
    assert {"pro": 14400, "taste": 14400, "free": None} == whole["values"]["support.reply"]
    assert {"pro": "not-included", "taste": "not-included", "free": "red"} == whole["values"]["shade"]
    assert {"pro": False, "taste": False, "free": True} == whole["add-ons"]["sign-on"]["tiers"]


def test_json_is_the_same_by_either_option(path, tiers):
    assert tiers(path, "--json") == tiers(path, "--format", "json")


def test_json_has_every_value_of_the_customer_tiers(tiers):
    policy = Policy.load(CUSTOMER_TIERS)

    assert {key for tier in policy.tiers.values() for key in tier.values} == set(
        json.loads(tiers(CUSTOMER_TIERS, "--json"))["values"]
    )
