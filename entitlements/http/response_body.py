"""Response bodies of WSGI: pass the chunks unchanged, and report how the body ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from entitlements.http.current import ACCOUNT

if TYPE_CHECKING:
    from entitlements.http.metered_request import MeteredRequest


class ResponseBody:
    """
    The body of a response: an iterator over its chunks, which are made while its account is the current one.

    It ends once: completely, with an error, or closed by a server whose client has disconnected.

    Args:
        body: The body of the application.
        request: Its request.
        settle: Called at the end, with the error if there was one.
    """

    __slots__ = ("_account", "_body", "_chunks", "_is_settled", "_request", "_settle")

    def __init__(
        self,
        body: Iterable[Any],
        request: MeteredRequest,
        settle: Callable[[MeteredRequest, BaseException | None], None],
    ) -> None:
        self._body = body
        self._chunks = iter(body)
        self._account = request.account
        self._request = request
        self._settle = settle
        self._is_settled = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        token = ACCOUNT.set(self._account)
        try:
            return next(self._chunks)
        except StopIteration:
            self._request.is_complete = True
            self._end()
            raise
        except BaseException as error:
            self._end(error)
            raise
        finally:
            ACCOUNT.reset(token)

    def close(self) -> None:
        """Close the body of the application."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._request.is_disconnected = True
            self._end()

    def _end(self, error: BaseException | None = None) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._settle(self._request, error)
