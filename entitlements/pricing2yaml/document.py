"""
Reads a price list into values.

Names of keys follow the format's specification: 1.x has `monthlyPrice` and `annualPrice`, 2.x `price`, `billing` and
`excludes`, 3.x `period`, `trackable` and `subscriptionConstraints`. Prices and amounts are exact decimals; `.inf` is
`UNLIMITED`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from entitlements.errors import EntitlementsError
from entitlements.model.limits import UNLIMITED
from entitlements.model.names import did_you_mean, nearest_or_all, shown
from entitlements.pricing2yaml.omissions import Omission, OmissionKind

MAX_BYTES = 1 << 20
"""Largest file that is read."""


class InvalidPriceList(EntitlementsError, ValueError):
    """A file that is no price list; the message names the file, the place and the cure."""


@dataclass(frozen=True, slots=True)
class Item:
    """
    A feature or a usage limit.

    Args:
        name: Its name in the file.
        about: Its description.
        kind: `BOOLEAN`, `NUMERIC` or `TEXT`.
        default: The value of plans that give none.
        renewal: `RENEWABLE` or `NON_RENEWABLE`; empty for a feature.
        unit: The unit of a usage limit, as written.
        period: The period of a renewable limit: the number and the unit; None if it is not written.
        is_tracked: False for a limit that says that it is not tracked.
        expression: The condition of a feature, or empty.
    """

    name: str
    about: str
    kind: str
    default: Any
    renewal: str = ""
    unit: str = ""
    period: tuple[int, str] | None = None
    is_tracked: bool = True
    expression: str = ""


@dataclass(frozen=True, slots=True)
class Offering:
    """
    A plan or an add-on.

    Args:
        name: Its name in the file.
        about: Its description.
        price: A Decimal, a text, or None.
        annual: The price where it is billed by the year, if the file has both.
        unit: The unit of the price, as written.
        is_private: True if it is not offered to everyone.
        features: Values by feature.
        limits: Values by usage limit.
        adds: Units that an add-on adds, by usage limit.
        available: The plans to which an add-on is offered; None for all.
        requires: The add-ons that it depends on.
        excludes: The add-ons that it excludes.
        constraints: Its least and largest quantity and its step, as far as written.
    """

    name: str
    about: str
    price: Any = None
    annual: Any = None
    unit: str = ""
    is_private: bool = False
    features: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    adds: Mapping[str, Any] = field(default_factory=dict)
    available: tuple[str, ...] | None = None
    requires: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    constraints: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceList:
    """
    A price list.

    Args:
        file: The file it was read from, for messages.
        name: The product.
        version: The version, or the date, that it names.
        currency: As written.
        billing: The factor of each billing period.
        features: By name, in order.
        limits: By name, in order.
        plans: By name, in order.
        add_ons: By name, in order.
        unread: What stands in the file and has no meaning.
    """

    file: str
    name: str
    version: str
    currency: str
    billing: Mapping[str, Any]
    features: Mapping[str, Item]
    limits: Mapping[str, Item]
    plans: Mapping[str, Offering]
    add_ons: Mapping[str, Offering]
    unread: tuple[Omission, ...] = ()


def read_price_list(path: str | os.PathLike[str]) -> PriceList:
    """
    Return the price list in a file.

    Raises:
        InvalidPriceList: For a file that cannot be read, or is none.
    """
    file = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidPriceList(f"{file}: {error.strerror}; name a file that can be read") from None
    if len(data) > MAX_BYTES:
        raise InvalidPriceList(f"{file}: it has more than {MAX_BYTES >> 20} MiB; name a price list")
    loader = YAML(typ="safe", pure=True)
    loader.Constructor = _ExactConstructor
    try:
        return _Reader(file).price_list(loader.load(data))
    except (YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidPriceList):
            raise
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InvalidPriceList(f"{file}{line}: not YAML: {said}; correct what stands there") from None


class _ExactConstructor(SafeConstructor):
    """Numbers with a point as Decimal, infinity as `UNLIMITED`."""

    def construct_exact(self, node: Any) -> Any:
        text = str(self.construct_scalar(node)).replace("_", "").lower()
        if text.lstrip("+") == ".inf":
            return UNLIMITED
        return Decimal(text) if text.lstrip("+-")[1:] != "inf" and "nan" not in text else text


_ExactConstructor.add_constructor("tag:yaml.org,2002:float", _ExactConstructor.construct_exact)


class _Reader:
    """Reads the parts of one file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._unread: list[Omission] = []

    def price_list(self, raw: object) -> PriceList:
        root = self._mapping(raw, "the file")
        missing = next((each for each in ("saasName", "features") if each not in root), None)
        if missing:
            raise self._error("the file", f"it has no {missing}", "name a price list in the Pricing2Yaml format")
        syntax = _text(root.get("syntaxVersion"))
        if syntax and syntax.partition(".")[0] not in {"1", "2", "3"}:
            raise self._error("syntaxVersion", f"{syntax} is not known", "write a price list of 1.x, 2.x or 3.x")
        self._check_keys(root, _ROOT, "")
        plans, add_ons = (self._section(root, section, self._offering) for section in ("plans", "addOns"))
        if not plans and not add_ons:
            raise self._error("plans", "there is no plan and no add-on", "write at least one")
        named = root.get("version") or root.get("createdAt") or _date_of(root) or "1"
        features, limits = (self._section(root, section, self._item) for section in ("features", "usageLimits"))
        return PriceList(
            self._file,
            _text(root.get("saasName")),
            _text(named),
            _text(root.get("currency")),
            self._mapping(root.get("billing"), "billing"),
            features,
            limits,
            plans,
            add_ons,
            tuple(self._unread),
        )

    def _section(self, root: Mapping[str, Any], section: str, read: Any) -> dict[str, Any]:
        entries = self._mapping(root.get(section), section)
        return {str(name): read(str(name), f"{section}.{name}", entry) for name, entry in entries.items()}

    def _item(self, name: str, path: str, raw: object) -> Item:
        entry = self._mapping(raw, path)
        self._check_keys(entry, _ITEM, path)
        period = self._mapping(entry.get("period"), f"{path}.period")
        length, unit = period.get("value", 1), _text(period.get("unit")).upper()
        if unit and type(length) is not int:
            self._omit(
                OmissionKind.PERIOD, f"{path}.period", f"{shown(length)} {unit} is no number of units; a month counts"
            )
        self._check_word(entry, path, "valueType", _KINDS)
        if path.startswith("usageLimits."):
            self._check_word(entry, path, "type", _RENEWALS)
        return Item(
            name,
            _text(entry.get("description")),
            _text(entry.get("valueType")).upper(),
            entry.get("defaultValue"),
            _RENEWALS.get(_text(entry.get("type")).upper(), ""),
            _text(entry.get("unit")),
            (length, unit) if unit and type(length) is int else None,
            self._is_yes(entry, path, "trackable", default=True),
            _text(entry.get("serverExpression") or entry.get("expression")),
        )

    def _offering(self, name: str, path: str, raw: object) -> Offering:
        entry = self._mapping(raw, path)
        self._check_keys(entry, _OFFERING, path)
        available = entry.get("availableFor")
        return Offering(
            name,
            _text(entry.get("description")),
            _price(entry.get("price", entry.get("monthlyPrice"))),
            _price(entry.get("annualPrice")),
            _text(entry.get("unit")),
            self._is_yes(entry, path, "private", default=False),
            self._values(entry, path, "features"),
            self._values(entry, path, "usageLimits"),
            self._values(entry, path, "usageLimitsExtensions"),
            None if available is None else self._names(available, f"{path}.availableFor"),
            self._names(entry.get("dependsOn"), f"{path}.dependsOn"),
            self._names(entry.get("excludes"), f"{path}.excludes"),
            self._mapping(entry.get("subscriptionConstraints"), f"{path}.subscriptionConstraints"),
        )

    def _values(self, entry: Mapping[str, Any], path: str, section: str) -> dict[str, Any]:
        """Return the values that are written below *section*; an entry without one has the default."""
        written = self._mapping(entry.get(section), f"{path}.{section}")
        values = {name: self._mapping(each, f"{path}.{section}.{name}").get("value") for name, each in written.items()}
        return {str(name): value for name, value in values.items() if value is not None}

    def _names(self, raw: object, path: str) -> tuple[str, ...]:
        if raw is None:
            return ()
        if not isinstance(raw, list):
            raise self._error(path, f"{shown(raw)} is no list", "write a list of names")
        return tuple(dict.fromkeys(str(each) for each in raw))

    def _mapping(self, raw: object, path: str) -> Mapping[str, Any]:
        if raw is None:
            return {}
        if not isinstance(raw, Mapping):
            raise self._error(path, f"{shown(raw)} is no mapping", "write keys with values")
        return raw

    def _is_yes(self, entry: Mapping[str, Any], path: str, key: str, *, default: bool) -> bool:
        value = entry.get(key, default)
        if isinstance(value, bool) or value is None:
            return default if value is None else value
        self._omit(
            OmissionKind.VALUE,
            f"{path}.{key}",
            f"{shown(value)} is neither true nor false; {str(default).lower()} counts",
        )
        return default

    def _check_word(self, entry: Mapping[str, Any], path: str, key: str, known: Iterable[str]) -> None:
        word = _text(entry.get(key))
        if word and word.upper() not in known:
            meant = nearest_or_all(word.upper(), known).removeprefix("; ")
            self._omit(OmissionKind.VALUE, f"{path}.{key}", f"{shown(word)} is no {key} of the format: {meant}")

    def _check_keys(self, entry: Mapping[str, Any], known: Iterable[str], path: str) -> None:
        """Report the keys that the format does not have: at the root all of them, elsewhere what is nearly one of it."""
        for key in map(str, entry):
            meant = None if key in known else did_you_mean(key, [each for each in known if each not in _UNREAD])
            if key not in known and (meant or not path):
                text = f"{shown(key)} is no key of the format, and is not read{f'; {meant}' if meant else ''}"
                self._omit(OmissionKind.KEY, f"{path}.{key}".lstrip("."), text)

    def _omit(self, kind: OmissionKind, path: str, text: str) -> None:
        self._unread.append(Omission(kind, path, text))

    def _error(self, path: str, problem: str, cure: str) -> InvalidPriceList:
        return InvalidPriceList(f"{self._file}: {path}: {problem}; {cure}")


