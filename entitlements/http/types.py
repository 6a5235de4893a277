"""Types of ASGI 3, named as in its specification, and helpers for scopes and callables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import unquote

from entitlements.rules.path_forms import collapse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ENCODED_SLASH = re.compile(b"%2[Ff]")

Headers = list[tuple[bytes, bytes]]
"""Names and values; ASGI requires names in lower case."""


async def awaited(result: Any) -> Any:
    """Return the result of a callable that is sync or async."""
    return await result if inspect.isawaitable(result) else result


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return every value of a request header, in the order sent; *name* in lower case."""
    return [value for key, value in request_headers(scope) if key == name]


def request_headers(scope: Scope) -> Sequence[tuple[bytes, bytes]]:
    """Return the headers of a request. ASGI allows any iterable, and the application reads it too, so the scope gets a list."""
    headers = scope.get("headers", ())
    if isinstance(headers, list | tuple):
        return headers
    listed = scope["headers"] = [*headers]
    return listed


def respelled_paths(scope: Scope) -> list[str]:
    """Return the path with its encoded slashes left in their segments, as routers of raw paths read it, if it has any."""
    raw = scope.get("raw_path")
    if not raw or b"%2" not in raw:
        return []
    kept = _ENCODED_SLASH.sub(b"%252F", raw.partition(b"?")[0])
    return [path_of({**scope, "path": unquote(kept)})] if b"%252F" in kept else []


def cut_paths(scope: Scope) -> list[str]:
    """Return the path without a `root_path` that stands in it and not at its beginning."""
    path, root = scope["path"], scope.get("root_path", "")
    if not root or root not in path or path_of(scope) != path:
        return []
    return [collapse("/" + path.split(root, maxsplit=1)[1])]


def path_of(scope: Scope) -> str:
    """Return the path below the mount point, as a router mounted there sees it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if not root or not path.startswith(root):
        return path
    if path == root:
        return ""
    return path[len(root) :] if path[len(root)] == "/" else path
