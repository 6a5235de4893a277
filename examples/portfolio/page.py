"""The findings as one self-contained HTML page: no script, no font, no image."""

from collections import Counter
from html import escape
from pathlib import Path

from base import NOW
from charts import curve, scatter, spark, stacked
from findings import NEAR, Findings
from terminal import money, sized

STYLE = (Path(__file__).resolve().parent / "style.css").read_text(encoding="utf-8")
SHOWN = 10
LARGEST = 8


def page(found: Findings) -> str:
    """Return the page; all text from files is escaped."""
    title = f"Portfolio review, {NOW:%B %Y}"
    parts = [_segments, _shares, _moves, _serving, _meters, _compared, _gaps, _every_move]
    body = "\n".join(f"<section>{part(found)}</section>" for part in parts).replace(" %", "\N{NO-BREAK SPACE}%")
    whole = found.whole
    lead = f"{whole.accounts} accounts, reviewed on {NOW.day} {NOW:%B %Y} under policy {escape(found.policy.version)}."
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{STYLE}</style></head><body><main>
<header><h1>{title}</h1><p>{lead}</p></header>
{_tiles(found)}
{body}
<footer>Invented accounts. The costs of services are examples. Tiers, limits and prices come from the policy;
usage of May to October 2026 from the counters that enforcement keeps.</footer>
</main></body></html>
"""


def _tiles(found: Findings) -> str:
    whole = found.whole
    up = sum(review.action == "upgrade" for review in found.moves)
    down = sum(review.action in {"downgrade", "close"} for review in found.moves)
    full = sum(meter.percent >= 100 for meter in found.meters)
    tiles = [
        (f"${whole.pays / 10**6:.1f} M", f"paid a year by {whole.accounts} accounts"),
        (f"{whole.cost_share} %", f"of that is what serving them costs: {money(whole.cost)}"),
        (f"{up} ↑ {down} ↓", "accounts should move up, or down"),
        (str(len(found.over)), "paying accounts cost more to serve than they should"),
        (str(full), f"meters at their limit, {len(found.meters) - full} more above {NEAR} %"),
    ]
    inside = "".join(f'<div class="tile"><b>{number}</b><span>{escape(text)}</span></div>' for number, text in tiles)
    return f'<div class="tiles">{inside}</div>'


def _segments(found: Findings) -> str:
    top, whole = found.tiers[0], found.whole
    few = 100 * top.accounts / whole.accounts
    head = f"{few:.0f} % of the accounts bring {top.share:.0f} % of the revenue"
    lead = "Every account in its current tier: number, annual value, and cost of serving."
    measures = [
        ("Accounts", f"{whole.accounts}", lambda row: row.accounts, lambda row: str(row.accounts)),
        ("Annual value", money(whole.pays), lambda row: row.pays, lambda row: money(row.pays)),
        ("Cost to serve", money(whole.cost), lambda row: row.cost, lambda row: money(row.cost)),
    ]
    bars = [
        (name, total, [(row.tier, row.name, float(of(row) / of(whole)), text(row)) for row in found.tiers])
        for name, total, of, text in measures
    ]
    legend = "".join(f"<span>{_tier(row.tier, row.name)}</span>" for row in found.tiers)
    rows = [
        _cells(
            [_tier(row.tier, row.name) if row.tier else row.name],
            [
                str(row.accounts),
                money(row.pays),
                f"{row.share:.1f} %",
                money(row.cost),
                f"{row.cost_share} %",
                money(row.value),
            ],
            whole=row is whole,
        )
        for row in [*found.tiers, whole]
    ]
    heads = (
        ["Tier"],
        ["Accounts", "Pay a year", "Share", "Serving them costs", "Of what they pay", "Services are worth"],
    )
    return f"{_head(head, lead)}{stacked(bars)}<p class=legend>{legend}</p><h3>In figures</h3>{_table(heads, rows)}"


def _shares(found: Findings) -> str:
    by = found.policy.segmentations["arr-share"]
    values = [each.value for each in found.shares if each.value is not None]
    cuts = [(cut.tier, found.policy.tiers[cut.tier].name, cut.below) for cut in by.cuts]
    inside = Counter(each.tier for each in found.shares)
    strategic = found.policy.tiers[by.cuts[0].tier]
    head = f"{inside[strategic.id]} strategic accounts make up the first {by.cuts[0].below} % of the revenue"
    lead = "The same base by share of all revenue: an account belongs in the segment in which its share begins."
    rows = []
    for tier, least in found.least.items():
        now = Counter(found.customers[each.account].tier for each in found.shares if each.tier == tier)
        stays = now.pop(tier, 0)
        others = ", ".join(f"{count} {found.policy.tiers[id].name.partition(' – ')[2]}" for id, count in now.items())
        name = _tier(tier, found.policy.tiers[tier].name)
        rows.append(_cells([name], [str(inside[tier]), money(least), str(stays)], [escape(others or "–")]))
    heads = ["Segment"], ["Accounts", "From a year", "In that tier today"], ["Today in another"]
    return f"{_head(head, lead)}{curve(values, cuts)}<h3>In figures</h3>{_table(heads, rows)}"


def _moves(found: Findings) -> str:
    counts = Counter(review.action for review in found.moves)
    named = {"upgrade": "up", "downgrade": "down", "close": "out", "optimise": "to a better fit"}
    told = ", ".join(f"{counts[action]} {word}" for action, word in named.items() if counts[action])
    lead = "By annual value, six months of usage and events. Every move, with its reason, is listed at the end."
    flows: dict[tuple[str, str, str], list] = {}
    for review in found.moves:
        flows.setdefault((review.action.value, review.tier, review.to or ""), []).append(review)
    rows = []
    for (action, tier, to), reviews in flows.items():
        pays = sum(found.customers[each.account].pays or 0 for each in reviews)
        why = Counter(reason.cause.value for each in reviews for reason in each.reasons)
        reasons = ", ".join(f"{CAUSES[cause]} ({count})" for cause, count in why.most_common())
        rows.append(
            _cells(
                [_tier(tier, _short(found, tier)), _chip(found, action, to)],
                [str(len(reviews)), money(pays)],
                [escape(reasons)],
            )
        )
    heads = ["Today", "Should"], ["Accounts", "Pay a year"], ["Because"]
    parts = [_head(f"{len(found.moves)} accounts should move: {told}", lead), _table(heads, rows)]
    for action, title in (
        ("upgrade", "The largest that should move up"),
        ("downgrade", "The largest that should move down"),
    ):
        reviews = [each for each in found.moves if each.action == action][:LARGEST]
        parts.append(f"<h3>{title}</h3>{_movers(found, reviews)}")
    return "".join(parts)


CAUSES = {
    "exceeded": "limits exceeded",
    "approaching": "limits nearly used up",
    "underused": "limits hardly used",
    "requested": "features asked for",
    "above": "potential value",
    "supporting": "several locations or departments",
    "at-limit": "allocations full",
    "revenue": "annual value",
    "event": "event",
    "scheduled": "already scheduled",
    "signals": "signals",
}


def _every_move(found: Findings) -> str:
    lead = "Ordered by action and annual value."
    return f"{_head('Every move', lead)}{_movers(found, found.moves)}"


def _movers(found: Findings, reviews: list) -> str:
    rows = []
    for review in reviews:
        customer = found.customers[review.account]
        because = escape("; ".join(reason.text for reason in review.reasons))
        if review.notice:
            because += f"<small class=notice>after a notice of {review.notice.days} days</small>"
        chip = _chip(found, review.action.value, review.to)
        rows.append(
            _cells(
                [_named(customer), _tier(review.tier, _short(found, review.tier))],
                [money(customer.pays)],
                [chip, because],
            )
        )
    return _table((["Account", "Today"], ["Pays a year"], ["Should", "Because"]), rows)


def _chip(found: Findings, action: str, to: str | None) -> str:
    sign = {"upgrade": "↑", "downgrade": "↓", "close": "✕"}.get(action, "≈")
    return f'<span class="chip {action}">{sign} {escape(_short(found, to) if to else action)}</span>'


def _short(found: Findings, tier: str) -> str:
    return found.policy.tiers[tier].name.partition(" – ")[2]


def _serving(found: Findings) -> str:
    services = found.policy.services
    points = [
        (each.tier, found.customers[each.account].name, each.against, each.cost)
        for each in sorted(found.services.accounts, key=lambda each: each.account)
        if each.against and each.cost
    ]
    lost = sum(each.cost - each.against * services.over / 100 for each in found.over)
    head = f"{len(found.over)} paying accounts get more than they pay for: {money(lost)} a year"
    free = found.tiers[-1].free
    lead = (
        f"Each dot is an account. Above the red line serving it costs more than {services.over} % of what it pays; below"
        f" the grey one less than {services.under} %, and there is room to do more. {free} accounts pay nothing and"
        " serve themselves; they are not drawn."
    )
    rows = [
        _cells(
            [_named(found.customers[each.account]), _tier(each.tier, _short(found, each.tier))],
            [
                money(each.against),
                money(each.cost),
                f"{each.share} %",
                money(each.cost - each.against * services.over / 100),
            ],
        )
        for each in sorted(found.over, key=lambda each: each.against * services.over / 100 - each.cost)[:SHOWN]
    ]
    heads = ["Account", "Tier"], ["Pays a year", "Serving it costs", "Of what it pays", "Too much"]
    legend = "".join(f"<span>{_tier(row.tier, row.name)}</span>" for row in found.tiers)
    names = [
        found.customers[each.account].name for each in found.under if found.customers[each.account].tier != "freemium"
    ]
    room = f"<h3>Room to do more</h3><p class=lead>{escape(', '.join(names))}.</p>" if names else ""
    return (
        f"{_head(head, lead)}{scatter(points, services.over, services.under)}<p class=legend>{legend}</p>"
        f"<h3>The {len(rows)} that cost most beyond it</h3>{_table(heads, rows)}{room}"
    )


def _meters(found: Findings) -> str:
    full = sum(meter.percent >= 100 for meter in found.meters)
    lead = (
        f"What was used of each limit, {NEAR} % or more: leads in October with the five months before, agents and storage"
        " as they are held now. Red is what was refused."
    )
    rows, more = [], 0
    for row in found.tiers:
        near = [each for each in found.meters if each.customer.tier == row.tier]
        more += len(near[SHOWN:])
        for meter in near[:SHOWN]:
            level = f'<i{" class=full" if meter.percent >= 100 else ""} style="width:{min(meter.percent, 100)}%"></i>'
            of = f"{sized(meter.limit, meter.used)} of {sized(meter.limit, meter.of)}"
            tier = _tier(row.tier, _short(found, row.tier))
            months = spark(meter.months, meter.of) if meter.months else ""
            rows.append(
                _cells(
                    [_named(meter.customer), tier, escape(meter.limit), f'<span class="meter">{level}</span>'],
                    [f"{meter.percent} %", of],
                    [months],
                    [f"{meter.denied:,}" if meter.denied else ""],
                )
            )
    heads = ["Account", "Tier", "Limit", ""], ["Used", ""], ["May – October"], ["Refused"]
    head = f"{full} meters are at their limit, {len(found.meters) - full} more are close"
    rest = f"<p class=legend>And {more} more; the {SHOWN} nearest of each tier are shown.</p>" if more else ""
    return f"{_head(head, lead)}{_table(heads, rows)}{rest}"


def _compared(found: Findings) -> str:
    first, last = found.tiers[0], found.tiers[-1]
    head = f"Adoption falls from {first.adoption} % to {last.adoption} % down the tiers"
    lead = "Medians of each tier."
    rows = [
        _cells(
            [_tier(row.tier, row.name)],
            [
                str(row.services),
                str(row.nps),
                f"{row.adoption} %",
                str(row.cases),
                str(row.over),
                str(row.under),
                str(row.free),
            ],
        )
        for row in found.tiers
    ]
    heads = ["Tier"], ["Services", "NPS", "Adoption", "Open cases", "Over-serviced", "Under-serviced", "Pay nothing"]
    busy = ", ".join(f"{escape(customer.name)} ({cases})" for customer, cases in found.busy)
    note = f"<p class=legend>Open cases at the threshold where the CSM steps in: {busy}.</p>" if busy else ""
    return f"{_head(head, lead)}{_table(heads, rows)}{note}"


def _gaps(found: Findings) -> str:
    lead = "These accounts keep their tier until the gap is filled: nothing is guessed."
    rows = []
    for review in found.gaps:
        misfits = review.assignment.misfits
        text = "; ".join(f"{each.problem}; {each.cure}" for each in misfits) or review.assignment.gap.text
        customer = found.customers[review.account]
        rows.append(_cells([_named(customer), _tier(customer.tier, customer.tier), escape(text)]))
    return (
        f"{_head(f'{len(found.gaps)} accounts cannot be placed', lead)}{_table((['Account', 'Today', 'Why'],), rows)}"
    )


def _head(text: str, lead: str) -> str:
    return f"<h2>{escape(text)}</h2><p class=lead>{escape(lead)}</p>"


def _named(customer) -> str:
    return f'<span class="name">{escape(customer.name)} <small>{escape(customer.id)}</small></span>'


def _tier(id: str, name: str) -> str:
    return f'<span class="tier {id}">{escape(name)}</span>'


def _table(heads: tuple[list[str], ...], rows: list[str]) -> str:
    head = "".join(
        _cell("th", each, figures=at % 2 == 1) for at, group in enumerate(heads) for each in map(escape, group)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _cells(*groups: list[str], whole: bool = False) -> str:
    """Return a table row; groups of text and of figures alternate."""
    cells = "".join(_cell("td", each, figures=at % 2 == 1) for at, group in enumerate(groups) for each in group)
    return f"<tr{' class=whole' if whole else ''}>{cells}</tr>"


def _cell(kind: str, text: str, *, figures: bool) -> str:
    return f"<{kind}{' class=n' if figures else ''}>{text}</{kind}>"
