"""Values that many accounts have alike, kept once: after other accounts' calls they are still in the processor's cache."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

V = TypeVar("V")


@lru_cache(maxsize=16_384)
def _kept(value: object) -> object:
    return value


def shared(value: V) -> V:
    """Return a value equal to *value* that all accounts share."""
    return _kept(value)  # type: ignore[return-value]
