"""
Path templates as Starlette's: `/v1/leads/{id}`, `/files/{rest:path}`, `/page/{number:int}`.

The same template matches the same paths there and here; Starlette itself is not needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?}")
_PATTERNS = {
    "str": "[^/]+",
    "path": ".*",
    "int": "[0-9]+",
    "float": r"[0-9]+(?:\.[0-9]+)?",
    "uuid": "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
}
_SAMPLES = {
    "str": "~one~", "path": "~a~/~b~/~c~/~d~", "int": "71828", "float": "71828.18",
    "uuid": "0f0e0d0c-0b0a-4908-8706-050403020100",
}  # fmt: skip
"""A value of each kind that a narrower kind, or a literal, does not match."""


def compiled(template: str) -> re.Pattern[str]:
    """
    Return what matches the paths of a template.

    Raises:
        ValueError: For a template that is not one, naming it.
    """
    return re.compile(f"^{_filled(template, _PATTERNS, literal=re.escape)}$")


def sample(template: str) -> str:
    """Return a path of the template that only templates as wide as it match."""
    return _filled(template, _SAMPLES, literal=str)


def _filled(template: object, by: dict[str, str], *, literal: Callable[[str], str]) -> str:
    if not isinstance(template, str) or not template.startswith("/"):
        raise ValueError(f"path {template!r} must be a str that begins with /")
    filled, at, names = "", 0, set()
    for found in _PARAMETER.finditer(template):
        name, kind = found.group(1), found.group(2) or "str"
        if kind not in by:
            raise ValueError(f"path {template!r}: there is no kind of parameter {kind!r}; there are {', '.join(by)}")
        if name in names:
            raise ValueError(f"path {template!r}: the parameter {name!r} stands twice; give each a name of its own")
        names.add(name)
        filled += literal(_plain(template, at, found.start())) + by[kind]
        at = found.end()
    return filled + literal(_plain(template, at, len(template)))


def _plain(template: str, start: int, end: int) -> str:
    text = template[start:end]
    if "{" in text or "}" in text:
        raise ValueError(
            f"path {template!r}: {text!r} has a brace that opens no parameter; write {{name}} or {{name:kind}}"
        )
    return text
