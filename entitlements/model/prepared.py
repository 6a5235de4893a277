"""Caches on frozen values: derived once, used again, and never part of equality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entitlements.model.facts import Facts


class Prepared:
    """
    Prepared by `rules/` for one resolved account, and kept as long as its `Entitlements` are.

    `facts` holds what decisions show of each name. `steps` holds, by limit, the steps that are the same at
    every call. `drafts` holds what the plans of repeated charges share.
    """

    __slots__ = ("drafts", "facts", "steps")

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = {}
        self.steps: dict[str, Any] = {}
        self.drafts: dict[tuple[object, ...], Any] = {}

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (Prepared, ())


class Derived:
    """
    Derived from a charge that is made again and again, by the stores that it passes.

    `request` is the networked store's: the bytes that travel. `local` is the outage policy's: the charge of
    this process's part of the rate. To all others both are opaque.
    """

    __slots__ = ("local", "request")

    def __init__(self) -> None:
        self.request: Any = None
        self.local: Any = None

    def __reduce__(self) -> tuple[type[Derived], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (Derived, ())
