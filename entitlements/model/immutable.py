"""Immutable values: the error of a change names the cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import NoReturn, TypeVar

from entitlements.model.names import shown

C = TypeVar("C", bound=type)

COPY = "make a copy: dataclasses.replace(..., {name}=...)"
"""The cure for a value that an application makes."""
FILES = "change the policy's files and load them again"
"""The cure for a part of a policy."""
ANSWER = "it says what was found; ask again for what is so now"
"""The cure for what a verb returned."""


def immutable(cure: str) -> Callable[[C], C]:
    """
    Class decorator for a frozen dataclass: to assign or delete an attribute raises with *cure*.

    Args:
        cure: What to do instead; `{name}` stands for the attribute.
    """

    def refuse_assignment(self: object, name: str, value: object) -> NoReturn:
        what = f"{type(self).__name__}.{name} cannot be changed to {shown(value)}"
        raise FrozenInstanceError(f"{what}; {cure.format(name=name)}")

    def refuse_deletion(self: object, name: str) -> NoReturn:
        raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be deleted; {cure.format(name=name)}")

    def decorate(kind: C) -> C:
        kind.__setattr__ = refuse_assignment  # type: ignore[assignment]
        kind.__delattr__ = refuse_deletion  # type: ignore[assignment]
        return kind

    return decorate
