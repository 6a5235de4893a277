"""Names of a policy for the names of a price list: letters, digits, dashes and underscores, each with one meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable

from entitlements.model.names import MAX_NAME

_OTHER = re.compile(r"[^A-Za-z0-9_-]+")


def policy_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """
    Return a name of the policy for each name, in order.

    Args:
        names: Names of the price list; each is kept if a policy can have it.
        taken: Names that have a meaning already.
    """
    used = set(taken)
    found: dict[str, str] = {}
    for name in names:
        base = _OTHER.sub("-", name).strip("-")[: MAX_NAME - 4] or "unnamed"
        plain, at = base, 1
        while plain in used:
            at += 1
            plain = f"{base}-{at}"
        used.add(plain)
        found[name] = plain
    return found
