"""
Converts a price list into a policy.

- A plan is a tier; its rank is its place in the file. An add-on is an add-on, offered to the plans of `availableFor`.
- A BOOLEAN is a switch, a TEXT a value. A NUMERIC usage limit that is renewable is a quota or, for a period below a
  month that quotas do not have, a rate with a fixed window; any other is an allocation. One that says
  `trackable: false` is a value.
- The value of an add-on's usage limit replaces that of the plan (`sets`), an extension is added (`adds`).
- What is private is not recommended to anyone (`retired`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from entitlements.errors import PolicyError
from entitlements.model.limits import UNLIMITED
from entitlements.model.problem import Severity
from entitlements.policy import Policy
from entitlements.pricing2yaml.document import Item, Offering, PriceList
from entitlements.pricing2yaml.forms import Form, form_of
from entitlements.pricing2yaml.names import policy_names
from entitlements.pricing2yaml.omissions import Omission, OmissionKind

BASE = "base"
"""The tier of a price list that has add-ons alone."""

_READ_BY_LIBRARY = frozenset({
    "sla", "uptime", "health", "kpis", "pricing", "transition", "segment", "conversion-metrics", "trial", "schedule",
    "onboarding", "support-cases", "touchpoints", "activities",
})  # fmt: skip
"""First words of values that the library reads itself."""


@dataclass(frozen=True, slots=True)
class Converted:
    """
    A policy from a price list.

    Args:
        mapping: The policy, in the form of a file.
        omissions: What the price list says and the policy does not.
        forms: The form of each item, by section and name of the price list.
        names: The policy's name of each item, by section and name.
        tiers: The policy's tier of each plan.
        add_ons: The policy's name of each add-on.
    """

    mapping: Mapping[str, Any]
    omissions: tuple[Omission, ...]
    forms: Mapping[tuple[str, str], Form]
    names: Mapping[tuple[str, str], str]
    tiers: Mapping[str, str]
    add_ons: Mapping[str, str]


def convert(prices: PriceList) -> Converted:
    """Return the policy that says what *prices* says."""
    omissions = [*prices.unread]
    converter = _Converter(prices, omissions)
    mapping = converter.policy()
    _drop_contradictions(mapping, omissions, {plain: name for name, plain in converter.add_ons.items()})
    return Converted(mapping, tuple(omissions), converter.forms, converter.names, converter.tiers, converter.add_ons)


class _Converter:
    """Converts one price list; collects what it cannot say."""

    def __init__(self, prices: PriceList, omissions: list[Omission]) -> None:
        self._prices = prices
        self._omissions = omissions
        self._items = {("features", name): item for name, item in prices.features.items()}
        self._items |= {("usageLimits", name): item for name, item in prices.limits.items()}
        self.forms = {key: form_of(prices, key[0], item, omissions) for key, item in self._items.items()}
        read = {name for (_, name), form in self.forms.items() if form.kind == "value"} & _READ_BY_LIBRARY
        features = policy_names(prices.features, read)
        limits = policy_names(prices.limits, {*read, *features.values()})
        self.names = {("features", name): plain for name, plain in features.items()}
        self.names |= {("usageLimits", name): plain for name, plain in limits.items()}
        self._plans = prices.plans or {BASE: Offering(BASE, "")}
        self.tiers = policy_names(self._plans, ("deny", "raise", "unknown_account"))
        self.add_ons = policy_names(prices.add_ons)

    def policy(self) -> dict[str, Any]:
        prices = self._prices
        head = {"version": f"{prices.name} {prices.version}"[:200].strip()}
        if re.fullmatch("[A-Z]{3}", prices.currency):
            head["currency"] = prices.currency
        elif prices.currency:
            self._omit(
                OmissionKind.CURRENCY, "currency", f"{prices.currency!r} is no code of three letters; it is left out"
            )
        for name, item in prices.features.items():
            if item.expression and not _is_plain(item, prices):
                self._omit(
                    OmissionKind.CONDITION, f"features.{name}", f"{item.expression!r}; it is on where the plan says so"
                )
        tiers = {
            self.tiers[plan.name]: self._tier(rank, plan) for rank, plan in enumerate(self._plans.values(), start=1)
        }
        sections = {
            "policy": head,
            "features": {self.names[key]: item.about or item.name for key, item in self._of("switch")},
            "levels": {self.names[key]: ["none", "included"] for key, _ in self._of("never")},
            "limits": {self.names[key]: self._definition(key, item) for key, item in self._of("limit")},
            "tiers": tiers,
            "add_ons": {self.add_ons[each.name]: self._add_on(each) for each in prices.add_ons.values()},
        }
        return {section: entries for section, entries in sections.items() if entries}

    def _of(self, kind: str) -> Iterator[tuple[tuple[str, str], Item]]:
        return ((key, item) for key, item in self._items.items() if self.forms[key].kind == kind)

    def _definition(self, key: tuple[str, str], item: Item) -> dict[str, str]:
        return dict(self.forms[key].definition) | ({"about": item.about} if item.about else {})

    def _tier(self, rank: int, plan: Offering) -> dict[str, Any]:
        given = {("features", name): value for name, value in plan.features.items()}
        given |= {("usageLimits", name): value for name, value in plan.limits.items()}
        self._check_known(given, f"plans.{plan.name}")
        tier: dict[str, Any] = {"rank": rank}
        tier |= {"name": plan.name} if self.tiers[plan.name] != plan.name else {}
        tier |= {"retired": True} if plan.is_private else {}
        features, levels, limits, values = [], {}, {}, {}
        for key, item in self._items.items():
            value, form, name = given.get(key, item.default), self.forms[key], self.names[key]
            if form.kind == "switch" and value is True:
                features.append(name)
            elif form.kind == "never":
                levels[name] = "none"
            elif form.kind == "limit" and value is not None:
                limits[name] = form.size(value)
            elif form.kind == "value" and value is not None:
                values[name] = _written(value)
        pricing = self._pricing(plan)
        values |= {"pricing": pricing} if pricing else {}
        parts = {"features": features, "levels": levels, "limits": limits, "values": values}
        return tier | {part: entries for part, entries in parts.items() if entries}

    def _pricing(self, plan: Offering) -> dict[str, Any]:
        if isinstance(plan.price, str) and "#" in plan.price:
            self._omit(OmissionKind.PRICE, f"plans.{plan.name}.price", f"{plan.price!r}; it is a text")
        found = {"price": plan.price, "per": plan.unit.lstrip("/ ") or None, "annual-price": plan.annual}
        billing = {policy_name: _written(factor) for policy_name, factor in zip(
            policy_names(self._prices.billing).values(), self._prices.billing.values(), strict=True)
            if isinstance(factor, int | Decimal)}  # fmt: skip
        found |= {"billing": billing} if billing and plan.price is not None else {}
        return {key: each for key, each in found.items() if each not in (None, "")}

    def _add_on(self, add_on: Offering) -> dict[str, Any]:
        path = f"addOns.{add_on.name}"
        found: dict[str, Any] = {"about": add_on.about} if add_on.about else {}
        plans = self._known(add_on.available or (), self.tiers, f"{path}.availableFor")
        if add_on.available and not plans:
            self._omit(OmissionKind.RULE, f"{path}.availableFor", "it names no plan; the add-on is offered to none")
        found |= {"retired": True} if add_on.is_private or (add_on.available is not None and not plans) else {}
        found |= {"tiers": plans} if plans else {}
        for word, names in (("requires", add_on.requires), ("excludes", add_on.excludes)):
            others = self._known((each for each in names if each != add_on.name), self.add_ons, f"{path}.{word}")
            found |= {word: others} if others else {}
        found |= self._quantities(add_on, f"{path}.subscriptionConstraints")
        found |= self._contents(add_on, path)
        price = self._price_text(add_on)
        return found | ({"price": price} if price else {})

    def _contents(self, add_on: Offering, path: str) -> dict[str, Any]:
        """Return what an add-on turns on, sets, adds and replaces."""
        given = {("features", name): value for name, value in add_on.features.items()}
        given |= {("usageLimits", name): value for name, value in add_on.limits.items()}
        added = {("usageLimits", name): value for name, value in add_on.adds.items()}
        self._check_known({**given, **added}, path)
        features, limits, values = [], {}, {}
        for key in self._items:
            form, name, at = self.forms[key], self.names[key], f"{path}.{'.'.join(key)}"
            value = given.get(key, added.get(key) if form.kind == "switch" else None)
            if form.kind == "switch" and value is True:
                features.append(name)
            elif value is False and self._had(add_on, key):
                self._omit(OmissionKind.TAKES_AWAY, at, "it takes away what the plan has; the plan's stays")
            elif form.kind == "limit" and value is not None:
                limits[name] = {"sets": form.size(value)}
            elif form.kind == "value" and value is not None:
                values[name] = _written(value)
            if key in added and form.kind == "limit":
                if name in limits:
                    self._omit(OmissionKind.RULE, at, "it sets the limit and adds to it; it sets it")
                else:
                    limits[name] = {"adds": form.size(added[key])}
            elif key in added and form.kind == "value":
                self._omit(OmissionKind.ADDS_TO_VALUE, at, f"{added[key]} more of a value; the plan's stays")
        parts = {"features": features, "limits": limits, "values": values}
        return {part: entries for part, entries in parts.items() if entries}

    def _had(self, add_on: Offering, key: tuple[str, str]) -> bool:
        """Return True if a plan whose accounts can buy an add-on has a switch on."""
        section, name = key
        plans = [each for each in self._plans.values() if add_on.available is None or each.name in add_on.available]
        default = self._items[key].default
        return any(
            (each.features if section == "features" else each.limits).get(name, default) is True for each in plans
        )

    def _quantities(self, add_on: Offering, path: str) -> dict[str, int]:
        written = {
            word: next((add_on.constraints[each] for each in names if each in add_on.constraints), None)
            for word, names in _CONSTRAINTS.items()
        }
        known = {word: value for word, value in written.items() if type(value) is int and value >= 1}
        for word, value in written.items():
            if value is not None and value is not UNLIMITED and word not in known:
                self._omit(OmissionKind.RULE, path, f"{word} is {value!r}, which is no quantity; it is left out")
        step = known.get("step", 1)
        if known.get("at_least", step) % step:
            known["at_least"] = -(-known["at_least"] // step) * step  # the least multiple that can be bought
        if known.get("at_least") == step:
            del known["at_least"]
        return {word: value for word, value in known.items() if (word, value) != ("step", 1)}

    def _price_text(self, add_on: Offering) -> str:
        if isinstance(add_on.price, str) and "#" in add_on.price:
            self._omit(OmissionKind.PRICE, f"addOns.{add_on.name}.price", f"{add_on.price!r}; it is a text")
        if not isinstance(add_on.price, Decimal):
            return add_on.price or ""
        unit = add_on.unit.lstrip("/ ").removeprefix("per ")
        joint = ", " if unit.startswith("one") else " per "
        return f"{add_on.price}{joint}{unit}" if unit else str(add_on.price)

    def _known(self, names: Iterable[str], known: Mapping[str, str], path: str) -> list[str]:
        """Return the policy's names; report those that name nothing."""
        found = []
        for name in names:
            if name in known:
                found.append(known[name])
            else:
                self._omit(OmissionKind.RULE, path, f"{name!r} names nothing; it is left out")
        return found

    def _check_known(self, given: Iterable[tuple[str, str]], path: str) -> None:
        for section, name in given:
            if (section, name) not in self._items:
                self._omit(
                    OmissionKind.VALUE, f"{path}.{section}.{name}", f"there is no {name!r} in {section}; it is left out"
                )

    def _omit(self, kind: OmissionKind, path: str, text: str) -> None:
        self._omissions.append(Omission(kind, path, text))


