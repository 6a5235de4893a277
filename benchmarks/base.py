"""
Speed and peak memory of `entitlements review -o` on an invented base with twelve months of usage.

    python -m benchmarks.base [--accounts 1000000] [--workers 2] [--parquet] [--folder FOLDER]

The command runs in a process of its own, as a user would run it. Peak memory is the largest sum of what its
processes hold, read four times a second.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOW = "2026-11-02T09:00Z"

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
    """Write the accounts and their usage into a folder; the usage by account, or as a warehouse does, by month."""
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


def write_parquet(usage: Path) -> Path:
    """Write the usage as a Parquet file with columns of their types; a cell of another type is empty there."""
    import duckdb

    target = usage.with_suffix(".parquet")
    columns = ", ".join(
        f'"{name}"' if name in {"account", "month"} else f'try_cast("{name}" AS {_type(name)}) AS "{name}"'
        for name in USAGE
    )
    duckdb.execute(f"COPY (SELECT {columns} FROM read_csv('{usage}', all_varchar = true)) TO '{target}'")  # noqa: S608 - own names
    return target


def _type(name: str) -> str:
    return "DECIMAL(12, 2)" if name.endswith("_gb") else "BIGINT"


def run(accounts: Path, usage: Path, target: Path, *options: str) -> dict[str, float]:
    """Run the command once; return wall and CPU seconds, the peak memory in MB and the rows that were written."""
    command = [
        sys.executable, "-m", "entitlements", "review", "--policy", str(ROOT / "policies" / "customer-tiers"),
        "--accounts", str(accounts), "--id", HEADINGS[0], "--usage", str(usage), "--at", NOW, "-o", str(target),
        *options,
    ]  # fmt: skip
    start, before = time.perf_counter(), os.times()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.25)
    seconds, after = time.perf_counter() - start, os.times()
    if not target.exists():
        raise SystemExit(f"{' '.join(command)} wrote nothing; run it to see why")
    with target.open("rb") as file:
        rows = sum(1 for _ in file) - 1
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"rows": rows, "seconds": seconds, "cpu": cpu, "megabytes": peak / 1e6}


def _resident(pid: int) -> int:
    """Return the bytes that a process and its children hold in memory; 0 where the system does not tell."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_resident(int(child)) for child in children)


def main() -> int:
    """Write a base, review it, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.base", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parquet", action="store_true", help="usage as a Parquet file, not CSV")
    parser.add_argument("--folder", type=Path, help="keep the files there; a base that is there is used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        accounts, usage = folder / "accounts.csv", folder / "usage.csv"
        if not usage.exists():
            write_base(folder, options.accounts, by_month=options.accounts <= 100_000)
        if options.parquet:
            usage = write_parquet(usage)
        found = run(accounts, usage, folder / "reviews.csv", "--workers", str(options.workers))
    found |= {"workers": options.workers, "cores": os.cpu_count() or 1}
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}", file=sys.stderr)
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
