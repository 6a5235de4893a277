"""
Quotes: the price of add-ons, services and another tier for one account, and what they change.

Prices stand in the policy below `pricing`: `pricing.additional.<add-on>` of the tier, as an
amount `per` a unit or a percentage of the annual fee, and `pricing.components.platform-fee`.
The fee is what the account pays, by the binding criterion of the assignment; after a move at
least the minimum of the new tier. A price per year, quarter or month recurs, any other is
due once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from entitlements.model.account import Account
from entitlements.model.display import attributes_in_json, in_words
from entitlements.model.names import check_count, nearest_or_all
from entitlements.model.policy import NO_LEVEL, AddOn, PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.model.tier import Tier, Value
from entitlements.rules.add_ons import rule_problems
from entitlements.rules.prices import ADDITIONAL, TIMES_A_YEAR
from entitlements.rules.resolve import resolve
from entitlements.tiering.criterion_values import read_attributes
from entitlements.tiering.differences import Difference, of_entitlements
from entitlements.tiering.numbers import as_number
from entitlements.tiering.preview import NO_SERVICES, own_tier
from entitlements.tiering.services import value_of

SERVICE = "service."
"""The begin of the name of a service of the catalogue: `service.training`."""

_CENT = Decimal("0.01")


class Recurrent(StrEnum):
    """The frequency of an amount: each year, or once."""

    YEARLY = "yearly"
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """
    One line of a quote.

    Args:
        item: The add-on, the service, or the component of the tier's price.
        about: A text for people.
        quantity: The number bought.
        price: The price of one unit; None if it is a percentage, included or agreed on.
        per: The unit of the price, such as `session`; None without one.
        percent: The percentage of the annual fee; None if the price is an amount.
        due: The frequency of the amount.
        amount: The amount of the line; None if it is not known or agreed on later.
        note: A remark, such as `plus expenses`.
    """

    item: str
    about: str
    quantity: int
    price: Decimal | None
    per: str | None
    percent: Decimal | None
    due: Recurrent
    amount: Decimal | None
    note: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        names = ("item", "about", "quantity", "price", "per", "percent", "due", "amount", "note")
        return attributes_in_json(self, names)


@dataclass(frozen=True, slots=True)
class Quote:
    """
    A quote for one account.

    Args:
        account: The account's id.
        tier: Its own tier.
        to: The tier of the quote.
        currency: The currency of all amounts.
        pays: The amount that the account pays in a year; None if not known.
        fee: The annual fee after the quote, of which percentages are taken; None if not known.
        lines: The lines, in the order of the request; those of a move come first.
        yearly: The sum of the known yearly amounts.
        once: The sum of the known amounts that are due once.
        unknown: The lines without an amount, one sentence each.
        notes: What the account has and the tier does not offer, one sentence each.
        changes: The features, limits and values that change.
    """

    account: str
    tier: str
    to: str
    currency: str
    pays: Decimal | None
    fee: Decimal | None
    lines: tuple[QuoteLine, ...]
    yearly: Decimal
    once: Decimal
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    changes: tuple[Difference, ...]

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        names = (
            "account",
            "tier",
            "to",
            "currency",
            "pays",
            "fee",
            "lines",
            "yearly",
            "once",
            "unknown",
            "notes",
            "changes",
        )
        return attributes_in_json(self, names)


def quote(policy: PolicyData, account: Account, items: Mapping[str, int], *, now: int, to: str | None = None) -> Quote:
    """
    Return a quote for add-ons, services and a move of *account*.

    Args:
        policy: The policy in force.
        account: The account, read under the policy.
        items: The quantity of each add-on, and of each service as `service.<id>`: deliveries in a year.
        now: The application's clock, in microseconds.
        to: The tier to move to, by its id or alias; by default the account's own.

    Raises:
        ValueError: For an unknown or retired item or tier, a quantity below 1, or add-ons that break a rule of theirs.
        UnknownAccount: For an account with an unknown tier.
    """
    own = own_tier(policy, account, now)
    tier = own if to is None else _target(policy, to, own)
    add_ons = {name: check_count(count, f"quantity of {name}") for name, count in items.items()}
    bought = {name: count for name, count in add_ons.items() if not name.startswith(SERVICE)}
    _check_known(policy, bought, account)
    before = resolve(policy, replace(account, trial=None), now)
    totals = {name: account.add_ons.get(name, 0) + bought.get(name, 0) for name in {**account.add_ons, **bought}}
    kept = {name: count for name, count in totals.items() if policy.add_ons[name].offered_to(tier.id)}
    if broken := list(rule_problems(policy, kept)):
        raise ValueError("; also: ".join(broken))
    after = resolve(policy, replace(account, tier=tier.id, trial=None, changes=(), add_ons=kept), now)
    values, pays = resolution_of(after).values, _paid(policy, account)
    least = as_number(values.get("pricing.annual-minimum"))
    fee = pays if tier.id == own.id or pays is None or least is None else max(pays, least)
    lines = [
        *(_moved(values, pays, fee) if tier.id != own.id else ()),
        *(_line(policy, tier, values, name, count, fee) for name, count in add_ons.items()),
    ]
    return Quote(
        account.id,
        own.id,
        tier.id,
        policy.currency,
        pays,
        fee,
        tuple(lines),
        _sum(lines, Recurrent.YEARLY),
        _sum(lines, Recurrent.ONCE),
        tuple(_unknown(lines)),
        tuple(f"{name}: {_absence(policy, tier, name)}" for name in account.add_ons if name not in kept),
        tuple(each for each in of_entitlements(before, after) if each.name.partition(".")[0] not in NO_SERVICES),
    )


def _target(policy: PolicyData, name: str, own: Tier) -> Tier:
    tier = policy.tier(name)
    if tier is None or not (tier.is_sold or tier is own):
        problem = "is not sold any more" if tier else f"is no tier of policy {policy.version}"
        problem = "is a trial plan" if tier and tier.trial else problem
        raise ValueError(
            f"{name!r} {problem}{nearest_or_all(name, [t.id for t in policy.tiers.values() if t.is_sold])}"
        )
    return tier


def _check_known(policy: PolicyData, bought: Mapping[str, int], account: Account) -> None:
    for name in bought:
        if name not in policy.add_ons:
            known = [
                *policy.add_ons,
                *(f"{SERVICE}{id}" for id in (policy.services.catalogue if policy.services else ())),
            ]
            raise ValueError(f"{name!r} is nothing that policy {policy.version} sells{nearest_or_all(name, known)}")
        if policy.add_ons[name].retired and name not in account.add_ons:
            raise ValueError(f"{name!r} is not sold any more; only accounts that have it keep it")


def _paid(policy: PolicyData, account: Account) -> Decimal | None:
    rules = policy.assignment
    if rules is None:
        return None
    known, _ = read_attributes(rules.criteria, account.attributes, account.id, currency=policy.currency)
    return as_number(known.get(rules.binding))


def _moved(values: Mapping[str, Value], pays: Decimal | None, fee: Decimal | None) -> Iterator[QuoteLine]:
    """Yield the difference of the annual fee, and the components that the new tier's price includes."""
    note = "" if pays is None or fee is None else f"{in_words(fee)} a year instead of {in_words(pays)}"
    more = None if fee is None or pays is None else fee - pays
    yield QuoteLine("platform-fee", "Annual fee of the tier", 1, fee, "year", None, Recurrent.YEARLY, more, note)
    for key, minimum in values.items():
        name = key.removeprefix(_COMPONENTS).removesuffix(".minimum")
        if key.startswith(_COMPONENTS) and key.endswith(".minimum") and name != "platform-fee":
            amount = as_number(minimum)
            amount = Decimal(0) if amount is None and minimum != "quote" else amount
            yield QuoteLine(
                name, name.replace("-", " "), 1, None, None, None, Recurrent.ONCE, amount, in_words(minimum)
            )


