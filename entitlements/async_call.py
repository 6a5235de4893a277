"""Async calls: what an async verb returns, a coroutine that has no truth value."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import wraps
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)


class AsyncCall(Coroutine[Any, Any, R]):
    """
    A coroutine that raises in a boolean context, and where it is compared with a value.

    Every coroutine counts as true, and differs from every value. Without `await`, `if enforcer.can(...)` and
    `if enforcer.value(...) != "none"` would let every account in.

    Args:
        coroutine: The coroutine.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, R]) -> None:
        self._coroutine = coroutine

    def __bool__(self) -> bool:
        """
        Raise, because there is no result yet.

        Raises:
            TypeError: Always.
        """
        self._coroutine.close()
        raise TypeError(f"{self._name}() was not awaited, so it has no truth value; write `await` before the call")

    def __eq__(self, other: object) -> bool:
        """
        Return True for the same call, as containers of tasks need it.

        Raises:
            TypeError: For anything that cannot be awaited: there is no result yet.
        """
        if isinstance(other, Awaitable):
            return self is other
        self._coroutine.close()
        cure = "write `await` before the call"
        raise TypeError(f"{self._name}() was not awaited, so it cannot be compared with {other!r}; {cure}")

    __hash__ = Coroutine.__hash__

    def __getattr__(self, name: str) -> Any:
        """
        Raise, because there is no result yet.

        Raises:
            AttributeError: Always.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"{self._name}() was not awaited, so it has no {name!r}; write `await` before the call")

    def __getitem__(self, key: object) -> Any:
        """
        Raise, because there is no result yet.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{self._name}() was not awaited, so it has no item {key!r}; write `await` before the call")

    def __repr__(self) -> str:
        return f"<AsyncCall of {self._coroutine!r}>"

    @property
    def _name(self) -> str:
        return str(getattr(self._coroutine, "__qualname__", "the coroutine"))

    def __await__(self) -> Generator[Any, Any, R]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Resume the coroutine."""
        return self._coroutine.send(value)

    def throw(self, kind: Any, value: BaseException | object = None, traceback: TracebackType | None = None, /) -> Any:
        """Raise an exception in the coroutine."""
        return self._coroutine.throw(kind if value is None else value)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()


def require_asyncio() -> None:
    """
    Check that an event loop of asyncio runs this call.

    Raises:
        RuntimeError: Under trio, or anything else.
    """
    if _get_running_loop() is None:
        raise RuntimeError(
            "AsyncEnforcer and the middlewares run on asyncio only, and no event loop of asyncio is running; under trio"
            " call a blocking Enforcer by trio.to_thread.run_sync, and run ASGI applications with an asyncio server"
        )


def verbs_as_calls(cls: C) -> C:
    """Class decorator: calls of the public async methods return an `AsyncCall`."""
    for name, method in [*vars(cls).items()]:
        if not name.startswith("_") and iscoroutinefunction(method):
            setattr(cls, name, _verb(method))
    return cls


def _verb(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    @wraps(method)
    def call(*args: P.args, **named: P.kwargs) -> Coroutine[Any, Any, R]:
        return AsyncCall(method(*args, **named))

    return call
