"""
Parsers of quantities: `100 per hour`, `10 GB`, `24 hours`, `unlimited`.

Rates follow the grammar of the `limits` library, with the short units of durations too. All results are exact: whole numbers,
integer microseconds, no floats.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Final, Self

from limits import parse_many

from entitlements.model.instants import DAY, HOUR, MICROSECOND, MINUTE, SECOND
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Allocation, Limit, LimitValue, PeriodLength, Quota, Rate
from entitlements.model.names import MAX_COUNT, MAX_RATE, did_you_mean, shown
from entitlements.policy.errors import InvalidValue

MONTH: Final = 30 * DAY
"""Rates have shorter windows than this; the `limits` library counts a month as 30 days."""

BYTE_UNITS: Final = {"B": 1, "byte": 1, "bytes": 1}
BYTE_UNITS.update({unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB"), start=1)})
BYTE_UNITS.update({unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)})

_MAX_LENGTH = 64  # characters; longer texts are no quantities, and `\s*` is slow on thousands of blanks
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SIZE = re.compile(rf"{_NUMBER} ?([A-Za-z]+)")
_IN_WORDS = re.compile(rf"{_NUMBER}(?: ?(ms|s|min|h|d)| (milliseconds?|seconds?|minutes?|hours?|days?|weeks?))")
_ISO = re.compile(
    r"P(?=.)(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)W)?(?:([0-9]+)D)?"
    r"(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?"
)
DURATION: Final = f"^(?:{_IN_WORDS.pattern}|{_ISO.pattern})$"
"""The pattern of durations, for the JSON Schema."""

_UNITS = {"ms": "milliseconds", "s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
_SHORT_WINDOW = re.compile(r"(?<![A-Za-z])(s|min|h|d)$")
_NO_WINDOW = re.compile(r"(?:/|per)\s*0+\s*[a-z]", re.IGNORECASE)
_WEEKS = re.compile(r"\s*([0-9]{1,10})\s*(?:/|per)\s*(?:([0-9]{1,3})\s*)?weeks?\s*", re.IGNORECASE)
_WINDOW = re.compile(r"\s*([0-9]{1,20})\s*(?:/|per\b)(.*)", re.IGNORECASE)
_SEPARATED = re.compile(r"[0-9]{1,3}(?:[,_'. ][0-9]{3})+(?![0-9])")
_WORDS = {str(word): word for word in (UNLIMITED, NOT_INCLUDED)}
_WINDOWS = (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", SECOND))


class RateSize(int):
    """
    A parsed size of a rate, with its window.

    An account that was read once can so be read again: the window is checked each time.
    """

    window: int

    def __new__(cls, amount: int, window: int) -> Self:
        """Create a size of *amount* units in a *window* of microseconds."""
        size = super().__new__(cls, amount)
        size.window = window
        return size

    def __reduce__(self) -> tuple[type[RateSize], tuple[int, int]]:
        """Keep the window when pickled."""
        return (RateSize, (int(self), self.window))


def parse_rate(text: str) -> tuple[int, int]:
    """
    Return the units and the window (microseconds) of a rate such as `5 per 2 minutes` or `5 per 2 min`.

    Raises:
        ValueError: For a text that is not one rate, a window of 0, a window of a month or
            longer, and more than 2^32-1 units.
    """
    if found := _SEPARATED.match(text):
        number = re.sub("[^0-9]", "", found[0])
        raise InvalidValue(f"{shown(text)} has separators in its number", f"write '{number}{text[found.end() :][:20]}'")
    try:
        words = _SHORT_WINDOW.sub(lambda short: _UNITS[short[0]], text)
        items = parse_many(words) if len(text) <= _MAX_LENGTH else []
    except ValueError:
        items = []
    if len(items) != 1 or _NO_WINDOW.search(text):
        raise _not_a_rate(text)
    amount, window = items[0].amount, items[0].get_expiry() * SECOND
    if window >= MONTH:
        cure = "write a quota: kind: quota, its period, such as period: month, and the number alone"
        raise InvalidValue(f"{shown(text)} spans a month or more, and a rate less", cure)
    if amount > MAX_RATE:
        raise InvalidValue(f"{shown(text)} is above the largest rate, {MAX_RATE}", "write less, or unlimited")
    return amount, window


def parse_size(text: str) -> int:
    """
    Return the bytes of a size such as `10 GB` (10^9), `0.5 GB` or `512 KiB` (2^10).

    Raises:
        ValueError: For any other text, a fraction of a byte, and more than 2^53-1 bytes.
    """
    found = _SIZE.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None or found[2] not in BYTE_UNITS:
        units = ", ".join(unit for unit in BYTE_UNITS if unit != "byte")
        raise InvalidValue(f"{shown(text)} is not a size", f"write a number and one of {units}, such as '100 GB'")
    size = Fraction(found[1]) * BYTE_UNITS[found[2]]
    if 0 < size < 1:
        raise InvalidValue(f"{shown(text)} is less than a byte", "write a whole number of bytes, such as 1 B")
    if size.denominator != 1:
        raise InvalidValue(f"{shown(text)} is not a whole number of bytes", f"write {round(size)} B")
    return _checked_count(int(size), text)


def is_size(text: str) -> bool:
    """Return True if *text* has the form of a size: a number and letters."""
    return _SIZE.fullmatch(text) is not None


def parse_duration(text: str) -> timedelta:
    """
    Return the duration in *text*: `14 days`, `1.5 hours`, `50 ms`, `2h`, `P14D`, `PT2H30M`.

    Raises:
        ValueError: For any other text, for a fraction of a microsecond, and for ISO months and years, which have
            no fixed length.
    """
    short = text if len(text) <= _MAX_LENGTH else ""
    if found := _IN_WORDS.fullmatch(short):
        unit = _UNITS[found[2]] if found[2] else found[3].rstrip("s") + "s"
        length = Fraction(found[1]) * (timedelta(**{unit: 1}) // MICROSECOND)
        if length.denominator != 1:
            raise InvalidValue(f"{shown(text)} is not a whole number of microseconds", "write fewer decimals")
        return _timedelta(text, microseconds=int(length))
    if not (found := _ISO.fullmatch(short)):
        cure = "write one such as '14 days', '30 minutes', '50 ms' or 'PT2H'"
        raise InvalidValue(f"{shown(text)} is not a duration", cure)
    years, months, *fixed = (int(number or 0) for number in found.groups())
    if years or months:
        raise InvalidValue(f"{text!r} has months or years, which have no fixed length", "write days, such as '30 days'")
    return _timedelta(text, **dict(zip(("weeks", "days", "hours", "minutes", "seconds"), fixed, strict=True)))


def is_duration(text: str) -> bool:
    """Return True if *text* has the form of a duration, even one too long for a timedelta."""
    return bool(_IN_WORDS.fullmatch(text) or _ISO.fullmatch(text))


def read_limit(definition: Limit, raw: object) -> LimitValue:
    """
    Return the size of a limit from its written form *raw*.

    Args:
        definition: The limit; the window of a rate must equal its window.
        raw: An int, `UNLIMITED`, `NOT_INCLUDED`, one of their words, a rate as text, or a
            size as text if the unit is `byte`.

    Raises:
        ValueError: For any other value, with the value and its cure.
    """
    size, window = read_size(definition, raw)
    if isinstance(definition, Rate) and window not in {None, definition.window}:
        if not definition.window:
            cure = "write unlimited or 0, or give the limit to a tier"
            raise InvalidValue(f"{shown(raw)} names a window, and the policy names none for {definition.name}", cure)
        every = window_in_words(definition.window)
        cure = f"write it per {every}"
        raise InvalidValue(f"{shown(raw)} does not count per {every} as {definition.name} does", cure)
    return size


def read_size(definition: Limit, raw: object) -> tuple[LimitValue, int | None]:
    """Return the size in *raw*, and its window or None; the window is not checked."""
    if isinstance(raw, str):
        word = _WORDS.get(str(raw))
        return (word, None) if word is not None else _from_text(definition, str(raw))
    if isinstance(raw, RateSize) and isinstance(definition, Rate):
        return int(raw), raw.window
    if raw is None:
        raise InvalidValue("nothing is written", "write a size, unlimited or not-included")
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise InvalidValue(f"{shown(raw)} is not a whole number", f"write {_example(definition)}")
    return _from_int(definition, int(raw)), None


def window_in_words(window: int) -> str:
    """Return a window of microseconds in words: `hour`, `2 minutes`."""
    unit, length = next((unit, length) for unit, length in _WINDOWS if window % length == 0 or length == SECOND)
    return unit if window == length else f"{window // length} {unit}s"


def _not_a_rate(text: str) -> InvalidValue:
    if text.strip().isdecimal():
        return InvalidValue(f"{shown(text)} names no window", f"write '{text.strip()[:20]} per hour'")
    if found := _WEEKS.fullmatch(text):
        amount, weeks = int(found[1]), int(found[2] or 1)
        return InvalidValue(f"{shown(text)} counts in weeks", f"write '{amount} per {7 * weeks} days'")
    if found := _WINDOW.fullmatch(text):
        return _not_a_window(text, int(found[1]), found[2].strip())
    cure = "write a whole number and a window of seconds, minutes, hours or days: '100 per hour', '5 per 2 minutes'"
    return InvalidValue(f"{shown(text)} is not a rate", cure)


def _not_a_window(text: str, amount: int, window: str) -> InvalidValue:
    """Return the error of a rate whose number is fine: its window is missing, a fraction, below a second, or unknown."""
    problem = f"{shown(text)} is not a rate"
    if not window:
        return InvalidValue(f"{shown(text)} names no window", f"write '{amount} per hour'")
    if not _IN_WORDS.fullmatch(window):
        word = window.lstrip("0123456789. ").lower()
        days = {"fortnight": 14, "fortnights": 14, "night": 1, "daily": 1}.get(word)
        if days is not None:
            return InvalidValue(problem, f"write '{amount} per {f'{days} days' if days > 1 else 'day'}'")
        meant = did_you_mean(word, [f"{name}{s}" for s in ("", "s") for name, _ in _WINDOWS])
        return InvalidValue(f"{problem}: {shown(window)} is no window", meant or "write second, minute, hour or day")
    length = parse_duration(window) // MICROSECOND
    if length < SECOND:
        return InvalidValue(
            f"{problem}: the shortest window is a second", f"write '{amount} per second', or per a longer one"
        )
    if length % SECOND:
        return InvalidValue(
            f"{problem}: a window is whole seconds", f"write '{amount} per {-(-length // SECOND)} seconds'"
        )
    return InvalidValue(
        f"{problem}: a window is a whole number of its unit", f"write '{amount} per {window_in_words(length)}'"
    )


def _timedelta(text: str, **parts: int) -> timedelta:
    try:
        return timedelta(**parts)
    except OverflowError:
        raise InvalidValue(f"{shown(text)} is longer than can be kept", "write a shorter duration") from None


def _from_text(definition: Limit, text: str) -> tuple[LimitValue, int | None]:
    if isinstance(definition, Rate):
        return parse_rate(text)
    if len(text) <= _MAX_LENGTH and re.fullmatch("[0-9]+", text):
        return _checked_count(int(text), text), None
    if _SEPARATED.fullmatch(text):
        raise InvalidValue(f"{text!r} has separators in it", f"write {re.sub('[^0-9]', '', text)}")
    if definition.unit == "byte":
        return parse_size(text), None
    raise _not_a_size(definition, text)


def _from_int(definition: Limit, number: int) -> int:
    if number < 0:
        raise InvalidValue(f"{shown(number)} is negative", "write unlimited, 0 or not-included")
    if number and isinstance(definition, Rate):
        every = window_in_words(definition.window or HOUR)
        raise InvalidValue(f"{shown(number)} names no window", f"write '{shown(number)} per {every}'")
    return _checked_count(number, number)


def _checked_count(number: int, written: object) -> int:
    if number > MAX_COUNT:
        raise InvalidValue(f"{shown(written)} is above the largest count, 2^53-1", "write less, or unlimited")
    return number


def _not_a_size(definition: Quota | Allocation, text: str) -> InvalidValue:
    size = _SIZE.fullmatch(text)
    if size and size[2] in BYTE_UNITS:
        cure = did_you_mean(definition.unit, ["byte"]) or "write a whole number, or let the limit say unit: byte"
        return InvalidValue(
            f"{shown(text)} is a size in bytes, and {definition.name} has unit {definition.unit!r}", cure
        )
    if re.match(r"\s*[0-9]+\s*(/|per)", text[:_MAX_LENGTH]):
        kind = "an allocation, held until released"
        if isinstance(definition, Quota):
            is_once = definition.period == PeriodLength.LIFETIME
            kind = "a quota for a lifetime" if is_once else f"a quota, counted per {definition.period}"
        return InvalidValue(f"{shown(text)} names a window, and {definition.name} is {kind}", "write the number alone")
    return InvalidValue(f"{shown(text)} is not a size", did_you_mean(text, _WORDS) or f"write {_example(definition)}")


def _example(definition: Limit) -> str:
    if isinstance(definition, Rate):
        return f"a rate such as '100 per {window_in_words(definition.window or HOUR)}', unlimited or not-included"
    size = ", a size such as '100 GB'" if definition.unit == "byte" else ""
    return f"a whole number such as 100{size}, unlimited or not-included"
