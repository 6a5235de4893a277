"""Checks of callables that a user passes in: a wrong shape fails at the start, not at every request."""

from __future__ import annotations

import inspect

from entitlements.model.names import shown


def is_async(function: object) -> bool:
    """Return True if calls of *function* return coroutines or asynchronous generators; also behind `partial` and `__call__`."""
    checks = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(check(each) for check in checks for each in (function, type(function).__call__))


def is_generator(function: object) -> bool:
    """Return True if calls of *function* return generators; also behind `partial` and `__call__`."""
    return any(inspect.isgeneratorfunction(each) for each in (function, type(function).__call__))


def takes(function: object, *arguments: object) -> bool:
    """Return True if *function* can be called with *arguments*, or does not tell."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def described_result(function: object, result: object) -> str:
    """Return `<function …> returned …` for a result of the wrong type; a coroutine is closed, and an awaitable named so."""
    if inspect.iscoroutine(result):
        result.close()  # or Python warns that it was never awaited
    is_lost = inspect.isawaitable(result)
    kind = f"an awaitable ({type(result).__name__}), which is never awaited" if is_lost else shown(result)
    return f"{function!r} returned {kind}"
