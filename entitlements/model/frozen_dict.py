"""A dict that cannot be changed, for the mappings of frozen values."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A read-only dict; unlike a mapping proxy, it can be pickled and copied."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[FrozenDict[Any, Any]], tuple[dict[K, V]]]:
        """Pickle the content; the default would set each item."""
        return (FrozenDict, (dict(self),))

    def _refuse(self, *_args: object, **_options: object) -> NoReturn:
        raise TypeError("this mapping is read-only; change a copy: dict(mapping)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


class TableKey(NamedTuple):
    """A frozen table as the key of a cache, compared by identity: all accounts of a tier share its tables."""

    table: FrozenDict[str, Any]

    def __hash__(self) -> int:
        return id(self.table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableKey) and self.table is other.table
