"""Writes a policy as YAML: each text in quotes where it could be read as something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)? [A-Za-z0-9 ]+")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_WIDTH = 110


def to_yaml(mapping: Mapping[str, Any], heading: str) -> str:
    """
    Return *mapping* as the text of a policy file.

    Args:
        mapping: Mappings, lists, texts, booleans and numbers.
        heading: A comment for the first lines.
    """
    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    return "\n".join([*lines, "", *_lines(mapping, 0)]) + "\n"


def _lines(mapping: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, value in mapping.items():
        start = f"{'  ' * depth}{_key(key)}:"
        sizes = depth >= 2 and key == "limits"
        whole = f"{start} {_inline(value, sizes=sizes)}"
        if isinstance(value, Mapping) and value and (depth < 2 or len(whole) > _WIDTH):
            yield start
            yield from _lines(value, depth + 1)
        elif isinstance(value, list) and len(whole) > _WIDTH:
            yield start
            yield from (f"{'  ' * (depth + 1)}- {_inline(each)}" for each in value)
        else:
            yield whole


def _inline(value: Any, *, sizes: bool = False) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)}: {_inline(each, sizes=sizes)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int) else _text(value, sizes=sizes)


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) and key.lower() not in _WORDS else json.dumps(key)


def _text(text: str, *, sizes: bool) -> str:
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain or (sizes and _SIZE.fullmatch(text)) else json.dumps(text, ensure_ascii=False)
