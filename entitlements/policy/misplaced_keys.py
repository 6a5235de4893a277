"""Keys that stand where they have no meaning, with the cure: the place or the form that has it."""

from __future__ import annotations

from collections.abc import Mapping

from entitlements.policy.errors import InvalidValue

_OVERAGE = "write it with the size, in a tier: limits: {leads: {included: 5000, overage: allow}}"
_OF_ANY_LIMIT = {
    "overage": ("a definition says how a limit is counted, not how much", _OVERAGE),
    "included": ("a definition says how a limit is counted, not how much", _OVERAGE),
    "size": ("a definition says how a limit is counted, not how much", "write the size in a tier, under its limits"),
    "burst": ("only a rate, a token bucket, has a burst", "leave it out"),
    "algorithm": ("only a rate has an algorithm", "leave it out"),
}
_OF_KIND: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "rate": {
        "period": ("only a quota has periods", "write the window in its sizes, such as '100 per hour', or kind: quota"),
        "window": ("the sizes of a rate name its window", "write them such as '100 per hour'"),
    },
    "quota": {"window": ("only a rate has a window", "write a period, such as period: day")},
    "allocation": {
        "period": ("an allocation holds units until they are released", "leave it out, or write kind: quota"),
        "window": ("an allocation holds units until they are released", "leave it out, or write kind: rate"),
    },
}

PRICE_LIST = InvalidValue(
    "the file is a price list in the Pricing2Yaml format, and no policy",
    "make one of it: entitlements import pricing2yaml FILE -o POLICY",
)
PRICE_LIST_KEY = "saasName"


def misplaced_in_limit(key: str, kind: str) -> InvalidValue | None:
    """Return the error of a key in the definition of a limit that has its meaning elsewhere; None for any other."""
    found = _OF_KIND.get(kind, {}).get(key) or _OF_ANY_LIMIT.get(key)
    return None if found is None else InvalidValue(f"{key} on a limit of kind {kind}: {found[0]}", found[1])


def misplaced_size(key: str) -> InvalidValue | None:
    """Return the error of a part of a size that stands where the name of a limit belongs; None for any other name."""
    if key not in ("included", "overage"):
        return None
    return InvalidValue(f"{key} is a part of a size, and no limit", "write {leads: {included: 5000, overage: allow}}")
