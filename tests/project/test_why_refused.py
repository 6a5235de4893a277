"""docs/why-refused.md has a section for every reason, and its examples produce each of them."""

import re
from pathlib import Path

from entitlements import Reason
from entitlements.rules.decisions import _ALLOWING

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "why-refused.md").read_text(encoding="utf-8")


def sections(heading: str) -> dict[str, str]:
    """Return the sections below a heading, by their own headings."""
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", part, re.MULTILINE | re.DOTALL))


def test_every_reason_has_its_section_under_the_right_heading():
    assert {each.value for each in Reason} - {each.value for each in _ALLOWING} == set(sections("Refused"))
    assert {each.value for each in _ALLOWING} == set(sections("Allowed"))


def test_each_section_shows_a_decision_with_its_reason():
    shown = sections("Refused") | sections("Allowed")

    assert [] == [name for name, text in shown.items() if f"reason is Reason.{Reason(name).name}\n" not in text]


def test_a_section_of_a_refusal_says_what_to_do():
    assert [] == [name for name, text in sections("Refused").items() if "- **You:** " not in text]


def test_the_tree_leads_to_every_reason_that_refuses():
    tree = PAGE.partition("```text\n")[2].partition("```")[0]

    assert set(sections("Refused")) == set(re.findall(r"→ (\S+)", tree))
