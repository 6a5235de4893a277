"""
Quarterly review of a base of accounts, as tables and as one HTML page.

    python examples/portfolio [--html portfolio.html]
"""

import argparse
from pathlib import Path

from findings import find
from page import page
from terminal import show

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Review the portfolio, as tables and as an HTML page.")
    parser.add_argument("--html", type=Path, default=Path("portfolio.html"), help="path of the HTML page")
    options = parser.parse_args()
    found = find()
    options.html.write_text(page(found), encoding="utf-8")
    show(found)
    print(f"\nThe same as a page: {options.html}")
