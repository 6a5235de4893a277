"""Caches on frozen values: derived once, used again, and never part of equality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.charge import Charge
    from entitlements.model.facts import Facts


class Prepared:
    """
    Prepared by `rules/` for all accounts that share a `Resolution`.

    `facts` holds what decisions show of each name, `charges` what the charges of the same units share: at most *most*
    of them, one for each combination of limits and units.
    """

    __slots__ = ("charges", "facts", "most")

    def __init__(self, most: int = 32) -> None:
        self.facts: dict[str, Facts] = {}
        self.charges: dict[Any, Any] = {}
        self.most = most

    def keep(self, which: object, prepared: Any) -> None:
        """Keep a prepared charge under its units; a full dictionary is cleared."""
        if len(self.charges) >= self.most:
            self.charges.clear()
        self.charges[which] = prepared

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (Prepared, ())


class AccountCharges:
    """
    The charges of one account, kept as long as its `Entitlements` are.

    `made` holds its charge for each prepared one, at most `MOST`. `version` is the version of the account, which its
    charges carry; None if they are for any.
    """

    MOST = 32

    __slots__ = ("made", "version")

    def __init__(self) -> None:
        self.version: int | None = None
        self.made: dict[Any, Charge] = {}

    def keep(self, prepared: Any, charge: Charge) -> None:
        """Keep the charge for a prepared one; a full dictionary is cleared."""
        if len(self.made) >= self.MOST:
            self.made.clear()
        self.made[prepared] = charge

    def __reduce__(self) -> tuple[type[AccountCharges], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (AccountCharges, ())


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
    `takes` is the memory store's: what is taken of which meter. `shared` holds what is the same for all accounts and
    scopes: `takes`, and of `request` the words about the parts. To all others they are opaque.
    """

    __slots__ = ("local", "meters", "request", "shared", "takes")

    def __init__(self, shared: Derived | None = None) -> None:
        self.shared = shared
        self.request: Any = None
        self.local: Any = None
        self.meters: Any = None
        self.takes: Any = None if shared is None else shared.takes

    def keep_takes(self, takes: Any) -> None:
        """Keep what is taken, for the charges of other accounts and scopes too."""
        self.takes = takes
        if self.shared is not None:
            self.shared.takes = takes

    def __reduce__(self) -> tuple[type[Derived], tuple[()]]:
        """Leave the content out: it is derived again."""
        return (Derived, ())


def units_key(what: Mapping[str, int] | str, n: int) -> object:
    """
    Return the key of units; None for units that are not prepared.

    It differs for numbers of other types: True equals 1, and is no number of units.
    """
    if type(n) is not int:
        return None
    if type(what) is str:
        return what if n == 1 else (what, n)
    if type(what) is dict and n == 1:
        return (*what, *what.values(), *map(type, what.values()))
    return None
