"""
Words, sentences and reading level of every page: `make words`.

    python -m tools.docs.words [--worst 20]

A word is what `wc` counts, code and tables included. Sentences and the reading level are those of the prose alone.
The level is the Flesch-Kincaid grade: 0.39 × words per sentence + 11.8 × syllables per word - 15.59.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tools.docs.pages import ROOT, project_pages

MOST_WORDS = 1500
"""Words of a page that is read from top to bottom."""
MOST_IN_A_SENTENCE = 30
"""Words of a sentence of such a page."""
REFERENCES = (
    "CHANGELOG.md",
    "docs/reference/",
    "docs/faults.md",
    "benchmarks/decision-results.md",
    "benchmarks/results/",
)
"""Pages that are looked up; they may be longer."""

CODE_BLOCK = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:\||#|<|!\[| *:::|---|\[[\w-]+\]: ).*$", re.MULTILINE)
LINK = re.compile(r"\[([^]]*)\](?:\([^)]*\)|\[[^]]*\])")
ITEM = re.compile(r"^ *(?:[-*]|\d+\.) +", re.MULTILINE)
END = re.compile(r"(?<=[.!?:;])[\"”’)*_]*\s+(?=[A-Z`“*\"(\d])|\n\s*\n")
"""The end of a sentence; a list after a colon begins another one, and so does a paragraph."""
VOWELS = re.compile(r"[aeiouy]+")


@dataclass(frozen=True)
class Page:
    """One page and its text."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path within the project."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def words(self) -> int:
        """All words, as `wc` counts them."""
        return len(self.text.split())

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences of the prose, each as one line; code in backticks is one word."""
        prose = LINE.sub("", CODE_BLOCK.sub("\n\n", self.text))
        prose = ITEM.sub("\n\n", LINK.sub(r"\1", re.sub(r"`[^`\n]+`", "`code`", prose)))
        return [line for each in END.split(prose) if len((line := " ".join(each.split())).split()) > 1]

    @property
    def length(self) -> float:
        """Words of a sentence on average."""
        return sum(len(each.split()) for each in self.sentences) / max(1, len(self.sentences))

    @property
    def level(self) -> float:
        """The Flesch-Kincaid grade of the prose."""
        words = [word for each in self.sentences for word in re.findall(r"[a-z]+", each.lower())]
        return 0.39 * self.length + 11.8 * sum(map(syllables, words)) / max(1, len(words)) - 15.59

    @property
    def is_reference(self) -> bool:
        """True for a page that is looked up."""
        return self.name.startswith(REFERENCES)


def syllables(word: str) -> int:
    """Return the syllables of a word, by its groups of vowels; a silent `e` at the end is none."""
    return max(1, len(VOWELS.findall(word)) - (word.endswith("e") and not word.endswith("le")))


def pages() -> list[Page]:
    """Return every page of the site."""
    return [Page(path, path.read_text(encoding="utf-8")) for path in project_pages()]


def worst_sentences(found: list[Page], count: int) -> list[tuple[int, str, str]]:
    """Return the longest sentences: words, page, text."""
    read = [page for page in found if page.name != "CHANGELOG.md"]
    return sorted(((len(each.split()), page.name, each) for page in read for each in page.sentences), reverse=True)[
        :count
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Words, sentences and reading level of every page.")
    parser.add_argument("--worst", type=int, default=20, help="how many of the longest sentences to list")
    found = pages()
    print(f"{'words':>6} {'sentence':>9} {'level':>6}  page")
    for page in sorted(found, key=lambda page: page.words, reverse=True):
        mark = "  (reference)" if page.is_reference else "  too long" if page.words > MOST_WORDS else ""
        print(f"{page.words:>6,} {page.length:>9.1f} {page.level:>6.1f}  {page.name}{mark}")
    print(f"\n{sum(page.words for page in found):,} words on {len(found)} pages\n\nThe longest sentences:")
    for words, name, text in worst_sentences(found, parser.parse_args().worst):
        print(f"{words:>4}  {name}: {text}")


if __name__ == "__main__":
    main()
