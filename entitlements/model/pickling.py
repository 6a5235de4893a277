"""Objects that belong to one process: the error of pickling or copying them names the cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

C = TypeVar("C", bound=type)


def not_picklable(cure: str) -> Callable[[C], C]:
    """
    Class decorator: to pickle or copy an instance raises `TypeError` with *cure*.

    Args:
        cure: What to do instead.
    """

    def refuse(self: object) -> NoReturn:
        what = f"{type(self).__name__} cannot be pickled or copied: it holds locks and connections of its process"
        raise TypeError(f"{what}; {cure}")

    def decorate(kind: C) -> C:
        kind.__reduce__ = refuse  # type: ignore[method-assign, assignment]
        return kind

    return decorate