_ROOT = (
    "saasName", "syntaxVersion", "version", "createdAt", "year", "month", "day", "url", "description", "currency",
    "hasAnnualPayment", "billing", "tags", "variables", "custom", "features", "usageLimits", "plans", "addOns",
)  # fmt: skip
_ITEM = (
    "description", "valueType", "defaultValue", "expression", "serverExpression", "type", "integrationType",
    "automationType", "paymentType", "pricingUrls", "docUrl", "tag", "render", "unit", "linkedFeatures", "trackable",
    "period",
)  # fmt: skip
_OFFERING = (
    "description", "price", "monthlyPrice", "annualPrice", "unit", "private", "features", "usageLimits",
    "usageLimitsExtensions", "availableFor", "dependsOn", "excludes", "subscriptionConstraints",
)  # fmt: skip
_UNREAD = {
    "integrationType",
    "automationType",
    "paymentType",
    "pricingUrls",
    "docUrl",
    "tag",
    "render",
    "linkedFeatures",
}
"""Keys of items that no policy needs: a misspelt one loses nothing."""
_KINDS = ("BOOLEAN", "NUMERIC", "TEXT")
_RENEWALS = {
    "RENEWABLE": "RENEWABLE",
    "TIME_DRIVEN": "RENEWABLE",  # as the format's own migration to 3.0 reads both
    "NON_RENEWABLE": "NON_RENEWABLE",
    "RESPONSE_DRIVEN": "NON_RENEWABLE",
}


def _price(raw: object) -> object:
    if isinstance(raw, bool) or raw is None:
        return None
    return Decimal(raw) if isinstance(raw, int | Decimal) else _text(raw)


def _text(raw: object) -> str:
    return "" if raw is None else " ".join(str(raw).split())


def _date_of(root: Mapping[str, Any]) -> str:
    """Return the date that 1.0 writes in three keys; empty if it does not."""
    parts = [root.get(part) for part in ("year", "month", "day")]
    return str(date(*parts)) if all(isinstance(part, int) for part in parts) else ""  # type: ignore[arg-type]
