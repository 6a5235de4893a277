"""docs/reference/: the pages that are made from the package are as it is now, and lists by hand are complete."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tools.docs.reference import __main__ as reference

ROOT = Path(__file__).resolve().parents[2]


def test_the_pages_that_are_made_from_the_package_are_what_is_made():
    made = reference.pages()

    assert [] == [
        path.name for path, text in made.items() if not path.exists() or text != path.read_text(encoding="utf-8")
    ], "run `make reference`"


def _environment_texts(tree):
    """Yield the names of variables in a module: given to os.environ or to `envvar=`, by themselves or in a constant."""
    constants = {
        name.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "envvar":
            yield node.value
        elif re.match(r"os\.(environ\.get\(|environ\[|getenv\()", ast.unparse(node)):
            asked = (
                node.slice if isinstance(node, ast.Subscript) else node.args[0] if isinstance(node, ast.Call) else None
            )
            if isinstance(asked, ast.Constant):
                yield asked
            elif asked is not None:
                yield from (each for value in constants.values() for each in ast.walk(value) if _is_variable(each))


def _is_variable(node):
    return isinstance(node, ast.Constant) and re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", str(node.value))


def test_the_reference_of_the_environment_lists_every_variable_that_is_read():
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    read = {
        node.value
        for path in (ROOT / "entitlements").rglob("*.py")
        for node in _environment_texts(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert "ENTITLEMENTS_POLICY" in read
    assert set() == {name for name in read if f"`{name}`" not in page}
    assert set() == set(re.findall(r"`([A-Z_]{4,})`", page)) - read
