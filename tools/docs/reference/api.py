"""The public API, page by page: the names that tests/project/public_api.txt lists, for mkdocstrings to render."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.docs.reference.markdown import table

ROOT = Path(__file__).resolve().parents[3]
LISTING = ROOT / "tests" / "project" / "public_api.txt"
MODULES = re.compile(r"^\| `([\w.]+)` \| (.*) \|$", re.MULTILINE)
NAME = re.compile(r"(?:class |static |async )*(\w+)")

TITLES = {
    "enforcer": "Enforcer",
    "async-enforcer": "AsyncEnforcer",
    "core": "Policies, accounts, decisions",
    "exceptions": "Exceptions",
    "accounts": "Sources of accounts",
    "http": "HTTP",
    "integrations": "Integrations",
    "ledger": "Ledger",
    "model": "Values of the model",
    "ports": "Ports",
    "stores": "Stores",
    "testing": "Testing",
    "tiering": "Tiering of one account",
    "base": "Tiering of a base",
    "more": "Other modules",
}
"""Titles of the pages, in their order."""


@dataclass
class Entry:
    """One public name: where it is exported, its kind, and the names within it."""

    module: str
    name: str
    kind: str
    members: list[str] = field(default_factory=list)
    bases: str = ""
    elsewhere: str = ""

    @property
    def page(self) -> str:
        """The page that shows it."""
        if self.module == "entitlements":
            return {"Enforcer": "enforcer", "AsyncEnforcer": "async-enforcer"}.get(self.name) or (
                "exceptions" if re.search(r"Error|Exception", self.bases) else "core"
            )
        if self.module.startswith("entitlements.tiering.base"):
            return "base"
        room = self.module.split(".")[1]
        return {"pytest_plugin": "testing"}.get(room) or (room if room in TITLES else "more")


def entries() -> list[Entry]:
    """Return the public names, in the order of the listing."""
    found: list[Entry] = []
    module = ""
    for line in LISTING.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if not line.startswith(" "):
            module = text or module
        elif line.startswith("    "):
            if text.startswith("is a "):
                found[-1].bases = text.removeprefix("is a ")
            else:
                found[-1].members.append(NAME.match(text)[1])
        elif match := re.fullmatch(r"(\w+): see ([\w.]+)", text):
            found.append(Entry(module, match[1], "alias", elsewhere=match[2]))
        else:
            kind = "class" if text.startswith("class ") else "function" if "(" in text.partition("=")[0] else "data"
            name = NAME.match(text.removeprefix("class "))[1]
            found.append(Entry(module, name, kind))
    return found


def pages() -> dict[str, str]:
    """Return one page for each title, and an index."""
    by_page: dict[str, list[Entry]] = {page: [] for page in TITLES}
    for entry in entries():
        by_page[entry.page].append(entry)
    made = {f"api/{page}.md": "".join(_page(title, by_page[page])) for page, title in TITLES.items()}
    return {"api/README.md": _index(by_page)} | made


def _index(by_page: dict[str, list[Entry]]) -> str:
    listed = (ROOT / "docs" / "public-modules.md").read_text(encoding="utf-8")
    purposes = dict(MODULES.findall(listed.partition("\n## Public modules\n")[2].partition("\n## ")[0]))
    rows = []
    for page, title in TITLES.items():
        modules = list(dict.fromkeys(entry.module for entry in by_page[page]))
        if modules == ["entitlements"]:
            names = ", ".join(f"`{entry.name}`" for entry in by_page[page])
            rows.append((f"[{title}]({page}.md)", "`entitlements`", names))
        else:
            rows += [(f"[{title}]({page}.md)", f"`{module}`", purposes[module]) for module in modules]
    intro = "The modules and names that are public, with signatures, arguments and errors.\nEverything else is internal and may change at any time.\n\n"
    return "# Public API\n\n" + intro + table(("page", "module", "holds"), rows)


def _page(title: str, found: list[Entry]) -> Iterator[str]:
    yield f"# {title}\n"
    modules = list(dict.fromkeys(entry.module for entry in found))
    for module in modules:
        if len(modules) > 1:
            yield f"\n## `{module}`\n"
        for entry in (each for each in found if each.module == module):
            yield from _entry(entry, level=3 if len(modules) > 1 else 2)


def _entry(entry: Entry, *, level: int) -> Iterator[str]:
    path = f"{entry.module}.{entry.name}"
    if entry.kind == "alias":
        yield f"\n`{entry.name}` is [`{entry.elsewhere}.{entry.name}`][{entry.elsewhere}.{entry.name}].\n"
        return
    yield f"\n::: {path}\n    options:\n      heading_level: {level}\n"
    if entry.kind == "class":
        shown = [name for name in entry.members if not name.startswith("__")]
        yield f"      members: {json.dumps(shown)}\n" if shown else "      members: false\n"
