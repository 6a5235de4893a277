"""Types of ASGI 3, named as in its specification, and helpers for scopes and callables."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]
"""Names and values; ASGI requires names in lower case."""


async def awaited(result: Any) -> Any:
    """Return the result of a callable that is sync or async."""
    return await result if inspect.isawaitable(result) else result


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return every value of a request header, in the order sent; *name* in lower case."""
    return [value for key, value in scope.get("headers", ()) if key == name]


def path_of(scope: Scope) -> str:
    """Return the path below the mount point, as a router mounted there sees it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if not root or not path.startswith(root):
        return path
    if path == root:
        return ""
    return path[len(root) :] if path[len(root)] == "/" else path
