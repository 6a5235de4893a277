"""The exceptions of the package with their cures, from their docstrings."""

from __future__ import annotations

import re
from importlib import import_module

from entitlements.errors import EntitlementsError
from tools.docs.reference.api import entries
from tools.docs.reference.markdown import first_line, section, table

INTRO = """# Errors

Every exception of the package is an `EntitlementsError`. A refusal is a value (`Decision`), not an exception; `Denied` is for callers who prefer one.
Messages name the thing, the value and the cure. The cures below hold for every message of their class.

"""


def exceptions() -> list[tuple[str, type[EntitlementsError]]]:
    """Return the public exceptions with the modules that export them."""
    found = [
        (entry.module, getattr(import_module(entry.module), entry.name)) for entry in entries() if entry.kind == "class"
    ]
    return [(module, each) for module, each in found if isinstance(each, type) and issubclass(each, EntitlementsError)]


def pages() -> dict[str, str]:
    """Return the page of errors."""
    found = exceptions()
    index = table(
        ("exception", "meaning"),
        ((f"[`{each.__name__}`](#{each.__name__.lower()})", first_line(each)) for _, each in found),
    )
    return {"errors.md": INTRO + index + "".join(_error(*each) for each in found)}


def _error(module: str, kind: type[EntitlementsError]) -> str:
    bases = " and ".join(f"`{base.__name__}`" for base in kind.__bases__)
    text = f"\n## {kind.__name__}\n\n{first_line(kind)}\n\n- Import: `from {module} import {kind.__name__}`. It is {_article(bases)} {bases}.\n"
    cure = section(kind, "Cure")
    return text + (f"- Cure: {cure}\n" if cure else "")


def _article(word: str) -> str:
    return "an" if re.match(r"`[AEIOU]", word) else "a"
