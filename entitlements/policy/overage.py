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
    for key, example in zip(KEYS, (5000, ALLOW), strict=True):
        if key not in raw:
            raise InvalidValue(f"a size with overage has no {key}", f"write {key}: {example}, or a number alone")
    included = _amount(definition, raw, "included", "write 0 or more")
    overage = UNLIMITED if raw["overage"] == ALLOW else _amount(definition, raw, "overage", "write allow, or 0 or more")
    if isinstance(included, Unlimited):
        raise InvalidValue("nothing is beyond unlimited", "write unlimited alone", path=("included",))
    if isinstance(overage, Unlimited) and raw["overage"] != ALLOW:
        raise InvalidValue(f"{shown(raw['overage'])} is no overage", f"write overage: {ALLOW}", path=("overage",))
    if overage != 0 and included + (0 if isinstance(overage, Unlimited) else overage) >= MAX_COUNT:
        raise InvalidValue("included and overage together are above the largest count, 2^53-2", "write less")
    return included if overage == 0 else Included(included, overage)


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
