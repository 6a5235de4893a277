"""
Parsers for the cells of an account's row.

Items are separated by semicolons or line breaks; notes on an item follow it in
parentheses. Nothing is guessed: a cell that cannot be read is an error with a cure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from entitlements.errors import AccountError
from entitlements.model.account import AccountStatus, Change, Grant, Override
from entitlements.model.calendars import Anchor
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
from entitlements.model.names import shown
from entitlements.policy.errors import InvalidValue
from entitlements.policy.quantities import is_duration, is_size, parse_duration, parse_size
from entitlements.policy.time_zones import find_zone
from entitlements.policy.yaml.scalars import typed_scalar

_MOMENT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r" ?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_COUNT = re.compile(r"[0-9]{1,16}")
_GROUPED = re.compile(r"[0-9]{1,3}(?:[,_'][0-9]{3})+(?![0-9])")
_TOKEN = re.compile(r'"(?:[^"]|"")*"|[^"();\r\n]+|["();\r\n]')
_KEYWORD = re.compile(r"(from|until|by)\s+(.*)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_OVERAGE = re.compile(r"\{\s*included:([^,{}]+),\s*overage:([^,{}]+)\}")
_PARTS = re.compile("([^+=:]*)([+=:]?)(.*)", re.DOTALL)
_WORDS = {str(word): word for word in (UNLIMITED, NOT_INCLUDED)}

T = TypeVar("T")


class Notes(NamedTuple):
    """The notes in the parentheses behind an item."""

    reason: str = ""
    author: str = ""
    starts: datetime | None = None
    expires: datetime | None = None


def read_moment(text: str) -> datetime:
    """
    Return an instant: `2026-03-01` is 00:00 UTC; a time without an offset is UTC.

    Raises:
        InvalidValue: For anything but an ISO 8601 date, or date and time, that exists.
    """
    cure = "write a date such as 2026-03-01, or a time such as 2026-03-01T09:30:00Z"
    found = _MOMENT.fullmatch(text)
    if not found:
        raise InvalidValue(f"{shown(text)} is not a date", cure)
    try:
        moment = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00'}{found['offset'] or 'Z'}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidValue(f"{shown(text)} does not exist ({error})", cure) from None


def read_anchor(text: str) -> Anchor:
    """Return the day of the month on which quota periods begin, or the instant at which one began."""
    if _MOMENT.fullmatch(text):
        return read_moment(text)
    if not 1 <= _count(text) <= 31:
        cure = "write 1 to 31, an instant such as 2026-01-31T12:30:00Z, or leave the cell empty"
        raise InvalidValue(f"{shown(text)} is not a day of the month", cure)
    return int(text)


def read_time_zone(text: str) -> str:
    """Return the IANA name of a time zone."""
    find_zone(text)
    return text


def read_status(text: str) -> AccountStatus:
    """Return `active` or `suspended`, in any case."""
    try:
        return AccountStatus(text.lower())
    except ValueError:
        raise InvalidValue(f"{shown(text)} is not a status", "write active or suspended") from None


def read_add_ons(text: str) -> dict[str, int]:
    """Return quantities by name: `phone-support; custom-reports=3`."""
    add_ons: dict[str, int] = {}

    def read(item: str, notes: str | None) -> None:
        name, equals, quantity = (part.strip() for part in item.partition("="))
        if notes is not None:
            raise InvalidValue(f"add-on {name!r} has notes in parentheses", "leave them out")
        if equals and not _count(quantity):
            raise InvalidValue(f"quantity {shown(quantity)} of add-on {name!r} is not a count", f"write {name}=2")
        if name in add_ons:
            raise InvalidValue(f"add-on {name!r} stands twice", f"write it once, with its quantity: {name}=2")
        add_ons[name] = _count(quantity) if equals else 1

    _each(text, read)
    return add_ons


def read_overrides(text: str, origin: str) -> tuple[Override, ...]:
    """
    Return overrides: `leads=8000 (renewal promise, by Ann, until 2026-12-31); sso=true`.

    Args:
        text: The cell.
        origin: The reason of an override that gives none, such as `from a.csv, line 2`.
    """
    return _each(text, lambda item, notes: _override(item, _notes(notes or ""), origin))


def read_grants(text: str) -> tuple[Grant, ...]:
    """Return grants: `leads+500 (goodwill, until 2026-12-31); agents+2`."""
    return _each(text, lambda item, notes: _grant(item, _notes(notes or "")))


def read_changes(text: str) -> tuple[Change, ...]:
    """Return scheduled changes of tier: `mid-market at 2026-04-01`."""
    return _each(text, _change)


def read_value(text: str) -> object:
    """
    Return a value; its type follows from its spelling as in a policy, and in quotes it is a text.

    `true` and `false`, numbers, durations, `unlimited` and `not-included` become values.
    `{included: 5000, overage: allow}` is a size with overage. Anything else stays a str
    (`standard`, `20000 per hour`, `100 GB`); the policy reads it where it is applied.
    """
    if text.startswith('"'):
        return _unquoted(text)
    if found := _OVERAGE.fullmatch(text):
        return {"included": read_value(found[1].strip()), "overage": read_value(found[2].strip())}
    if not text or text[0] in "[{":
        raise InvalidValue(f"value {shown(text)} cannot be written here", "write one value; quote it if it is a text")
    if found := _GROUPED.match(text):
        digits = re.sub("[^0-9]", "", found[0])
        raise InvalidValue(f"value {shown(text)} groups its digits", f"write {digits}; quote it if it is a text")
    if text in _WORDS:
        return _WORDS[text]
    if is_duration(text):
        return parse_duration(text)
    value = typed_scalar(text)
    if value is None:
        raise InvalidValue(f"value {shown(text)} says nothing", "write not-included; quote it if it is a text")
    return value


def _override(item: str, notes: Notes, origin: str) -> Override:
    name, sign, value = (part.strip() for part in _PARTS.findall(item)[0])
    if sign != "=":
        raise InvalidValue(f"override {shown(item)} has no value", f"write {name or 'name'}=value")
    return Override(
        name,
        read_value(value),
        reason=notes.reason or origin,
        author=notes.author or "csv",
        starts=notes.starts,
        expires=notes.expires,
    )


def _grant(item: str, notes: Notes) -> Grant:
    name, sign, amount = (part.strip() for part in _PARTS.findall(item)[0])
    units = parse_size(amount) if is_size(amount) else _count(amount)
    if not units or sign != "+":
        cure = f"write {name or 'leads'}+{amount if units else 500}"
        raise InvalidValue(f"grant {shown(item)} is not a limit and a count", cure)
    reason = ", ".join(filter(None, (notes.reason, notes.author and f"by {notes.author}")))
    return Grant(name, units, starts=notes.starts, expires=notes.expires, reason=reason)


def _change(item: str, notes: str | None) -> Change:
    tier, at, moment = (part.strip() for part in item.rpartition(" at "))
    if not at or not tier or notes is not None:
        raise InvalidValue(f"change {shown(item)} is not a tier and a date", "write mid-market at 2026-04-01")
    return Change(tier, at=read_moment(moment))


def _each(text: str, read: Callable[[str, str | None], T]) -> tuple[T, ...]:
    """
    Return the items of a cell, each read from its text and its notes.

    Raises:
        InvalidValue, AccountError: For an item that cannot be read.
        ExceptionGroup: For several.
    """
    found: list[T] = []
    errors: list[ValueError] = []
    for item, notes in _items(text):
        try:
            found.append(read(item, notes))
        except (InvalidValue, AccountError) as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else ExceptionGroup("items that cannot be read", errors)
    return tuple(found)


def _count(text: str) -> int:
    """Return the count in *text*, or 0 if it is none."""
    return int(text) if _COUNT.fullmatch(text) else 0


def _items(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield the items of a cell, each with the text of its parentheses, or None."""
    item, depth, notes = "", 0, None
    for token in [*_TOKEN.findall(text), ";"]:
        if depth:
            depth += (token == "(") - (token == ")")
            notes = f"{notes}{token if depth else ''}"
        elif token in ";\n\r":
            if item.strip() or notes is not None:
                yield _checked_item(item), notes
            item, notes = "", None
        elif token == "(" and notes is None:
            depth, notes = 1, ""
        elif notes is not None and token.strip():
            raise InvalidValue(
                f"{shown(token)} follows the parentheses of {shown(item.strip())}", "separate items by ;"
            )
        else:
            item += token
    if depth:
        raise InvalidValue(f"a parenthesis behind {shown(item.strip())} is not closed", "write ) at its end")


