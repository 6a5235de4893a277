"""
Parsing of account attributes into values of criteria.

A spreadsheet cell is text: `$50,000` is an amount, `Regional Agency` the word
`regional-agency`, `yes` a flag. An invalid attribute (0 agents, a negative value, two
attributes that contradict each other) is reported with its field and counts as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from entitlements.model.conditions import CriterionValue
from entitlements.model.criteria import Criterion, CriterionKind
from entitlements.model.display import fields_in_json, in_words
from entitlements.model.frozen_dict import FrozenDict, TableKey
from entitlements.model.names import shown

_BLANK = "[ \u00a0\u202f]"
_GROUPED = re.compile(rf"(?<![0-9.,])([0-9]{{1,3}})((?:{_BLANK}[0-9]{{3}})+)(?![0-9]|{_BLANK}[0-9])")
"""Thousands that are grouped by blanks; those of French and Swiss programs do not break."""

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
_NUMBER = re.compile(rf"(?P<minus>-)?(?P<digits>{_DIGITS})|\((?P<owed>{_DIGITS})\)")
_CURRENCY = re.compile(r"[$€£¥]|\b[A-Z]{3}\b")
_SIGNS = {
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY CNY",
    "$": "USD AUD BBD BMD BND BSD BZD CAD FJD GYD HKD JMD LRD NAD NZD SBD SGD SRD TTD TWD XCD",
}
"""The currencies that a sign may stand for."""

_IN_HEADING = re.compile(r"(.*?)[\s_-]*[(\[]\s*([A-Za-z]{3})\s*[)\]]\s*")
_CURRENCY_COLUMNS = ("currency", "currency-code", "currency-iso-code", "currencyisocode")
_FLAGS = {**dict.fromkeys(("true", "yes", "y", "1"), True), **dict.fromkeys(("false", "no", "n", "0"), False)}
_LONGEST = 40
_OTHER_NOTATION = str.maketrans(".,", ",.")
_DOTTED = re.compile(
    r"(?<![0-9.,])[1-9][0-9]{0,2}\.[0-9]{3}(?![0-9])"
)  # 50.000: fifty in some countries, fifty thousand in others


@dataclass(frozen=True, slots=True)
class Misfit:
    """
    An invalid attribute.

    Args:
        account: The account's id; None for attributes alone.
        criterion: The criterion that it was read for.
        field: The attribute as the account names it; several are joined with `and`.
        value: Its value.
        problem: The problem.
        cure: The text to write instead.
    """

    account: str | None
    criterion: str
    field: str
    value: object
    problem: str
    cure: str

    def __str__(self) -> str:
        """Return `account: field: problem; cure`."""
        whose = f"account {self.account!r}: " if self.account is not None else ""
        return f"{whose}{self.field}: {self.problem}; {self.cure}"

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`; a value of an unknown type is shown as text."""
        is_plain = isinstance(self.value, str | int | float | bool | Decimal | tuple)
        return fields_in_json(self if is_plain else replace(self, value=shown(self.value)))


def read_attributes(
    criteria: Mapping[str, Criterion],
    attributes: Mapping[str, object],
    account: str | None = None,
    *,
    currency: str | None = None,
) -> tuple[Mapping[str, CriterionValue], tuple[Misfit, ...]]:
    """
    Return the value of each criterion, and the invalid attributes.

    Args:
        criteria: The criteria of the policy.
        attributes: The account's attributes; `annual_value`, `Annual Value` and `annual-value` are one name.
        account: The account's id, for the reports.
        currency: The currency of amounts; an amount in another one is invalid. None accepts any. An
            attribute may name the currency of an amount: `ARR (EUR)`, `ARR Currency`, or `Currency` for all.

    Returns:
        Values by criterion, without unknown ones, and the invalid attributes.
    """
    known: dict[str, CriterionValue] = {}
    misfits: list[Misfit] = []
    for criterion, names in _columns_of(criteria, attributes):
        found: list[tuple[str, object, str | None]] = []
        for name, stated, beside in names:
            raw = attributes[name]
            if _is_blank(raw):
                continue
            is_money = currency is not None and criterion.kind is CriterionKind.AMOUNT
            found.append((name, raw, (stated or _stated_currency(attributes, beside)) if is_money else None))
        value, wrong = _agreed_value(criterion, found, account, currency) if found else (None, ())
        misfits += wrong
        if value is None and not wrong:
            value = criterion.missing
        if value is not None:
            known[criterion.name] = value
    return FrozenDict(known), tuple(misfits)