_CONSTRAINTS = {
    "at_least": ("minQuantity", "min"),
    "at_most": ("maxQuantity", "max"),
    "step": ("quantityStep", "step"),
}
_CLAUSE = re.compile(r"\s*&&\s*")
_OWN = re.compile(r"(?:planContext|pricingContext)\[.features.\]\[.([^'\"\]]+).\]")
_WITHIN = re.compile(
    r"(?:userContext|subscriptionContext)\[.([^'\"\]]+).\]\s*<=?\s*(?:planContext|pricingContext)\[.usageLimits.\]\[.([^'\"\]]+).\]"
)


def _is_plain(item: Item, prices: PriceList) -> bool:
    """Return True if a condition asks only for the feature itself, and for usage within a limit: a charge does both."""
    for clause in _CLAUSE.split(item.expression.strip()):
        own, within = _OWN.fullmatch(clause), _WITHIN.fullmatch(clause)
        if not (own and own[1] == item.name) and not (within and within[1] == within[2] in prices.limits):
            return False
    return True


def _written(value: Any) -> Any:
    """Return a value as a policy has it."""
    if value is UNLIMITED:
        return "unlimited"
    if isinstance(value, list):
        return [_written(each) for each in value]
    return value if isinstance(value, bool | int | Decimal) else " ".join(str(value).split())


def _drop_contradictions(mapping: dict[str, Any], omissions: list[Omission], originals: Mapping[str, str]) -> None:
    """Drop rules of add-ons that contradict each other, one after the other, each with an omission."""
    while found := next(_contradictions(mapping), None):
        name, word, text = found
        omissions.append(Omission(OmissionKind.RULE, f"addOns.{originals[name]}", f"{text}; {word} is left out"))
        del mapping["add_ons"][name][word]


def _contradictions(mapping: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each error of the policy that a rule of an add-on causes: the add-on, the rule and the problem."""
    try:
        Policy.parse(mapping)
    except PolicyError as error:
        for problem in error.problems:
            section, _, rest = problem.path.partition(".")
            name, _, word = rest.partition(".")
            word = word.partition("[")[0]
            is_rule = word in {"requires", "excludes", "at_most", "at_least"} and problem.severity is Severity.ERROR
            if section == "add_ons" and is_rule and word in mapping["add_ons"][name]:
                yield name, word, problem.problem
