"""
Faults of the values that the library reads itself: a value that it cannot read, a key that it does not know.

A reader of values yields its faults from a mapping of dotted keys. The policy reports
them with file and line; a reader refuses entitlements that have one, which an override
can bring in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from entitlements.errors import PolicyError
from entitlements.model.names import shown, similar
from entitlements.model.problem import Problem

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements

_CUTOFF = 0.8
"""The least similarity of a key to a known one for which it is a misspelling, not another key."""

_PERCENT = Decimal(100)
_DIGITS = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")
_NUMERIC = re.compile(r"\s*([0-9]{1,12})(?:([.,])([0-9]{1,12}))?\s*%?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ValueFault:
    """
    One fault.

    Args:
        key: The dotted key of the value.
        problem: The problem, naming the value.
        cure: The text to write instead.
        at: The path below the value: the index of a list's item, and its key.
        is_error: False for a key that nothing reads, and that may be meant for other code.
    """

    key: str
    problem: str
    cure: str
    at: tuple[int | str, ...] = ()
    is_error: bool = True


def require_readable(entitlements: Entitlements, faults: Iterable[ValueFault]) -> None:
    """Raise `PolicyError` for the first error among *faults*, which the entitlements' values have."""
    for fault in faults:
        if fault.is_error:
            path = f"tiers.{entitlements.tier}.values.{fault.key}"
            file = f"policy {entitlements.policy.version}"
            raise PolicyError([Problem(file, 0, path, fault.problem, fault.cure)])


def written_number(value: object) -> Decimal | None:
    """Return a number, also of a text such as `"99.9"`, `95 %` or `0,3`; None for anything ambiguous or else."""
    if isinstance(value, Decimal):
        return value
    found = _NUMERIC.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    whole, separator, fraction = found.groups(default="")
    if separator == "," and len(fraction) == 3 and whole.strip("0"):  # 1,000 is one, or a thousand
        return None
    return Decimal(f"{whole}.{fraction}" if fraction else whole)


def percent_fault(key: str, value: object, example: str, *, at: tuple[int | str, ...] = ()) -> Iterator[ValueFault]:
    """Yield a fault unless *value* is a number of percent, from 0 to 100."""
    yield from number_fault(key, value, example, what="a number of percent", at=at)
    number = written_number(value)
    if number is not None and not 0 <= number <= _PERCENT:
        yield ValueFault(key, f"{number} is not from 0 to 100", f"write a number of percent such as {example}", at)


def number_fault(
    key: str, value: object, example: str, *, what: str = "a number", at: tuple[int | str, ...] = ()
) -> Iterator[ValueFault]:
    """Yield a fault unless *value* is a number; a warning for a text that is read as one."""
    number = written_number(value)
    if number is None:
        yield ValueFault(key, f"{shown(value)} is not {what}", f"write {what} such as {example}", at)
    elif isinstance(value, str) and not _DIGITS.fullmatch(value):
        yield ValueFault(key, f"{shown(value)} is a text, read as {number}", f"write {number}", at, is_error=False)


def text_list_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield a fault unless *value* is a list."""
    if not isinstance(value, tuple):
        yield ValueFault(key, f"{shown(value)} is not a list", "write a list of texts, such as [First, Second]")


def unknown_key(key: str, word: str, known: Iterable[str], what: str) -> ValueFault:
    """Return the fault of *key*, whose *word* is not known: an error if it is close to a known one."""
    words = tuple(known)
    problem = f"{word!r} is no part of {what}, so it is ignored there"
    if close := misspelt(word, words):
        return ValueFault(key, problem, f"did you mean {close!r}?")
    one_of = f"write one of {', '.join(words)}, or " if words else ""
    cure = f"{one_of}move it out of {key.partition('.')[0]!r}"
    return ValueFault(key, problem, cure, is_error=False)


def misspelt(word: str, known: Iterable[str]) -> str | None:
    """Return the known word of which *word* is a misspelling, or None."""
    return similar(word, known, cutoff=_CUTOFF)
