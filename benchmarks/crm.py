"""
Speed and peak memory of `entitlements crm assign` on a CRM's export.

    python -m benchmarks.crm [--rows 100000]

The command runs in a process of its own, as a user would run it. Peak memory is the figure of
the operating system for that process.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

POLICIES = Path(__file__).parent.parent / "policies"
HEADINGS = ["Account Name", "ARR", "Industry", "City", "State", "Renewal Date", "Entitlements", "Notes"]
CITIES = [("Köln", "NW"), ("New York", "NY"), ("São Paulo", "SP"), ("Austin", "TX")]


def export(path: Path, rows: int, seed: int = 8) -> None:
    """Write an export like a CRM's: quoted where needed, a few cells missing, a few wrong."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write(",".join(HEADINGS) + "\r\n")
        for n in range(rows):
            city, state = chance.choice(CITIES)
            arr = f'"${int(chance.lognormvariate(9.5, 1.4)):,}"' if n % 50 else ""
            note = f'"said ""no"" on {n % 28 + 1}/2,\r\ncalled again"' if n % 7 == 0 else "fine"
            day = f"{n % 12 + 1}/{n % 28 + 1}/2027"
            file.write(f'"Account {n:06}, Inc.",{arr},Retail,{city},{state},{day},SaaS Product,{note}\r\n')


def run(rows: int, *options: str) -> dict[str, float]:
    """Run the command once; return seconds, rows a second, the size of the export and the peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "accounts.csv"), Path(folder, "tiered.csv")
        export(source, rows)
        command = [sys.executable, "-m", "entitlements", "crm", "assign", str(source), "-o", str(target)]
        start = perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *command, "--policy", str(POLICIES / "second-funnel"), *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = perf_counter() - start
        if not target.exists():
            raise SystemExit(done.stderr)
        megabytes = int(done.stderr.splitlines()[-1]) * (1 if sys.platform == "darwin" else 1024) / 1e6
        return {
            "rows": rows,
            "seconds": seconds,
            "rows a second": rows / seconds,
            "export, MB": source.stat().st_size / 1e6,
            "most memory, MB": megabytes,
        }


_MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def main() -> int:
    """Measure three ways to assign, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crm", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ways = {"rules": (), "by share": ("--by", "arr-share"), "explained, sorted": ("--explain", "--sort")}
    found = {name: run(options.rows, *way) for name, way in ways.items()}
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}")
    print(f"{'crm assign':<20}{'rows':>9}{'MB':>7}{'seconds':>9}{'rows/s':>9}{'most memory':>13}")
    for name, each in found.items():
        print(
            f"{name:<20}{each['rows']:>9,.0f}{each['export, MB']:>7.1f}{each['seconds']:>9.1f}"
            f"{each['rows a second']:>9,.0f}{each['most memory, MB']:>10.0f} MB"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