_COMPONENTS = "pricing.components."


def _line(
    policy: PolicyData, tier: Tier, values: Mapping[str, Value], name: str, count: int, fee: Decimal | None
) -> QuoteLine:
    if name.startswith(SERVICE):
        return _service_line(policy, name, count)
    key = f"{ADDITIONAL}{name}"
    if not policy.add_ons[name].offered_to(tier.id):
        amount = Decimal(0) if _includes(tier, policy.add_ons[name]) else None
        note = _absence(policy, tier, name)
        return QuoteLine(name, policy.add_ons[name].about, count, None, None, None, Recurrent.YEARLY, amount, note)
    about, per, plus = policy.add_ons[name].about, values.get(f"{key}.per"), values.get(f"{key}.plus")
    price, percent = (as_number(values.get(f"{key}.{word}")) for word in ("price", "percent"))
    note = f"plus {plus}" if isinstance(plus, str) else ""
    if percent is not None:
        amount = None if fee is None else (fee * percent / 100 * count).quantize(_CENT)
        return QuoteLine(
            name, about, count, None, None, percent, Recurrent.YEARLY, amount, f"{percent} % of the annual fee"
        )
    unit = per if isinstance(per, str) else None
    times = TIMES_A_YEAR.get(unit or "")
    due = Recurrent.ONCE if times is None else Recurrent.YEARLY
    amount = None if price is None else price * count * (times or 1)
    return QuoteLine(name, about, count, price, unit, None, due, amount, note)


def _service_line(policy: PolicyData, name: str, count: int) -> QuoteLine:
    """Return the line of a service: its assessed value, cost and margin, for so many deliveries a year."""
    catalogue = policy.services.catalogue if policy.services else {}
    service = catalogue.get(name.removeprefix(SERVICE))
    if service is None:
        raise ValueError(f"{name!r} is no service{nearest_or_all(name, [f'{SERVICE}{id}' for id in catalogue])}")
    worth = value_of(service, Decimal(count))
    return QuoteLine(
        name, service.name, count, value_of(service, Decimal(1)), "delivery", None, Recurrent.YEARLY, worth
    )


def _sum(lines: list[QuoteLine], due: Recurrent) -> Decimal:
    return sum((line.amount for line in lines if line.due is due and line.amount is not None), Decimal(0))


def _unknown(lines: list[QuoteLine]) -> Iterator[str]:
    for line in lines:
        if line.amount is None:
            is_share = line.percent is not None or line.item == "platform-fee"
            yield f"{line.item}: {'the payment of the account is not known' if is_share else line.note or 'it has no price'}"


def _includes(tier: Tier, add_on: AddOn) -> bool:
    """Return True if a tier has itself what an add-on gives to others."""
    has_values = all(tier.values.get(key) not in _NOT_HAD for key in add_on.values)
    has_limits = all(tier.limits.get(name, 0) for name in (*add_on.limits, *add_on.sets))
    return has_values and has_limits and add_on.features <= tier.features


_NOT_HAD = (None, False, NO_LEVEL, "add-on")


def _absence(policy: PolicyData, tier: Tier, name: str) -> str:
    """Return why a tier does not offer an add-on: it is part of the tier, or of others only."""
    if _includes(tier, policy.add_ons[name]):
        return f"included in {tier.id}"
    offered = [id for id in policy.tiers if policy.add_ons[name].offered_to(id)]
    return f"not offered to {tier.id}, only to {', '.join(offered)}"
