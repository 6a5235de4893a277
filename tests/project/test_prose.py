"""Docstrings, log lines and names of the package follow CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUESTION = re.compile(r"(What|Who|Whose|Whether|How|Where|Which|When|Why|If)\b")
EVERYDAY = re.compile(r"(?<!`)\b(nobody|somebody|whoever|anew|beside|at ease)\b(?![`:])", re.IGNORECASE)
"""Not the names of fields: in backquotes, or before the colon of an argument."""
PROBE = re.compile(r"getattr\((store|self\._store|self\._inner)\b")
PROBED = ("stores", "http", "enforcer.py", "async_enforcer.py")
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}

PROBES_LEFT = 0
TWICE_LEFT = {"Entitlements", "EntitlementsMiddleware", "Policy"}  # one for each framework, by its conventions


@cache
def modules():
    """Return the syntax tree of every module, by its path."""
    files = sorted((ROOT / "entitlements").rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def docstrings(tree):
    """Yield the docstrings of a module, also those below attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for each in node.body:
                if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                    yield str(each.value.value).strip()


def log_lines(tree):
    """Yield the strings that a module passes to a logger."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOG_METHODS:
            for argument in (*node.args, *node.keywords):
                for each in ast.walk(argument):
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        yield each.value


def found(texts_of, pattern):
    """Return the first lines of the texts that a pattern fits, each with its file."""
    return [
        f"{file}: {text.splitlines()[0]}"
        for file, tree in modules().items()
        for text in texts_of(tree)
        if pattern(text)
    ]


def test_a_docstring_says_what_a_thing_is_or_does():
    questions = found(docstrings, QUESTION.match)

    assert [] == questions


def test_docstrings_and_log_lines_use_the_words_of_the_field():
    everyday = found(docstrings, EVERYDAY.search) + found(log_lines, EVERYDAY.search)

    assert [] == everyday


def test_a_class_name_stands_once_in_the_package():
    names = Counter(
        node.name
        for tree in modules().values()
        for parent in ast.walk(tree)
        if isinstance(parent, ast.Module | ast.ClassDef)
        for node in parent.body
        if isinstance(node, ast.ClassDef)
    )

    assert {name for name, many in names.items() if many > 1} <= TWICE_LEFT


def test_abilities_of_a_store_are_declared_and_not_probed():
    probes = [
        f"{file}:{number}: {line.strip()}"
        for file in modules()
        if file.split("/")[1] in PROBED
        for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), 1)
        if PROBE.search(line)
    ]

    assert len(probes) <= PROBES_LEFT, probes
