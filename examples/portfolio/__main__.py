"""
Review of a whole base: three hundred invented accounts with six months of usage, as one HTML page.

    python examples/portfolio [--html portfolio.html]
"""

import argparse
import sys
from pathlib import Path

from entitlements.cli import main

HERE = Path(__file__).resolve().parent
BASE = [
    "--policy", str(HERE.parents[1] / "policies" / "customer-tiers"),
    "--accounts", str(HERE / "accounts.csv"), "--id", "Account ID",
    "--usage", str(HERE / "usage.csv"), "--at", "2026-11-02",
]  # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Review the portfolio.")
    parser.add_argument("--html", default="portfolio.html", help="path of the HTML page")
    options = parser.parse_args()
    codes = [main(["review", *BASE]), main(["portfolio", *BASE, "-o", options.html])]
    sys.exit(max(codes))
