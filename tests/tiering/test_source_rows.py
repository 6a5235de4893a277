"""
Every operative row of the two source documents, with the function that answers it and the test that holds it.

`source_rows.csv` lists the lines of the documents: 439 of the definitions, 108 of the paper on services. Kinds: `acts`,
something is computed; `value`, a lookup is all that is wanted; `header`, the document's own header lines.
"""

import ast
import csv
import importlib
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"acts": 431, "value": 112, "header": 4}
ROWS = {"definitions": 439, "funnel": 108}

with (Path(__file__).parent / "source_rows.csv").open(encoding="utf-8", newline="") as file:
    GROUPS = list(csv.DictReader(file))


def lines(group):
    """Return the lines of a group: `49-50 54` is 49, 50 and 54."""
    spans = [span.partition("-") for span in group["lines"].split()]
    return [line for first, _, last in spans for line in range(int(first), int(last or first) + 1)]


@cache
def names_in(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def is_there(function):
    """Return True for a page that exists, and for `module:name` or `module:Class.name` that does."""
    if function.startswith("docs/"):
        return (ROOT / function).is_file()
    module, _, name = function.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return callable(found)


def test_every_operative_row_stands_once():
    for source, count in ROWS.items():
        listed = [line for group in GROUPS if group["source"] == source for line in lines(group)]
        assert count == len(listed) == len(set(listed)), source


def test_no_row_is_missing_or_known_by_name_only():
    kinds = Counter()
    for group in GROUPS:
        kinds[group["kind"]] += len(lines(group))

    assert kinds == KINDS


def test_every_function_is_there():
    assert [] == sorted({group["function"] for group in GROUPS if not is_there(group["function"])})


def test_every_test_is_there():
    missing = [
        group["test"] for group in GROUPS if group["test"].split("::")[1] not in names_in(group["test"].split("::")[0])
    ]

    assert [] == sorted(set(missing))


def test_the_abbreviations_of_the_definitions_are_explained():
    page = (ROOT / "docs" / "readings.md").read_text(encoding="utf-8")
    terms = [
        line.split("|")[1].strip() for line in page.partition("## Abbreviations")[2].splitlines() if line[:2] == "| "
    ]

    assert {"CSM", "SLA", "NPS", "CSAT", "KPI", "UAT", "SSO", "SAML"} <= set(terms)
