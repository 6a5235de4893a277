"""
The quarterly review of a whole base, as tables and as one page to show in a meeting.

    python examples/portfolio [--html portfolio.html]
"""

import argparse
from pathlib import Path

from findings import find
from page import page
from terminal import show

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Review the portfolio: tables here, and a page to show.")
    parser.add_argument("--html", type=Path, default=Path("portfolio.html"), help="where the page goes")
    options = parser.parse_args()
    found = find()
    options.html.write_text(page(found), encoding="utf-8")
    show(found)
    print(f"\nThe same as a page: {options.html}")
