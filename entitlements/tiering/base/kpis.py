"""
The KPIs that a tier tracks, over the accounts of a base.

The value `kpis` lists them. `kpi-measures.<kpi>` names the column of a KPI, or two columns whose quotient it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from entitlements.model.display import fields_in_json
from entitlements.model.policy import PolicyData
from entitlements.tiering.base.ranking import median
from entitlements.tiering.base.rows import Base, BaseRow
from entitlements.tiering.criterion_values import attribute_name
from entitlements.tiering.health import KPI_MEASURES
from entitlements.tiering.numbers import EXACT
from entitlements.tiering.value_faults import written_number

_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class KpiMeasure:
    """
    The measure of a KPI.

    Args:
        kpi: Its name in the policy.
        column: The column that holds it; empty without one.
        ratio: The columns of its numerator and denominator; empty without them.
        times: The factor of the quotient: 100 for percent.
    """

    kpi: str
    column: str
    ratio: tuple[str, ...] = ()
    times: Decimal = Decimal(1)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that give it, in the order in which they are looked at."""
        return tuple(filter(None, (self.column, *self.ratio)))

    def value(self, figures: Mapping[str, Decimal]) -> Decimal | None:
        """Return the figure of one account, to a tenth if it is a quotient; None where it is not known."""
        if self.column in figures:
            return figures[self.column]
        above, below = (figures.get(name) for name in self.ratio) if self.ratio else (None, None)
        if above is None or not below:
            return None
        with localcontext(EXACT):
            return (above * self.times / below).quantize(_TENTH)


@dataclass(frozen=True, slots=True)
class TierKpi:
    """
    One KPI of a tier.

    Args:
        tier: The tier's id.
        kpi: The KPI, as the policy writes it.
        columns: The columns that give it.
        accounts: The accounts of the tier.
        known: Those whose figure is known.
        middle: The lower median of the known figures; None without any.
        before: The median of the earlier figures of these accounts; None without any.
        values: The figure of each account.
    """

    tier: str
    kpi: str
    columns: tuple[str, ...]
    accounts: int
    known: int
    middle: Decimal | None
    before: Decimal | None
    values: Mapping[str, Decimal]

    to_dict = fields_in_json


def measures_of(values: Mapping[str, Any]) -> tuple[KpiMeasure, ...]:
    """Return the measures of the KPIs in *values*; a KPI without a measure of its own is the column of its name."""
    return tuple(_measure(values, str(kpi)) for kpi in values.get("kpis") or ())


def kpi_columns(policy: PolicyData) -> tuple[str, ...]:
    """Return the columns that the KPIs of any tier are read from, sorted."""
    measures = (each for tier in policy.tiers.values() for each in measures_of(tier.values))
    return tuple(sorted({column for each in measures for column in each.columns}))


def tier_kpis(
    policy: PolicyData, base: Base, before: Mapping[str, Mapping[str, Decimal]] | None = None
) -> tuple[TierKpi, ...]:
    """
    Return each KPI of each tier that has accounts, higher tiers first.

    Args:
        policy: The policy in force.
        base: The accounts, with the figures of `kpi_columns`.
        before: Earlier figures by account.
    """
    return tuple(
        each for tier, rows in base.by_tier(policy).items() for each in _of_tier(policy, tier, rows, before or {})
    )


def _of_tier(
    policy: PolicyData, tier: str, rows: Sequence[BaseRow], before: Mapping[str, Mapping[str, Decimal]]
) -> Iterator[TierKpi]:
    for measure in measures_of(policy.tiers[tier].values):
        values = {row.account: value for row in rows if (value := measure.value(row.figures)) is not None}
        earlier = [value for id in values if (value := measure.value(before.get(id, {}))) is not None]
        yield TierKpi(
            tier,
            measure.kpi,
            measure.columns,
            len(rows),
            len(values),
            median(list(values.values())),
            median(earlier),
            values,
        )


def _measure(values: Mapping[str, Any], kpi: str) -> KpiMeasure:
    own = attribute_name(kpi)
    node = f"{KPI_MEASURES}{own}"
    ratio = values.get(f"{node}.ratio") or ()
    column = values.get(f"{node}.column")
    return KpiMeasure(
        kpi,
        own if column is None and not ratio else attribute_name(str(column or "")),
        tuple(map(attribute_name, ratio)),
        written_number(values.get(f"{node}.times")) or Decimal(1),
    )
