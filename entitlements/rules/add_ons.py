"""Rules of add-ons: the add-ons that each requires and excludes, and the quantities that it is sold in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from entitlements.model.policy import AddOn, PolicyData


def rule_problems(policy: PolicyData, add_ons: Mapping[str, int]) -> Iterator[str]:
    """
    Yield the rules that a combination of add-ons breaks, each as `problem; cure`.

    Args:
        policy: The policy in force.
        add_ons: Quantities by name; unknown names are left out.
    """
    known = {name: policy.add_ons[name] for name in add_ons if name in policy.add_ons}
    for name, add_on in known.items():
        quantity = add_ons[name]
        if not fits_quantity(add_on, quantity):
            yield f"quantity {quantity} of add-on {name!r} cannot be bought; {_quantity_cure(add_on, quantity)}"
        for other in add_on.requires:
            if other not in add_ons:
                yield f"add-on {name!r} requires {other!r}; add {other!r} as well, or take {name!r} away"
    names = list(known)
    for at, name in enumerate(names):
        for other in names[at + 1 :]:
            if exclude_each_other(policy, name, other):
                yield f"the add-ons {name!r} and {other!r} exclude each other; take one of the two away"


def exclude_each_other(policy: PolicyData, name: str, other: str) -> bool:
    """Return True if an account must not have both add-ons; one of them says so."""
    return other in policy.add_ons[name].excludes or name in policy.add_ons[other].excludes


def fits_quantity(add_on: AddOn, quantity: int) -> bool:
    """Return True if so many can be bought."""
    most = add_on.at_most
    return add_on.at_least <= quantity and quantity % add_on.step == 0 and (most is None or quantity <= most)


def next_quantity(add_on: AddOn, quantity: int) -> int | None:
    """Return the least quantity from *quantity* up that can be bought; None if there is none."""
    found = -(-max(quantity, add_on.at_least) // add_on.step) * add_on.step
    return found if fits_quantity(add_on, found) else None


def _quantity_cure(add_on: AddOn, quantity: int) -> str:
    steps = f" in steps of {add_on.step}" if add_on.step > 1 else ""
    most = f" to {add_on.at_most}" if add_on.at_most is not None else " or more"
    lower = (quantity if add_on.at_most is None else min(quantity, add_on.at_most)) // add_on.step * add_on.step
    near = [each for each in (lower, next_quantity(add_on, quantity)) if each and fits_quantity(add_on, each)]
    such = f", such as {' or '.join(map(str, dict.fromkeys(near)))}" if near else ""
    return f"buy {add_on.at_least}{most}{steps}{such}"
