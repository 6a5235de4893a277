"""
Other spellings of a path.

A rule matches a path literally, and a router behind it may not: `//`, `/./`, `/x/../`, a slash at the end
and letter case reach one handler in some frameworks. So a path is compared with its other spellings.
"""

from __future__ import annotations

import re

_SLASHES = re.compile("/{2,}")
_UNUSUAL = re.compile(r"^$|//|/\.|\\|/$|[A-Z]|[^\x00-\x7f]")


def is_unusual(path: str) -> bool:
    """Return True for a path that a router may take for another: all others have one spelling in every router."""
    return _UNUSUAL.search(path) is not None


def normal_forms(path: str) -> list[str]:
    """Return a path without its empty segments, and without its dot segments too, where that changes it."""
    forms = []
    for spelled in (path, path.replace("\\", "/")):
        collapsed = collapse(spelled)
        forms += [spelled, collapsed, _without_dots(collapsed)]
    return [form for form in dict.fromkeys(forms) if form != path]


def collapse(path: str) -> str:
    """Return a path without its empty segments; a slash at the end stays."""
    return _SLASHES.sub("/", path)


def without_end_slash(path: str) -> str:
    """Return a path without slashes at its end; `/` for the root."""
    return path.rstrip("/") or "/"


def _without_dots(path: str) -> str:
    if "/." not in path:
        return path
    segments: list[str] = []
    *inner, last = path.split("/")[1:] if path.startswith("/") else path.split("/")
    for segment in inner if last in {".", ".."} else [*inner, last]:
        if segment == "..":
            segments[-1:] = []
        elif segment != ".":
            segments.append(segment)
    if last == "..":
        segments[-1:] = []
    if last in {".", ".."}:
        segments.append("")
    return "/" + "/".join(segments)
