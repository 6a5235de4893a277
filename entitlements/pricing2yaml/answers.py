"""Compares the answers of a policy with the price list that it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from entitlements.errors import AccountError
from entitlements.model.account import Account
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
from entitlements.model.policy import PolicyData
from entitlements.policy.accounts import bind
from entitlements.pricing2yaml.conversion import BASE, Converted
from entitlements.pricing2yaml.document import Offering, PriceList
from entitlements.pricing2yaml.omissions import OmissionKind
from entitlements.rules.resolve import resolve

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    The answers of a policy and of its price list.

    Args:
        asked: The number of questions: each item of each plan, and of each add-on on a plan that can have it.
        differences: The questions with another answer, one sentence each.
    """

    asked: int
    differences: tuple[str, ...]


def compare_answers(prices: PriceList, converted: Converted, policy: PolicyData) -> Comparison:
    """Ask *policy* for every feature and usage limit of every plan and add-on, and compare with *prices*."""
    differences: list[str] = []
    asked = 0
    told = {
        omission.path
        for omission in converted.omissions
        if omission.kind in {OmissionKind.TAKES_AWAY, OmissionKind.ADDS_TO_VALUE}
    }
    for what, account, expected in _cases(prices, converted, policy):
        try:
            found = resolve(policy, bind(policy, account), 0)
        except AccountError as error:
            differences.append(f"{what}: {error}")
            continue
        for key, value in expected.items():
            asked += 1
            answer = _answer(found, converted, key)
            if (
                not _is_same(value, answer, converted, key)
                and f"{what.rpartition(' on ')[0]}.{'.'.join(key)}" not in told
            ):
                differences.append(f"{what}, {'.'.join(key)}: the price list says {value}, the policy {answer}")
    return Comparison(asked, tuple(differences))


Answers = Mapping[tuple[str, str], Any]


def _cases(prices: PriceList, converted: Converted, policy: PolicyData) -> Iterator[tuple[str, Account, Answers]]:
    plans = prices.plans or {BASE: Offering(BASE, "")}
    for plan in plans.values():
        answers = _of_plan(prices, plan)
        yield f"plans.{plan.name}", Account("of-plan", converted.tiers[plan.name]), answers
        for add_on in prices.add_ons.values():
            if add_on.available is not None and plan.name not in add_on.available:
                continue
            bought = _with_required(policy, converted.add_ons[add_on.name])
            if bought is not None:
                account = Account("of-add-on", converted.tiers[plan.name], add_ons=bought)
                quantity = bought[converted.add_ons[add_on.name]]
                alone = _of_add_on(add_on, answers, quantity) if len(bought) == 1 else {}
                yield f"addOns.{add_on.name} on {plan.name}", account, alone


def _of_plan(prices: PriceList, plan: Offering) -> Answers:
    features = {("features", name): plan.features.get(name, item.default) for name, item in prices.features.items()}
    limits = {("usageLimits", name): plan.limits.get(name, item.default) for name, item in prices.limits.items()}
    return features | limits


def _of_add_on(add_on: Offering, answers: Answers, quantity: int) -> Answers:
    """Return the answers for what an add-on mentions, on top of those of its plan."""
    found = {("features", name): value for name, value in add_on.features.items()}
    found |= {("usageLimits", name): value for name, value in add_on.limits.items()}
    for name, more in add_on.adds.items():
        key = "usageLimits", name
        if key not in found:
            base = answers.get(key)
            found[key] = more if isinstance(more, bool) else _sum(base, more, quantity)
    return {key: value for key, value in found.items() if key in answers}


def _sum(base: Any, more: Any, quantity: int) -> Any:
    if base is UNLIMITED or more is UNLIMITED:
        return UNLIMITED
    return (base or 0) + more * quantity if isinstance(more, int | Decimal) else more


def _with_required(policy: PolicyData, name: str) -> dict[str, int] | None:
    """Return the least purchase of an add-on with those that it requires."""
    bought = {name: policy.add_ons[name].at_least}
    names = [name]
    for each in names:
        names += (other for other in policy.add_ons[each].requires if other not in names)
        bought[each] = policy.add_ons[each].at_least
    return bought


def _answer(found: Entitlements, converted: Converted, key: tuple[str, str]) -> Any:
    form, name = converted.forms[key], converted.names[key]
    if form.kind in {"switch", "never"}:
        return found.can(name)
    if form.kind == "limit":
        return found.limit(name)
    return found.value(name) if name in found.policy.keys else NOT_INCLUDED


def _is_same(said: Any, answer: Any, converted: Converted, key: tuple[str, str]) -> bool:
    form = converted.forms[key]
    if said is None:
        return answer is NOT_INCLUDED or answer is False
    if form.kind == "limit":
        return bool(answer == form.amount(said))
    if form.kind == "value":
        return bool(answer == _as_value(said))
    return answer is said


def _as_value(said: Any) -> Any:
    if said is UNLIMITED:
        return "unlimited"
    if isinstance(said, list):
        return tuple(_as_value(each) for each in said)
    return said if isinstance(said, bool | int | Decimal) else " ".join(str(said).split())
