"""Every fact about another product has its source: in the README by cell, on the page by product."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
SOURCED = re.compile(r"\[[^]]+\]\[([a-z-]+)\]")
SOURCES = dict(re.findall(r"^\[([a-z-]+)\]: (https://\S+)$", README, re.MULTILINE))


def rows(text: str) -> list[list[str]]:
    """Return the cells of each row of the first table of a text."""
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_each_fact_of_the_readme_about_another_product_links_to_its_source():
    _, _, *facts = rows(README.partition("## Compared with others")[2])
    cells = [(row[0], cell) for row in facts for cell in row[2:] if cell != "–"]

    assert [] == [cell for cell in cells if not SOURCED.fullmatch(cell[1])]
    assert set(SOURCES) == {SOURCED.fullmatch(cell)[1] for _, cell in cells}


def test_the_page_names_sources_of_every_product_it_compares():
    products = rows(PAGE)[0][2:]
    named = {row[0]: row[1] for row in rows(PAGE.partition("## Sources")[2])}

    assert [] == [each for each in products if "https://" not in named.get(each, "")]
