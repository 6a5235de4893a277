"""The findings as tables in a terminal."""

import os

from base import NOW
from findings import Findings
from rich.console import Console
from rich.table import Table

SHOWN = 12
WIDE = 140  # in a pipe, which has no width


def show(found: Findings) -> None:
    """Print all tables."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=WIDE)
    whole = found.whole
    console.print(f"[bold]Portfolio review, {NOW:%B %Y}[/]: {whole.accounts} accounts pay {money(whole.pays)} a year")
    for table in (_segments(found), _shares(found), _moves(found), _serving(found), _meters(found), _asked(found)):
        console.print()
        console.print(table)
    for review in found.gaps:
        text = "; ".join(map(str, review.assignment.misfits)) or review.assignment.gap.text
        console.print(f"[yellow]gap[/] {found.customers[review.account].name}: {text}")


def money(amount) -> str:
    """Return an amount of money as text."""
    return "–" if amount is None else f"${amount:,.0f}"


def table(title: str, *columns: str, note: str = "") -> Table:
    """Return an empty table; a column that begins with > is aligned right."""
    made = Table(title=title, title_justify="left", title_style="bold", caption=note, caption_justify="left", box=None)
    made.pad_edge = False
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return made


def _segments(found: Findings) -> Table:
    made = table("Segments", "tier", ">accounts", ">pay a year", ">share", ">serving costs", ">of that", ">worth")
    for row in [*found.tiers, found.whole]:
        cost_share = "–" if row.cost_share is None else f"{row.cost_share} %"
        figures = (money(row.pays), f"{row.share:.1f} %", money(row.cost), cost_share, money(row.value))
        made.add_row(row.name, str(row.accounts), *figures, style="bold" if row is found.whole else None)
    return made


def _shares(found: Findings) -> Table:
    made = table("The same base by its share of all revenue", "tier", ">accounts", ">from a year", ">in that tier now")
    for tier, least in found.least.items():
        inside = [each.account for each in found.shares if each.tier == tier]
        now = sum(found.customers[id].tier == tier for id in inside)
        made.add_row(found.policy.tiers[tier].name, str(len(inside)), money(least), str(now))
    return made


def _moves(found: Findings) -> Table:
    made = table(f"Who should move ({len(found.moves)})", "account", "tier", "to", ">pays a year", "because")
    for review in found.moves:
        customer = found.customers[review.account]
        reasons = "; ".join(reason.text for reason in review.reasons)
        colour = {"upgrade": "green", "downgrade": "red", "close": "red"}.get(review.action, "cyan")
        to = review.to or review.action
        made.add_row(customer.name, review.tier, f"[{colour}]{to}[/]", money(customer.pays), reasons)
    return made


def _serving(found: Findings) -> Table:
    title = f"Over-serviced ({len(found.over)}), the {min(SHOWN, len(found.over))} most expensive"
    made = table(title, "account", "tier", ">serving costs", ">pays a year", ">share")
    for served in found.over[:SHOWN]:
        name = found.customers[served.account].name
        made.add_row(name, served.tier, money(served.cost), money(served.against), f"{served.share} %")
    return made


def _meters(found: Findings) -> Table:
    full = sum(meter.percent >= 100 for meter in found.meters)
    title = f"Meters near their limits ({len(found.meters)}, {full} at it), the {SHOWN} nearest of each tier"
    made = table(title, "account", "tier", "limit", ">used", ">of", ">%", ">refused")
    for row in found.tiers:
        for meter in [each for each in found.meters if each.customer.tier == row.tier][:SHOWN]:
            used, of = sized(meter.limit, meter.used), sized(meter.limit, meter.of)
            refused = f"{meter.denied:,}" if meter.denied else ""
            made.add_row(meter.customer.name, row.tier, meter.limit, used, of, str(meter.percent), refused)
    return made


def sized(limit: str, amount: int) -> str:
    """Return an amount of a limit as text."""
    return f"{amount / 10**9:,.4g} GB" if limit == "storage" else f"{amount:,}"


def _asked(found: Findings) -> Table:
    names = ", ".join(f"{customer.name} ({cases})" for customer, cases in found.busy)
    note = f"open cases at the threshold: {names}" if names else ""
    made = table(
        "Compared",
        "tier",
        ">NPS",
        ">adoption",
        ">open cases",
        ">over-serviced",
        ">under-serviced",
        ">pay nothing",
        note=note,
    )
    for row in found.tiers:
        answers = [str(row.nps), f"{row.adoption} %", str(row.cases), str(row.over), str(row.under), str(row.free)]
        made.add_row(row.name, *answers)
    return made
