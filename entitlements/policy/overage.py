"""Sizes with overage: `{included: 5000, overage: allow}` and `{included: 5000, overage: 2000}`."""

from __future__ import annotations

from collections.abc import Mapping

from entitlements.model.limits import UNLIMITED, Limit, LimitValue, Rate, Unlimited
from entitlements.model.names import MAX_COUNT, did_you_mean, shown
from entitlements.model.overage import ALLOW, Included
from entitlements.policy.errors import InvalidValue
from entitlements.policy.quantities import read_size

KEYS = ("included", "overage")


def has_overage(raw: object) -> bool:
    """Return True for the written form of a size with overage, and for such a size."""
    return isinstance(raw, Mapping | Included)


def read_overage(definition: Limit, raw: object) -> LimitValue:
    """
    Return the size of a limit from its written form with overage.

    Args:
        definition: The limit, a quota or an allocation.
        raw: A mapping of `included` and `overage`, or a size that this function returned.

    Returns:
        The size; a plain int if no overage is allowed.

    Raises:
        InvalidValue: For a rate, and for anything that is not an amount; its `path` names the key.
    """
    if isinstance(definition, Rate):
        problem = f"{definition.name} is a rate, which protects what it counts and sells nothing beyond"
        raise InvalidValue(problem, "write the rate alone, and count what is sold beyond in a quota")
    if isinstance(raw, Included):
        return raw
    assert isinstance(raw, Mapping)
    if raw.keys().isdisjoint(KEYS):
        raise InvalidValue(f"{shown(raw)} is not a size", "write a number, or {included: 5000, overage: allow}")
    for key in raw:
        if key not in KEYS:
            cure = did_you_mean(key, KEYS) or "write {included: 5000, overage: allow}"
            raise InvalidValue(f"{shown(key)} is no key of a size", cure, path=(str(key),))
    for key, other, example in (("included", "overage", 5000), ("overage", "included", ALLOW)):
        if key not in raw:
            alone = f", or {shown(raw[other])} alone" if key == "overage" else ""
            raise InvalidValue(f"{other}: {shown(raw[other])} has no {key} beside it", f"write {key}: {example}{alone}")
    included = _amount(definition, raw, "included", "write 0 or more")
    overage = UNLIMITED if raw["overage"] == ALLOW else _overage(definition, raw, included)
    if isinstance(included, Unlimited):
        raise InvalidValue("nothing is beyond unlimited", "write unlimited alone", path=("included",))
    if overage != 0 and included + (0 if isinstance(overage, Unlimited) else overage) >= MAX_COUNT:
        raise InvalidValue("included and overage together are above the largest count, 2^53-2", "write less")
    return included if overage == 0 else Included(included, overage)


def _overage(definition: Limit, raw: Mapping[str, object], included: int | Unlimited) -> int | Unlimited:
    """Return the most units beyond what is included; the cure of a word or a share is the word or number that is meant."""
    value, cure = raw["overage"], f"write {ALLOW}, or 0 or more"
    if isinstance(value, bool):
        cure = f"write {ALLOW}" if value else f"write {shown(raw['included'])} alone"
    elif isinstance(value, str) and value.rstrip(" %").isdecimal() and "%" in value and isinstance(included, int):
        units = included * int(value.rstrip(" %")[:9]) // 100
        cure = f"write {units}, which is {value} of {shown(raw['included'])}"
    elif isinstance(value, str) and value.casefold() in {"deny", "no", "none", "never", "block"}:
        cure = f"write {shown(raw['included'])} alone"
    elif isinstance(value, str) and value[:1].isalpha():
        cure = did_you_mean(value, (ALLOW,)) or cure
    elif not isinstance(value, str):
        return _amount(definition, raw, "overage", cure)
    else:
        try:
            return _amount(definition, raw, "overage", cure)
        except InvalidValue as error:
            raise InvalidValue(error.problem, cure, path=error.path) from None
    if value == UNLIMITED:
        cure = f"write overage: {ALLOW}"
    raise InvalidValue(f"overage: {shown(value)} is no number of units", cure, path=("overage",))


def _amount(definition: Limit, raw: Mapping[str, object], key: str, cure: str) -> int | Unlimited:
    """Return the amount under *key*: a number, a size of bytes, or unlimited."""
    value = raw[key]
    if isinstance(value, int) and value < 0:
        raise InvalidValue(f"{key} {shown(value)} is below zero", cure, path=(key,))
    if isinstance(value, Mapping):
        raise InvalidValue(f"{key} {shown(value)} is no amount", cure, path=(key,))
    try:
        size, _ = read_size(definition, value)
    except InvalidValue as error:
        raise InvalidValue(f"{key}: {error.problem}", error.cure, path=(key,)) from None
    if not isinstance(size, int | Unlimited):
        raise InvalidValue(f"{key} {shown(value)} is no amount", cure, path=(key,))
    return size