def _checked_item(item: str) -> str:
    """Return an item without the blanks around it, if its quotes and parentheses are balanced."""
    plain = _QUOTED.sub("", item)
    if '"' in plain:
        raise InvalidValue(f"a quote in {shown(item.strip())} is not closed", 'write " at its end')
    if ")" in plain:
        raise InvalidValue(
            f"a parenthesis in {shown(item.strip())} is not opened", 'quote the value ("…") if it is a text'
        )
    if not item.strip():
        raise InvalidValue("parentheses stand behind nothing", "write what they are about before them")
    return item.strip()


def _notes(text: str) -> Notes:
    """Parse `reason, by author, from date, until date`, in any order; a reason may hold commas."""
    reasons: list[str] = []
    keywords: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        keyword = _KEYWORD.fullmatch(part)
        if keyword is None:
            reasons.append(part)
        elif keyword[1].lower() in keywords:
            raise InvalidValue(f"{keyword[1]!r} stands twice in ({text})", "write it once")
        else:
            keywords[keyword[1].lower()] = keyword[2]
    moments = {word: read_moment(keywords[word]) for word in ("from", "until") if word in keywords}
    return Notes(", ".join(reasons), keywords.get("by", ""), moments.get("from"), moments.get("until"))


def _unquoted(text: str) -> str:
    """Return the text between quotes; a doubled quote inside is one quote."""
    if not _QUOTED.fullmatch(text):
        raise InvalidValue(f"value {shown(text)} goes on behind its quote", 'double the quotes inside ("")')
    return text[1:-1].replace('""', '"')
