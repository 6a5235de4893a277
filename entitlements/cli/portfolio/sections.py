"""The sections of the page; each returns its parts, none where there is nothing to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

from entitlements.cli.portfolio.pieces import (
    SHOWN,
    Parts,
    account_cell,
    amount,
    chip,
    counted,
    first,
    keep,
    kind_of,
    lead,
    more,
    table,
    tier_cell,
)
from entitlements.cli.portfolio.svg import BarPair, BarPart, ChartColumn, columns, paired_bars, stacked_bars
from entitlements.model.display import in_words
from entitlements.tiering.base.health import Risk
from entitlements.tiering.capacity import PlanFit
from entitlements.tiering.recurrences import AUTOMATION, DueKind
from entitlements.tiering.triggers import Action

if TYPE_CHECKING:
    from entitlements.cli.portfolio.findings import PortfolioFindings
    from entitlements.tiering.reviews import Review


def tiles(found: PortfolioFindings) -> str:
    """Return the five figures at the top."""
    pays = sum((row.pays for row in found.rows.values() if row.pays is not None), Decimal(0))
    counts = Counter(each.action for each in found.moves)
    down = counts[Action.DOWNGRADE] + counts[Action.CLOSE]
    risky = [row for row, each in found.health if each.risk is Risk.HIGH]
    at_risk = sum((row.pays for row in risky if row.pays is not None), Decimal(0))
    renewing = sum((each.pays for each in found.renewals.due if each.pays is not None), Decimal(0))
    earned = found.money.tiers[-1].profit if found.money is not None else None
    figures = [
        (amount(pays), f"paid a year by {len(found.rows):,} accounts"),
        ("?" if earned is None else amount(earned), "left after serving them"),
        (f"{counts[Action.UPGRADE]} \N{UPWARDS ARROW} {down} \N{DOWNWARDS ARROW}", "accounts should move up, or down"),
        (f"{len(found.renewals.due)}", f"renewals in 90 days, {amount(renewing)} a year"),
        (f"{len(risky)}", f"accounts at high risk, {amount(at_risk)} a year")
        if any(each.health.score is not None for _, each in found.health)
        else ("?", "accounts at high risk: health is not measured"),
    ]
    inside = "".join(f'<div class="tile"><b>{number}</b><span>{escape(text)}</span></div>' for number, text in figures)
    return f'<div class="tiles">{inside}</div>'


def due(found: PortfolioFindings) -> Parts:
    """Return what people do this week: by day, the appointments one by one, and the activities by number."""
    items = [item for item in found.due.items if item.owner != AUTOMATION]
    if not items:
        return [lead("Nothing is due this week.")]
    dates = [item for item in items if item.kind is not DueKind.ACTIVITY]
    activities = Counter((item.name, item.owner) for item in items if item.kind is DueKind.ACTIVITY)
    days = [found.due.since + timedelta(days=at) for at in range((found.due.until - found.due.since).days)]
    counts = Counter(item.date for item in items)
    bars = [ChartColumn(f"{day:%a %d %b}", counts[day], f"{counts[day]:,}" if counts[day] else "") for day in days]
    rows = [
        [
            keep(f"{item.date:%a %d %b}"),
            account_cell(found, item.account),
            tier_cell(found, item.tier),
            escape(item.name),
            keep(escape(item.audience or "")),
            keep(escape(item.format or ("" if item.duration is None else in_words(item.duration)))),
            escape(item.owner),
        ]
        for item in sorted(dates, key=lambda item: (_PROMPT.get(item.kind, 0), item.date, item.account))
    ]
    work = [[escape(name), escape(owner), f"{count:,}"] for (name, owner), count in activities.most_common()]
    headings = ("On", "Account", "Tier", "What", "With", "Length", "Owner")
    return [
        lead(
            f"{len(items):,} things from {found.due.since:%A, %d %B} on: {len(dates):,} dates, {sum(activities.values()):,} activities."
        ),
        columns(bars, "Due items by day", 150),
        table(headings, first(rows, 25)),
        *more(len(rows), "dates: entitlements due --week", 25),
        "<h3>Activities</h3>" if work else "",
        table(("Activity", "Owner", "Accounts"), work, numbers=(2,)) if work else "",
    ]


_PROMPT = {DueKind.NOTICE: -3, DueKind.RENEWAL: -2, DueKind.CHANGE: -2, DueKind.TRIAL: -1, DueKind.BUSINESS_REVIEW: -1}
"""The kinds that come first."""


def moves(found: PortfolioFindings) -> Parts:
    """Return the recommended moves with their reasons and times."""
    if not found.moves:
        return [lead("No account should move.")]
    counts = Counter(each.action for each in found.moves)
    text = ", ".join(f"{counts[action]} {action}" for action in Action if counts[action])
    parts = [lead(f"{text}. A downgrade takes effect when its notice period ends; until then the tier stays in force.")]
    for action, heading in _HEADINGS.items():
        rows = [_move(found, each) for each in found.moves if each.action is action]
        if rows:
            parts.append(f"<h3>{heading}: {len(rows)}</h3>")
            when = "Contact by" if action is Action.UPGRADE else "Takes effect"
            parts.append(table(("Account", "Move", "Pays", when, "Because"), first(rows), numbers=(2,)))
            parts += more(len(rows), "accounts: entitlements review")
    return parts


_HEADINGS = {
    Action.CLOSE: "Accounts to close",
    Action.DOWNGRADE: "Downgrades",
    Action.UPGRADE: "Upgrades",
    Action.OPTIMISE: "Tiers that are mostly unused",
}


def _move(found: PortfolioFindings, review: Review) -> list[str]:
    case = found.cases.get(review.account)
    times = []
    if case is not None and case.effective > case.opened:
        times.append(f"{case.effective:%d %b %Y}")
    if case is not None and case.outreach_due is not None:
        times.append(f"{case.outreach_due:%a %d %b, %H:%M} UTC")
    move = tier_cell(found, review.tier)
    if review.to is not None:
        move += f'<br><span class="keep">\N{RIGHTWARDS ARROW} {tier_cell(found, review.to)}</span>'
    reasons = "<br>".join(escape(reason.text) for reason in review.reasons)
    pays = amount(found.rows[review.account].pays)
    return [account_cell(found, review.account), move, pays, keep("<br>".join(times)), reasons]


def people(found: PortfolioFindings) -> Parts:
    """Return the people that each tier needs, now and after the recommended moves, against its plan."""
    later = {each.tier: each for each in found.planned.tiers}
    rows, pairs = [], []
    for each in found.people.tiers:
        least, most = each.planned
        plan = "" if most is None and least is None else f"{counted(least)}\N{EN DASH}{counted(most)}"
        above = each.fit is PlanFit.ABOVE
        count = f'<span class="chip late">{each.customers:,}</span>' if above else f"{each.customers:,}"
        after = later.get(each.tier)
        per = "" if each.per_csm is None else f"1:{each.per_csm}"
        figures = [f"{each.csms:,}", "" if after is None else f"{after.csms:,}"]
        onboarding = "?" if each.onboarding is None else f"{each.onboarding:,}"
        rows.append(
            [
                tier_cell(found, each.tier),
                count,
                plan,
                per,
                *figures,
                f"{each.technical_account_managers:,}",
                onboarding,
            ]
        )
        name = found.policy.tiers[each.tier].name
        text = f"{each.csms:,} now" if after is None else f"{each.csms:,} now, {after.csms:,} after the moves"
        pairs.append(BarPair(name, each.csms, None if after is None else after.csms, text))
    totals = [f"{found.people.csms:,}", f"{found.planned.csms:,}", f"{found.people.technical_account_managers:,}"]
    rows.append(["All", f"{len(found.rows):,}", "", "", *totals, ""])
    headings = ("Tier", "Accounts", "Planned", "Ratio", "CSMs", "After moves", "Technical managers", "In onboarding")
    warnings = "".join(f"<li>{escape(each)}</li>" for each in found.people.warnings)
    return [
        lead(
            f"{found.people.csms:,} customer success managers by the ratios of the tiers, {found.planned.csms:,} after the moves."
        ),
        paired_bars(pairs, "Customer success managers by tier, now and after the moves"),
        table(headings, rows, numbers=range(1, 8), whole=True),
        f"<ul>{warnings}</ul>" if warnings else "",
    ]


def money(found: PortfolioFindings) -> Parts:
    """Return revenue, cost and profit by tier, and the accounts that cost too much."""
    if found.money is None:
        return []
    tiers, whole = found.money.tiers[:-1], found.money.tiers[-1]
    bars = []
    for name, total, figure in (
        ("Accounts", f"{whole.accounts:,}", lambda each: Decimal(each.accounts)),
        ("Revenue", amount(whole.pays), lambda each: each.pays),
        ("Cost of service", amount(whole.cost), lambda each: each.cost),
    ):
        values = [(each, figure(each)) for each in tiers]
        sum_of = sum((value for _, value in values), Decimal(0)) or Decimal(1)
        bar = [
            BarPart(
                kind_of(found, each.tier or ""),
                found.policy.tiers[each.tier or ""].name,
                float(value / sum_of),
                amount(value),
            )
            for each, value in values
            if value > 0
        ]
        bars.append((name, total, bar))
    legend = "".join(
        f'<span class="key {kind_of(found, tier)}">{escape(found.policy.tiers[tier].name)}</span>'
        for tier in found.tiers
    )
    rows = []
    for each in (*tiers, whole):
        margin = "" if each.margin is None else f"{each.margin} %"
        figures = [amount(value) for value in (each.pays, each.cost, each.profit)]
        over = each.left is not None and each.left < 0
        left = f'<span class="chip late">{amount(each.left)}</span>' if over else amount(each.left)
        name = "All" if each.tier is None else tier_cell(found, each.tier)
        rows.append([name, f"{each.accounts:,}", *figures, margin, amount(each.budget), left])
    headings = ("Tier", "Accounts", "Pay", "Cost", "Profit", "Margin", "Budget", "Left")
    parts = [
        lead("What each tier pays, what serving it costs, and what is left of its budget."),
        stacked_bars(bars, "Accounts, revenue and cost by tier"),
        f'<div class="legend">{legend}</div>',
        table(headings, rows, numbers=range(1, 8), whole=True),
    ]
    if found.over:
        served = [
            [
                account_cell(found, each.account),
                tier_cell(found, each.tier),
                amount(each.against),
                amount(each.cost),
                f"{each.share} %",
            ]
            for each in found.over
        ]
        parts += [
            f"<h3>{len(found.over)} accounts cost more to serve than they should</h3>",
            table(("Account", "Tier", "Pays", "Costs", "Of that"), first(served, 10), numbers=(2, 3, 4)),
            *more(len(served), "accounts: entitlements services --base", 10),
        ]
    return parts


def risks(found: PortfolioFindings) -> Parts:
    """Return health risks, renewals by week, and accounts that have gone quiet."""
    parts: Parts = []
    worried = [(row, each) for row, each in found.health if each.risk in {Risk.HIGH, Risk.MEDIUM}]
    unknown = sum(each.risk is Risk.UNKNOWN for _, each in found.health)
    if worried:
        rows = [
            [
                account_cell(found, row.account),
                tier_cell(found, row.tier),
                chip(each.risk),
                "?" if each.health.score is None else str(each.health.score),
                "" if each.trend is None else f"{each.trend:+}",
                amount(row.pays),
                "; ".join(map(escape, each.because)),
            ]
            for row, each in worried
        ]
        headings = ("Account", "Tier", "Risk", "Health", "Trend", "Pays", "Because")
        parts += [
            "<h3>Health</h3>",
            table(headings, first(rows), numbers=(3, 4, 5)),
            *more(len(rows), "accounts: entitlements health"),
        ]
    if unknown:
        text = f"The health of {unknown:,} accounts is not known: measures are missing. entitlements health names them."
        parts.append(f'<p class="more">{text}</p>')
    parts += _renewals(found)
    if found.quiet.quiet:
        rows = [
            [
                account_cell(found, each.account),
                tier_cell(found, each.tier),
                str(each.last or "never"),
                "" if each.days is None else f"{each.days:,}",
                escape(each.step),
            ]
            for each in found.quiet.quiet
        ]
        parts += [
            f"<h3>{len(rows):,} accounts have gone quiet</h3>",
            table(("Account", "Tier", "Last active", "Days", "Stopped before"), first(rows), numbers=(3,)),
            *more(len(rows), "accounts: entitlements base abandoned"),
        ]
    return parts


def _renewals(found: PortfolioFindings) -> Parts:
    due = found.renewals.due
    if not due:
        return []
    weeks: dict[int, list[Decimal]] = {at: [] for at in range(13)}
    for each in due:
        weeks[min(each.days // 7, 12)].append(each.pays or Decimal(0))
    bars = [
        ChartColumn(
            f"{found.today + timedelta(days=7 * at):%d %b}",
            float(sum(values, Decimal(0))),
            f"{len(values)}: {amount(sum(values, Decimal(0)))}" if values else "",
        )
        for at, values in weeks.items()
    ]
    rows = [
        [
            str(each.on),
            f"{each.days}",
            account_cell(found, each.account),
            tier_cell(found, each.tier),
            amount(each.pays),
        ]
        for each in due
    ]
    overdue = len(found.renewals.overdue)
    late = [f'<p class="more">The date of {overdue} renewals is over.</p>'] if overdue else []
    return [
        "<h3>Renewals in the next 90 days, by week</h3>",
        columns(bars, "Annual value that is renewed, by week"),
        table(("On", "In days", "Account", "Tier", "Pays"), first(rows), numbers=(1, 4)),
        *more(len(rows), "renewals: entitlements base renewals"),
        *late,
    ]


def unknowns(found: PortfolioFindings) -> Parts:
    """Return what cannot be read, and what is not known."""
    gaps = [each for each in found.reviews.reviews if each.assignment.gap is not None]
    lines = [*found.problems, *(f"{each.account}: {each.assignment.gap.text}" for each in gaps if each.assignment.gap)]
    if not lines:
        return []
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines[:SHOWN])
    return [
        lead("None of these is guessed; the figures above are without them."),
        f"<ul>{shown}</ul>",
        *more(len(lines), "lines"),
    ]


SECTIONS: tuple[tuple[str, str, Callable[[PortfolioFindings], Parts]], ...] = (
    ("due", "Due this week", due),
    ("moves", "Moves", moves),
    ("capacity", "Capacity", people),
    ("money", "Money", money),
    ("risks", "Risks", risks),
    ("unknown", "What is not known", unknowns),
)
"""The id, heading and writer of each section."""
