"""Signed tokens against forged requests: each is bound to a cookie, a purpose and a time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

COOKIE = "entitlements_console"
LIFETIME = 3600
"""Seconds for which a token is valid."""
_LEAST_SECRET = 16


class Tokens:
    """
    Tokens of forms: a signed cookie holds a random value, and each form a signature of that value and its purpose.

    Args:
        secret: At least 16 bytes or characters, shared by all processes that serve the console; None for a random one.

    Raises:
        ValueError: For a shorter secret.
    """

    def __init__(self, secret: str | bytes | None = None) -> None:
        given = secrets.token_bytes(32) if secret is None else secret.encode() if isinstance(secret, str) else secret
        if len(given) < _LEAST_SECRET:
            raise ValueError(
                f"secret has {len(given)} bytes; give at least {_LEAST_SECRET}, such as secrets.token_hex()"
            )
        self._secret = given

    def session(self, request: Request) -> str | None:
        """Return the random value of the request's cookie; None without a cookie that is signed here."""
        value, _, signature = request.cookies.get(COOKIE, "").partition(".")
        return (
            value if value and hmac.compare_digest(signature.encode(), self._sign("cookie", value).encode()) else None
        )

    def start(self, response: Response, request: Request, session: str, path: str) -> None:
        """Set the cookie of a session."""
        response.set_cookie(
            COOKIE, f"{session}.{self._sign('cookie', session)}",
            path=path, secure=request.scope.get("scheme") == "https", httponly=True, samesite="strict",
        )  # fmt: skip

    def issue(self, session: str, *purpose: str) -> str:
        """Return a token for a purpose."""
        until = str(int(time.time()) + LIFETIME)
        return f"{until}.{self._sign('token', session, until, *purpose)}"

    def accepts(self, token: str, session: str | None, *purpose: str) -> bool:
        """Return whether a token was issued for this cookie and purpose, and has not expired."""
        until, _, signature = token.partition(".")
        if session is None or not (until.isascii() and until.isdigit() and len(until) < 12):
            return False
        right = self._sign("token", session, until, *purpose)
        return hmac.compare_digest(signature.encode("utf-8", "replace"), right.encode()) and time.time() < int(until)

    def _sign(self, *parts: str) -> str:
        joined = b"".join(b"%d:%s" % (len(each), each) for each in (part.encode("utf-8", "replace") for part in parts))
        return hmac.new(self._secret, joined, hashlib.sha256).hexdigest()


def new_session() -> str:
    """Return a random value for a cookie."""
    return secrets.token_urlsafe(24)
