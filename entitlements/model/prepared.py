"""Caches on frozen values: derived once, used again, and never part of equality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entitlements.model.facts import Facts


class Prepared:
    """
    Prepared by `rules/` for one resolved account, and kept as long as its `Entitlements` are.

    `facts` holds what decisions show of each name, `charges` what the charges of the same units share. `version` is the
    version of the account, which its charges carry; None if they are for any.
    """

    __slots__ = ("charges", "facts", "version")

    def __init__(self) -> None:
        self.version: int | None = None
        self.facts: dict[str, Facts] = {}
        self.charges: dict[Any, Any] = {}

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (Prepared, ())


class Memo(dict[Any, Any]):
    """A memo of values derived from a frozen value, at most `LARGEST` of them; it lives as long as that value does."""

    LARGEST = 50_000

    __slots__ = ()

    def __missing__(self, key: Any) -> None:
        """Return None for what is not derived yet; make room where the memo is full."""
        if len(self) >= self.LARGEST:
            self.clear()

    def __reduce__(self) -> tuple[type[Memo], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (Memo, ())


class Derived:
    """
    Derived from a charge by the stores that it passes, and shared by all charges that differ in their numbers only.

    `request` is the networked store's: the bytes that travel. `local` is the outage policy's: the charge of
    this process's part of the rates. `meters` is that policy's too: where each of those rates is counted.
    `takes` is the memory store's: what is taken of which meter, the same for every scope. `unscoped` are those of the
    charge that was made for a scope. To all others they are opaque.
    """

    __slots__ = ("local", "meters", "request", "takes", "unscoped")

    def __init__(self, unscoped: Derived | None = None) -> None:
        self.unscoped = unscoped
        self.request: Any = None
        self.local: Any = None
        self.meters: Any = None
        self.takes: Any = None if unscoped is None else unscoped.takes

    def keep_takes(self, takes: Any) -> None:
        """Keep what is taken, for the charges of other scopes too."""
        self.takes = takes
        if self.unscoped is not None:
            self.unscoped.takes = takes

    def __reduce__(self) -> tuple[type[Derived], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (Derived, ())
