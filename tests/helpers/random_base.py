"""Random bases of accounts with twelve months of usage, for reviews of many accounts."""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

TIERS = ("enterprise", "mid-market", "small-business", "freemium")
SCALES = {
    "enterprise": (150_000, 300, 20_000, 0),
    "mid-market": (50_000, 60, 9_000, 100_000),
    "small-business": (12_000, 7, 600, 5_000),
    "freemium": (0, 2, 50, 100),
}
INDUSTRIES = ("enterprise-brokerage", "carrier", "Regional Agency", "local-agency", "independent", "other", "")
REGIONS = ("multiple-locations", "multiple-states", "single-region", "single-location", "")
INTEGRATIONS = ("complex", "standard", "basic", "none", "")
HEADINGS = (
    "Account ID", "Name", "Tier", "Trial Tier", "Trial Starts", "Trial Ends", "Anchor", "Add-Ons", "Overrides",
    "Grants", "Changes", "Annual Value", "Potential", "Agents", "Leads per Month", "Industry", "Region",
    "Locations", "Integrations", "Events", "Requests",
)  # fmt: skip
USAGE = ("account", "month", "leads", "leads_denied", "agents", "agents_denied", "storage_gb", "custom-dashboards",
         "standard-reports", "custom-reports")  # fmt: skip
MONTHS = [f"2025-{month:02}" for month in (11, 12)] + [f"2026-{month:02}" for month in range(1, 11)]


def account_row(at: int, chance: random.Random) -> tuple[list[str], str]:
    """Return the cells of an account, and its tier."""
    tier = chance.choices(TIERS, (1, 4, 15, 80))[0]
    value, agents, leads, _ = SCALES[tier]
    some = chance.random
    pays = int(value * (0.4 + 1.2 * some()))
    rare = some()
    cells = [
        f"AC-{at:07}",
        f"Account {at}",
        tier,
        "mid-market" if rare < 0.01 else "",
        "",
        "2026-12-01" if rare < 0.01 else "",
        str(chance.randint(1, 31)) if some() < 0.2 else "",
        "phone-support" if tier == "small-business" and some() < 0.05 else "",
        "transition.notice=10 days (promise, by Ann)"
        if some() < 0.004
        else "agents=20 (pilot, by Ann)"
        if some() < 0.01
        else "",
        "leads+500 (goodwill)" if some() < 0.01 else "",
        "freemium at 2027-02-01" if tier == "small-business" and some() < 0.02 else "",
        "" if some() < 0.02 else "tbd" if some() < 0.005 else f"${pays:,}" if some() < 0.5 else str(pays),
        str(int(value * 3 * some())) if some() < 0.2 else "",
        str(max(1, int(agents * (0.3 + 1.4 * some())))) if some() < 0.95 else "0",
        str(int(leads * (0.2 + 2 * some()))),
        chance.choice(INDUSTRIES),
        chance.choice(REGIONS),
        str(chance.choice((1, 1, 1, 2, 5))),
        chance.choice(INTEGRATIONS),
        chance.choice(("expansion", "business-closed", "merger; downsizing", "nonsense")) if some() < 0.03 else "",
        chance.choice(("sso", "team-collaboration=3", "no-such-thing")) if some() < 0.03 else "",
    ]
    return cells, tier


def usage_rows(id: str, tier: str, chance: random.Random) -> list[list[str]]:
    """Return the rows of usage of an account, newest last; a few have gaps, odd cells or a month twice."""
    _, agents, leads, limit = SCALES[tier]
    level, growth, some = chance.random() * 2, chance.random() * 0.2, chance.random
    rows = []
    for at, month in enumerate(MONTHS):
        used = int(leads * level * (1 + growth * at))
        capped = min(used, limit) if limit else used
        row = [
            id,
            month,
            str(capped),
            str(used - capped),
            str(max(1, int(agents * level))),
            "0",
            f"{0.01 * level * at:.2f}",
        ]
        rows.append([*row, "0", "0", "0"])
    odd = some()
    if odd < 0.01:
        rows[3][2] = chance.choice(("1,234", "many", "-5", "", " 12 "))
    elif odd < 0.02:
        rows[5][1] = chance.choice(("2026-13", "2026-04-17", "May", "2026-03"))
    elif odd < 0.03:
        rows = rows[: chance.randint(0, 11)]
    elif odd < 0.05:
        rows[-1][5] = "3"
        rows[-2][5] = "1"
        rows[-3][5] = "2"
    return rows


def write_base(folder: Path, count: int, seed: int = 1, *, by_month: bool = False) -> tuple[Path, Path]:
    """Write `accounts.csv` and `usage.csv` into a folder; the usage by account, or as a warehouse does, by month."""
    chance = random.Random(seed)
    accounts, usage = folder / "accounts.csv", folder / "usage.csv"
    with (
        accounts.open("w", encoding="utf-8", newline="") as left,
        usage.open("w", encoding="utf-8", newline="") as right,
    ):
        csv.writer(left).writerow(HEADINGS)
        writer = csv.writer(right, lineterminator="\n")
        writer.writerow(USAGE)
        write, held = csv.writer(left).writerow, []
        for at in range(count):
            cells, tier = account_row(at, chance)
            write(cells)
            rows = usage_rows(cells[0], tier, chance)
            if by_month:
                held += rows
            else:
                writer.writerows(rows)
        writer.writerows(sorted(held, key=lambda row: row[1]))
        writer.writerow(["stranger", MONTHS[-1], "1", "0", "1", "0", "0", "0", "0", "0"])
    return accounts, usage


if __name__ == "__main__":
    write_base(Path(sys.argv[2]), int(sys.argv[1]))
