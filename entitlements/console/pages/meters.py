"""The page of meters: what is used of each limit, and the periods of quotas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.clock import system_clock
from entitlements.console.charts import BarChart, history_chart
from entitlements.console.visit import PageError
from entitlements.model.decision_fields import facts_of
from entitlements.model.limits import NOT_INCLUDED, Quota
from entitlements.model.names import check_id
from entitlements.presentation.formatting import format_amount, format_limit
from entitlements.presentation.usage_meters import UsageMeter, effect_of_full, meter_of
from entitlements.rules import steps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from starlette.responses import Response

    from entitlements.console.visit import Visit
    from entitlements.model.account import Account
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.usage import Period, Usage

SCOPES = 50
"""Scopes that are offered."""


@dataclass(frozen=True, slots=True)
class MeterCard:
    """
    One limit of the page.

    Args:
        meter: The counts.
        size: The size of the limit in words.
        used: The used units in words.
        left: What is left, in words; empty where nothing limits it.
        share: The used share in percent, at most 100; None if it is no number.
        full: The effect of using all of it.
        projected: The projection in words; empty without one.
        resets_at: The end of the period; for a rate in use, the instant at which all of it is back; else None.
        chart: The periods as bars; None for other limits.
        periods: The periods in words, newest first: start, used, refused, limit.
    """

    meter: UsageMeter
    size: str
    used: str
    left: str
    share: int | None
    full: str
    projected: str
    resets_at: datetime | None
    chart: BarChart | None
    periods: Sequence[tuple[str, str, str, str]]


async def meters(visit: Visit) -> Response:
    """Return the page of the meters of an account."""
    account = await visit.account(visit.param("id"))
    scope = visit.param("scope") or None
    if scope is not None:
        try:
            check_id(scope, "scope")
        except ValueError as error:
            raise PageError(400, f"{error}.") from None
    enforcer = visit.services.enforcer
    entitlements = await enforcer.entitlements(account)
    usage = await enforcer.usage(account, scope)
    per_scope = sorted({limit.per for limit in visit.policy.limits.values() if limit.per})
    scopes = await enforcer.scopes(account, SCOPES) if per_scope else ()
    cards = [await _card(visit, account, entitlements, name, each, scope) for name, each in usage.items()]
    return visit.render(
        "meters.html", account=account, tab="meters", scope=scope or "", scopes=scopes, per_scope=per_scope,
        cards=[card for card in cards if card.meter.usage.limit is not NOT_INCLUDED],
        missing=[card.meter.limit.name for card in cards if card.meter.usage.limit is NOT_INCLUDED],
    )  # fmt: skip


async def _card(
    visit: Visit, account: Account, entitlements: Entitlements, name: str, usage: Usage, scope: str | None
) -> MeterCard:
    limit = visit.policy.limits[name]
    periods: Sequence[Period] = ()
    if isinstance(limit, Quota):
        periods = await visit.services.enforcer.history(account, name, scope if limit.per else None)
    start = periods[0].start if periods and periods[0].end == usage.resets_at else None
    meter = meter_of(facts_of(steps.decide(entitlements, name)), usage, start, system_clock())
    share = None if meter.share is None else min(100, int(meter.share * 100))
    counted = "not counted" if usage.used is None else format_amount(limit, usage.used)
    left = f"{format_amount(limit, usage.remaining)} left" if isinstance(usage.remaining, int) else ""
    projected = "" if meter.projected is None else format_amount(limit, meter.projected)
    rows = [
        (
            f"{each.start:%Y-%m-%d}", format_amount(limit, each.used), f"{each.denied:,}",
            format_limit(limit, each.limit),
        )
        for each in periods
    ]  # fmt: skip
    chart = history_chart(limit, periods) if len(periods) > 1 else None
    size = format_limit(limit, meter.size)
    resets_at = usage.resets_at if isinstance(limit, Quota) or usage.used else None
    return MeterCard(meter, size, counted, left, share, effect_of_full(meter), projected, resets_at, chart, rows)
