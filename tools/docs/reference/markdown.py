"""Text and tables of generated pages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

ARGUMENT = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a `|` in a cell is escaped, and a line break becomes a space."""
    lines = [" | ".join(head), "|".join("---" for _ in head)]
    lines += [" | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) for row in rows]
    return "".join(
        f"|{'' if line.startswith('---') else ' '}{line}{'' if line.startswith('---') else ' '}|\n" for line in lines
    )


def first_line(thing: object) -> str:
    """Return the first paragraph of a docstring as one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def arguments(thing: object) -> dict[str, str]:
    """Return the texts of the section *Args* of a docstring, by name."""
    _, _, section = (inspect.getdoc(thing) or "").partition("\nArgs:\n")
    return {name: " ".join(text.split()) for name, text in ARGUMENT.findall(section.partition("\n\n")[0])}


def section(thing: object, name: str) -> str:
    """Return the text of a section of a docstring as one line, or nothing."""
    _, found, rest = (inspect.getdoc(thing) or "").partition(f"{name}:\n")
    return " ".join(rest.partition("\n\n")[0].split()) if found else ""
