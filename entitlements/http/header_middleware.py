"""Header middleware: adds the rate limit headers of charges that an application makes, and records the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.rate_limit_headers import HeaderStyle, RateLimitHeaders
from entitlements.http.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.http.types import App, Headers, Receive, Scope, Send
    from entitlements.model.decision import Decision

HEADERS_KEY = "entitlements.headers"
"""Scope key of the `CollectedHeaders` of a response."""

RESPONSE_KEY = "entitlements.response"
"""Scope key of the `Response`, which records its progress."""


class CollectedHeaders:
    """
    Rate limit headers of one response, collected from the charges of its request.

    Args:
        encoder: Encodes the headers.
    """

    __slots__ = ("_decisions", "_encoder")

    def __init__(self, encoder: RateLimitHeaders) -> None:
        self._encoder = encoder
        self._decisions: list[Decision] = []

    def add(self, decision: Decision) -> None:
        """Add the limits that *decision* charged."""
        self._decisions.append(decision)

    def withdraw(self, decision: Decision) -> None:
        """Remove a refunded charge, whose figures are outdated."""
        self._decisions = [each for each in self._decisions if each is not decision]

    @property
    def headers(self) -> Headers:
        """The headers to add to the response."""
        return self._encoder.of_all(self._decisions)


class CollectingResponse(Response):
    """The response of a request whose endpoints charge, with the headers that they have collected by its start."""

    __slots__ = ("_collected",)

    def __init__(self, receive: Receive, send: Send, collected: CollectedHeaders) -> None:
        super().__init__(receive, send)
        self._collected = collected

    def added_headers(self, _: int) -> Headers:
        """Return the headers collected so far."""
        return self._collected.headers


class HeaderMiddleware:
    """
    Adds the headers that were collected in a scope to its response, and keeps the `Response` in the scope.

    Args:
        app: The application.
        style: Style of the headers.
        on_first_scope: Called before the first scope of any type.
    """

    def __init__(self, app: App, *, style: HeaderStyle, on_first_scope: Callable[[], None] | None = None) -> None:
        self.app = app
        self._on_first_scope = on_first_scope
        self._encoder = RateLimitHeaders(style)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if self._on_first_scope is not None:
            self._on_first_scope()
            self._on_first_scope = None
        collected = scope[HEADERS_KEY] = CollectedHeaders(self._encoder)
        response = scope[RESPONSE_KEY] = CollectingResponse(receive, send, collected)
        await self.app(scope, response.receive, response.send)
