"""Checks of leases: units that are spent while the store is not asked must be fit for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.display import in_words
from entitlements.model.limits import Algorithm, OnOutage
from entitlements.policy.schema_models import RateShape
from entitlements.policy.yaml.tree import node_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.limits import LimitValue
    from entitlements.policy.parts import TierPart
    from entitlements.policy.vocabulary import BuildContext
    from entitlements.policy.yaml.tree import Path


def check_leases(context: BuildContext, tiers: Mapping[str, TierPart], add_ons: Mapping[str, TierPart]) -> None:
    """Report leases that a limit cannot have, and those that are larger than the limit of a tier or an add-on."""
    for name, shape in context.document.limits.items():
        if shape.lease is None:
            continue
        at = ("limits", name, "lease")
        if isinstance(shape, RateShape) and shape.algorithm is Algorithm.TOKEN_BUCKET:
            problem = "a token bucket has no lease: its units would come back before they are spent"
            context.report.error(at, problem, "write algorithm: sliding, or leave lease out")
        if shape.on_outage == OnOutage.DENY.value:
            is_default = node_at(context.root, ("limits", name, "on_outage")) is None
            denies = f"on_outage: deny{' (the default here)' * is_default}"
            problem = f"{denies} and a lease contradict: leased units are spent while the store is not asked"
            instead = "local" if isinstance(shape, RateShape) else "allow"
            context.report.error(at, problem, f"write on_outage: {instead}, or leave lease out")
        for tier, part in tiers.items():
            _check_size(context, ("tiers", tier, "limits", name), name, shape.lease, part.limits.get(name))
        for add_on, part in add_ons.items():
            _check_size(context, ("add_ons", add_on, "limits", name), name, shape.lease, part.sets.get(name))


def _check_size(context: BuildContext, at: Path, name: str, lease: int, size: LimitValue | None) -> None:
    if isinstance(size, int) and 0 < int(size) < lease:
        where = context.report.location(("limits", name, "lease"))
        problem = f"the lease of {in_words(lease)} ({where}) is larger than this limit of {in_words(int(size))}"
        context.report.error(at, problem, f"write a lease of at most {int(size)}, or leave it out")
