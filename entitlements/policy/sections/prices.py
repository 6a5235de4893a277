"""Check of prices that stand twice in a policy: each pair must say the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from entitlements.model.policy import AddOn
from entitlements.model.tier import Tier
from entitlements.policy.parts import TierPart
from entitlements.policy.vocabulary import BuildContext
from entitlements.rules.prices import ADDITIONAL, add_on_price
from entitlements.tiering.numbers import as_number

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_LEAST = ("pricing.components.platform-fee.minimum", "segment.annual-value.from")
"""Values that say the same as `pricing.annual-minimum`."""


def price_in_words(name: str, tiers: Sequence[Tier]) -> str:
    """Return the prices that tiers have for an add-on: `200 per session on basic, 500 per session on plus`."""
    texts = [(tier.id, text) for tier in tiers if (text := add_on_price(AddOn(name), tier).text)]
    if len({text for _, text in texts}) == 1 and len(texts) == len(tiers):
        return texts[0][1]
    _, of, base = texts[0][1].partition(" of the ") if texts else ("", "", "")
    others = [(id, text.removesuffix(of + base)) for id, text in texts[1:]]
    return ", ".join(f"{text} on {id}" for id, text in [*texts[:1], *others])


def check_prices(context: BuildContext, parts: Mapping[str, TierPart], tiers: Mapping[str, Tier]) -> None:
    """Warn about prices of a tier that differ from the texts of the add-ons, or from each other."""
    for id, tier in tiers.items():
        minimum = as_number(tier.values.get("pricing.annual-minimum"))
        for key in _LEAST:
            other = as_number(tier.values.get(key))
            if minimum is not None and other is not None and other != minimum:
                _warn(context, parts, tier, id, key, f"{other:,} is not pricing.annual-minimum, {minimum:,}")
        for name, add_on in context.document.add_ons.items():
            text = add_on.price or ""
            numbers = {Decimal(found.replace(",", "")) for found in _NUMBER.findall(text)}
            for word in ("price", "percent"):
                key = f"{ADDITIONAL}{name}.{word}"
                price = as_number(tier.values.get(key))
                if price is not None and numbers and price not in numbers:
                    _warn(context, parts, tier, id, key, f"{price:,} is not in the price of the add-on, {text!r}")


def _warn(context: BuildContext, parts: Mapping[str, TierPart], tier: Tier, id: str, key: str, problem: str) -> None:
    path = parts[tier.origins.get(key, id)].paths.get(key)
    if path is not None:
        context.report.warn(path, problem, "write one figure, or leave one of the two out")
