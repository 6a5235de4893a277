"""Saying on a response what charges within the application have taken, and knowing how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.headers import HeaderStyle, RateLimitHeaders
from entitlements.http.response import Response, merge_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.http.types import App, Headers, Receive, Scope, Send
    from entitlements.model.decision import Decision

HEADERS_KEY = "entitlements.told"
"""Where the scope keeps what its response shall say."""

RESPONSE_KEY = "entitlements.response"
"""Where the scope keeps its response: whether it has begun, and come to its end."""


class CollectedHeaders:
    """
    What one response shall say of limits.

    Args:
        writer: How it says it.
    """

    __slots__ = ("_decisions", "_writer")

    def __init__(self, writer: RateLimitHeaders) -> None:
        self._writer = writer
        self._decisions: list[Decision] = []

    def add(self, decision: Decision) -> None:
        """Say what is left of the limits that *decision* charged."""
        self._decisions.append(decision)

    def withdraw(self, decision: Decision) -> None:
        """Say nothing of a charge that was given back: its figures are no longer true."""
        self._decisions = [each for each in self._decisions if each is not decision]

    @property
    def headers(self) -> Headers:
        """What the response says."""
        headers: Headers = []
        for decision in self._decisions:
            headers = merge_headers(headers, self._writer.of(decision))
        return headers


class HeaderMiddleware:
    """
    Adds to responses what was told in their scopes, and keeps there how far they have come.

    Args:
        app: The application.
        style: How it is said.
        starting: Called before the first scope of any kind.
    """

    def __init__(self, app: App, *, style: HeaderStyle, starting: Callable[[], None] | None = None) -> None:
        self.app = app
        self._starting = starting
        self._writer = RateLimitHeaders(style)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if self._starting is not None:
            self._starting()
            self._starting = None
        told = scope[HEADERS_KEY] = CollectedHeaders(self._writer)
        response = scope[RESPONSE_KEY] = Response(receive, send, lambda _: told.headers)
        await self.app(scope, response.receive, response.send)