@lru_cache(maxsize=4096)
def split_heading(name: str) -> tuple[str, str | None]:
    """Return a heading such as `ARR (EUR)` without its currency, and the currency; None if it names none."""
    found = _IN_HEADING.fullmatch(str(name))
    return (found[1], found[2].upper()) if found else (str(name), None)


def is_currency_of(name: str, attributes: Collection[str]) -> bool:
    """Return True if the column *name* holds the currency of one of *attributes*, or of all amounts."""
    own = attribute_name(name)
    return own in _CURRENCY_COLUMNS or (own.endswith("-currency") and own.removesuffix("-currency") in attributes)


class _Columns(NamedTuple):
    """The attributes that hold a criterion: the name of each, the currency in it, and those that may state one."""

    criterion: Criterion
    names: tuple[tuple[str, str | None, tuple[str, ...]], ...]


def _columns_of(criteria: Mapping[str, Criterion], attributes: Mapping[str, object]) -> tuple[_Columns, ...]:
    """Return the attributes of each criterion; all accounts of a file have the same ones."""
    names = tuple(attributes)
    return _shared_columns(TableKey(criteria), names) if isinstance(criteria, FrozenDict) else _find(criteria, names)


@lru_cache(maxsize=256)
def _shared_columns(criteria: TableKey, names: tuple[str, ...]) -> tuple[_Columns, ...]:
    return _find(criteria.table, names)


def _find(criteria: Mapping[str, Criterion], names: tuple[str, ...]) -> tuple[_Columns, ...]:
    named: dict[str, list[str]] = {}
    for name in names:
        named.setdefault(attribute_name(split_heading(name)[0]), []).append(name)

    def with_currencies(name: str) -> tuple[str, str | None, tuple[str, ...]]:
        heading, currency = split_heading(name)
        columns = (f"{attribute_name(heading)}-currency", *_CURRENCY_COLUMNS)
        return name, currency, tuple(each for column in columns for each in named.get(column, ()))

    return tuple(
        _Columns(each, tuple(with_currencies(name) for own in each.attributes for name in named.get(own, ())))
        for each in criteria.values()
    )


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _stated_currency(attributes: Mapping[str, object], columns: tuple[str, ...]) -> str | None:
    """Return the currency that the first column with content states."""
    return next((str(attributes[name]).strip() for name in columns if not _is_blank(attributes[name])), None)


@lru_cache(maxsize=4096)
def attribute_name(name: str) -> str:
    """Return the name of an attribute in the form of criteria: lower case, words joined by `-`."""
    return re.sub(r"[\s_-]+", "-", str(name).strip().lower())


def read_value(criterion: Criterion, raw: object, currency: str | None = None) -> CriterionValue:
    """
    Return *raw* as a value of the criterion.

    Args:
        criterion: The criterion.
        raw: The value in a file or a program.
        currency: The currency of amounts; None accepts any.

    Raises:
        ValueError: With `problem; cure`, for an invalid value.
    """
    if isinstance(raw, str):
        return _read_text(criterion, raw, currency)
    return _read_value(criterion, raw, currency)


@lru_cache(maxsize=65536)
def _read_text(criterion: Criterion, raw: str, currency: str | None) -> CriterionValue:
    """Return the value of a text; many accounts have the same one."""
    return _read_value(criterion, raw, currency)


def _read_value(criterion: Criterion, raw: object, currency: str | None) -> CriterionValue:
    match criterion.kind:
        case CriterionKind.WORD:
            return _word(raw)
        case CriterionKind.FLAG:
            return _flag(raw)
        case _:
            sign = _CURRENCY.search(raw) if isinstance(raw, str) else None
            _check_currency(raw, sign and sign[0], currency)
            return _check_bounds(criterion, _number(criterion, raw))


