"""
Path templates in Starlette's syntax: `/v1/leads/{id}`, `/files/{rest:path}`, `/page/{number:int}`.

A template matches every path that it matches in Starlette, without importing Starlette.
`{rest:path}` also matches line breaks, which Starlette's does not: `{name}` does in both,
and a rule for everything below a path must not leave a path out.

A template covers another if it matches the other's *outline*, in which one sign stands
for each parameter and all its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest

_PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?}")
_PATTERNS = {
    "str": "[^/]+",
    "path": ".*",
    "int": "[0-9]+",
    "float": r"[0-9]+(?:\.[0-9]+)?",
    "uuid": "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
}
_LENIENT = {
    "str": "[^/]+",
    "path": ".*",
    "int": r"\s*[+-]?[\d_]+(?:\.0*)?\s*",
    "float": r"\s*[+-]?(?:[\d_]+\.?[\d_]*|\.[\d_]+|inf(?:inity)?|nan)(?:e[+-]?[\d_]+)?\s*",
    "uuid": r"\s*(?:urn:uuid:)?\{?[0-9a-f-]{32,}\}?\s*",
}
"""The pattern of each kind for paths that Python's or pydantic's own conversion of a `{name}` would accept."""

_SIGNS = {"str": "\ud800", "path": "\ud801", "int": "\ud802", "float": "\ud803", "uuid": "\ud804"}
"""The sign of each kind of parameter in an outline; no decoded path contains a lone surrogate."""

_COVERS = {
    "str": "[^/\ud801]+",  # a path may be empty, and may have slashes
    "path": ".*",
    "int": "[0-9\ud802]+",
    "float": r"(?:[0-9\ud802]+(?:\.[0-9\ud802]+)?|\ud803)",
    "uuid": f"(?:{_PATTERNS['uuid']}|\ud804)",
}
"""The pattern of each kind for outlines: it matches a sign only if it matches all its values."""

_NO_PATH = re.compile(r"[?#]|%[0-9a-fA-F]{2}|[\ud800-\udfff]")


def compile_template(template: str) -> re.Pattern[str]:
    """
    Return the pattern that matches the paths of a template.

    Raises:
        ValueError: For an invalid template, or one that no path can match; the message names it.
    """
    return re.compile(f"^{_pattern_text(template, _PATTERNS, literal=re.escape)}$", re.DOTALL)


def compile_lenient(template: str, *, empty: bool = False) -> re.Pattern[str]:
    """
    Return a pattern for paths that a lenient router may take for those of a template.

    It ignores letter case, and takes other spellings of numbers. With *empty*, `{name}` takes an empty segment too.
    """
    patterns = _LENIENT | {"str": "[^/]*"} if empty else _LENIENT
    return re.compile(f"^{_pattern_text(template, patterns, literal=re.escape)}$", re.DOTALL | re.IGNORECASE)


def covering_pattern(template: str) -> re.Pattern[str]:
    """Return a pattern for the outlines of templates that *template* covers; it may miss some, but never matches others."""
    return re.compile(_pattern_text(template, _COVERS, literal=re.escape), re.DOTALL)


def outline(template: str) -> str:
    """Return the outline of a template: one sign in place of each parameter."""
    return _pattern_text(template, _SIGNS, literal=str)


def overlap(one: str, other: str) -> bool:
    """Return False if no path matches both templates, with or without a slash at its end; True if some may."""
    for each, that in zip_longest(one.rstrip("/").split("/"), other.rstrip("/").split("/")):
        if ":path}" in f"{each}{that}":
            return True
        if each is None or that is None or (each != that and "{" not in each + that):
            return False
    return True


def _pattern_text(template: object, by: dict[str, str], *, literal: Callable[[str], str]) -> str:
    if not isinstance(template, str) or not template.startswith("/"):
        raise ValueError(f"path {template!r} must be a str that begins with /; write one, such as '/v1/leads'")
    text, at, names = "", 0, set()
    for found in _PARAMETER.finditer(template):
        name, kind = found.group(1), found.group(2) or "str"
        if kind not in by:
            raise ValueError(f"path {template!r}: there is no kind of parameter {kind!r}; there are {', '.join(by)}")
        if name in names:
            raise ValueError(f"path {template!r}: the parameter {name!r} stands twice; give each a name of its own")
        names.add(name)
        text += literal(_literal(template, at, found.start())) + by[kind]
        at = found.end()
    return text + literal(_literal(template, at, len(template)))


def _literal(template: str, start: int, end: int) -> str:
    text = template[start:end]
    if "{" in text or "}" in text:
        raise ValueError(
            f"path {template!r}: {text!r} has a brace that opens no parameter; write {{name}} or {{name:kind}}"
        )
    if found := _NO_PATH.search(text):
        raise ValueError(
            f"path {template!r} can never match: a path has no {found[0]!r}, being without its query and decoded;"
            " leave the query out, and write ' ' for '%20'"
        )
    return text
