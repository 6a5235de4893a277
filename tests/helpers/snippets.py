"""Fenced blocks of the project's pages: language, text and place of each."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[^\n]*)\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=")


@dataclass(frozen=True)
class Snippet:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    is_indented: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        """The first line."""
        return self.text.partition("\n")[0]

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of a shell block: without comments, prompts and assignments of variables."""
        lines = [line.removeprefix("$ ") for line in self.text.replace("\\\n", " ").splitlines()]
        found = [shlex.split(line.rstrip(" &"), comments=True) for line in lines]
        return [words for each in found if (words := _without_assignments(each))]


def _without_assignments(words: list[str]) -> list[str]:
    words = words[words[:1] == ["export"] :]
    while words and ASSIGNMENT.match(words[0]):
        words = words[1:]
    return words


def snippets(pages: list[Path]) -> list[Snippet]:
    """Return every block of the pages."""
    return [
        Snippet(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, block.start()) + 1,
            block["language"].strip(),
            block["text"],
            bool(block["indent"]),
        )
        for page in pages
        for text in [page.read_text(encoding="utf-8")]
        for block in FENCE.finditer(text)
    ]
