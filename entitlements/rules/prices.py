"""
Prices that stand in a policy: of a tier below `pricing`, of an add-on below `pricing.additional.<add-on>`.

A price is `price` with `per` (year, quarter, month, or a unit such as `user/month`) and `plus`, or a `percent` of
another amount. The price of a tier without `price` is its `pricing.annual-minimum`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from entitlements.model.display import in_words
from entitlements.model.policy import AddOn
from entitlements.model.tier import Tier, Value

ADDITIONAL = "pricing.additional."
TIMES_A_YEAR = {"year": 1, "quarter": 4, "month": 12}
"""The number of times that a price per period is due in a year."""

_WRITTEN = re.compile(r"([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)(?: per (.*))?")
_UNIT = re.compile(r"[^a-z]+")


class Price(NamedTuple):
    """A price: its text, and the amount of a year for comparisons; None if that is not known."""

    text: str
    yearly: Decimal | None = None


NO_PRICE = Price("")


def tier_price(tier: Tier) -> Price:
    """Return the price of a tier."""
    found = _price(tier.values, "pricing.")
    least = tier.values.get("pricing.annual-minimum")
    if found is NO_PRICE and isinstance(least, Decimal):
        return Price(f"{in_words(least)} per year", least)
    return found


def add_on_price(add_on: AddOn, tier: Tier) -> Price:
    """Return the price of one unit of an add-on for accounts of *tier*."""
    found = _price(tier.values, f"{ADDITIONAL}{add_on.name}.")
    if found is not NO_PRICE or not add_on.price:
        return found
    written = _WRITTEN.fullmatch(add_on.price)
    amount = Decimal(written[1].replace(",", "")) if written else None
    return Price(add_on.price, _of_year(amount, written[2] if written else None))


def _price(values: Mapping[str, Value], node: str) -> Price:
    """Return the price that is written below *node*."""
    price, percent = values.get(f"{node}price"), values.get(f"{node}percent")
    per, plus, of = (values.get(f"{node}{word}") for word in ("per", "plus", "of"))
    if isinstance(price, Decimal):
        unit = f" per {per}" if per else ""
        return Price(f"{price}{unit}{f', plus {plus}' if plus else ''}", _of_year(price, per))
    if isinstance(price, str):
        return Price(price)
    return Price(f"{percent} %{f' of the {of}' if of else ''}") if isinstance(percent, Decimal) else NO_PRICE


def _of_year(amount: Decimal | None, per: object) -> Decimal | None:
    """Return the amount of a year; the amount itself if it is due once, or for another unit."""
    last = _UNIT.split(per)[-1] if isinstance(per, str) else ""
    return None if amount is None else amount * TIMES_A_YEAR.get(last, 1)
