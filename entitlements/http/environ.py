"""The ASGI scope of a WSGI environment, so that one `identify`, cost or `scope=` works behind every server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from entitlements.http.account_scope import HANDLE_KEY

if TYPE_CHECKING:
    from entitlements.http.types import Scope

SCOPE_KEY = "entitlements.scope"
"""Key of a WSGI environment with the scope that was made of it."""


def scope_of_environ(environ: dict[str, Any]) -> Scope:
    """
    Return the scope of a request, and keep it in its environment.

    The environment itself is `scope["wsgi.environ"]`. A middleware further outside that found the account has
    found it for this scope too.

    Args:
        environ: The environment (PEP 3333). Its texts are bytes, decoded as Latin-1.
    """
    read = environ.get
    root = _utf_8(read("SCRIPT_NAME", "")).rstrip("/")
    path = _utf_8(read("PATH_INFO", "")) or "/"
    address = read("REMOTE_ADDR")
    scope: Scope = {
        "type": "http",
        "method": environ["REQUEST_METHOD"],
        "path": root + path,
        "root_path": root,
        "query_string": read("QUERY_STRING", "").encode("latin-1"),
        "headers": _headers(environ),  # listed when they are first read
        "scheme": read("wsgi.url_scheme", "http"),
        "client": (address, int(read("REMOTE_PORT") or 0)) if address else None,
        "wsgi.environ": environ,
    }
    outer = read(SCOPE_KEY)
    if outer is not None and HANDLE_KEY in outer:
        scope[HANDLE_KEY] = outer[HANDLE_KEY]
    environ[SCOPE_KEY] = scope
    return scope


def _utf_8(text: str) -> str:
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")


def _headers(environ: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")
        elif name in {"CONTENT_TYPE", "CONTENT_LENGTH"} and value:
            yield name.replace("_", "-").lower().encode("ascii"), value.encode("latin-1")