def _agreed_value(
    criterion: Criterion,
    found: list[tuple[str, object, str | None]],
    account: str | None,
    currency: str | None,
) -> tuple[CriterionValue | None, list[Misfit]]:
    """Return the value that all attributes of a criterion agree on; else None and the invalid attributes."""
    values: list[tuple[str, CriterionValue]] = []
    wrong: list[Misfit] = []
    for name, raw, stated in found:
        try:
            _check_currency(raw, stated, currency)
            values.append((name, read_value(criterion, raw, currency)))
        except ValueError as error:
            problem, _, cure = str(error).partition("; ")
            wrong.append(Misfit(account, criterion.name, name, raw, problem, cure))
    if len(values) > 1 and len({value for _, value in values}) > 1:
        said = ", ".join(f"{name} says {in_words(value)}" for name, value in values)
        fields = " and ".join(name for name, _ in values)
        raws = tuple(raw for _, raw, _ in found)
        wrong.append(Misfit(account, criterion.name, fields, raws, f"two things are said: {said}", "keep one"))
    return (values[0][1] if values and not wrong else None), wrong


def _number(criterion: Criterion, raw: object) -> Decimal | int:
    is_money = criterion.kind is CriterionKind.AMOUNT
    if isinstance(raw, str):
        text = _in_notation(criterion, raw)
        if _DOTTED.search(text):
            cure = f"write 50000, or {_in_notation(criterion, '50.00')}" if is_money else "write 12000, or 12"
            raise ValueError(f"{shown(raw)} may be thousands or thousandths; {cure}")
        number = _parsed_number(text, money=is_money)
    elif isinstance(raw, int | float | Decimal) and not isinstance(raw, bool):
        number = Decimal(str(raw))
    else:
        number = None
    example = f"50000 or {_in_notation(criterion, '50,000')}" if is_money else "12"
    if number is None or not number.is_finite():
        raise ValueError(f"{shown(raw)} is not a number; write one such as {example}")
    if is_money:
        return number
    if number != number.to_integral_value():
        raise ValueError(f"{shown(raw)} is not a whole number; write one such as 12")
    return int(number)


def _in_notation(criterion: Criterion, number: str) -> str:
    """Return a number with a decimal point in the notation of the criterion; and the reverse."""
    return number.translate(_OTHER_NOTATION) if criterion.decimal_comma else number


def _check_currency(raw: object, written: str | None, currency: str | None) -> None:
    """Raise `ValueError` for an amount in another currency; a dollar sign stands for any dollar, and for nothing else."""
    if written and currency and currency not in _SIGNS.get(written, written.upper()).split():
        meant = "dollars" if written == "$" else _SIGNS.get(written, written[:_LONGEST]).split()[0]
        raise ValueError(f"{shown(raw)} is in {meant}, the policy counts in {currency}; convert it")


def _parsed_number(text: str, *, money: bool) -> Decimal | None:
    short = text.strip()
    if len(short) > _LONGEST:
        return None
    plain = _CURRENCY.sub("", short, count=1).strip() if money else short
    if money:
        plain = _GROUPED.sub(lambda group: re.sub(_BLANK, "", group[0]), re.sub(rf"^([-(]){_BLANK}", r"\1", plain))
    found = _NUMBER.fullmatch(plain)
    if found is None:
        return None
    size = Decimal((found["digits"] or found["owed"]).replace(",", ""))
    return -size if found["minus"] or found["owed"] else size


def _check_bounds(criterion: Criterion, value: Decimal | int) -> Decimal | int:
    if criterion.least is not None and value < criterion.least:
        raise ValueError(f"{in_words(value)} is below {in_words(criterion.least)}; correct it, or leave it empty")
    if criterion.most is not None and value > criterion.most:
        raise ValueError(f"{in_words(value)} is above {in_words(criterion.most)}; correct it, or leave it empty")
    return value


def _word(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{shown(raw)} is not a word; write one such as 'local-agency'")
    return attribute_name(raw)


def _flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    value = _FLAGS.get(raw.strip().lower()) if isinstance(raw, str) else None
    if value is None:
        raise ValueError(f"{shown(raw)} is neither yes nor no; write yes or no")
    return value
