"""The portfolio as one self-contained page of HTML: no script, no font, no image; it prints on A4."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from entitlements.cli.portfolio.pieces import amount
from entitlements.cli.portfolio.sections import SECTIONS, tiles

if TYPE_CHECKING:
    from entitlements.cli.portfolio.findings import PortfolioFindings

__all__ = ["amount", "to_page"]


def to_page(found: PortfolioFindings) -> str:
    """Return the page in ASCII; all text of files is escaped."""
    title = f"Portfolio, {found.now.day} {found.now:%B %Y}"
    written = [(id, heading, write(found)) for id, heading, write in SECTIONS]
    sections = [
        f'<section id="{id}"><h2>{escape(heading)}</h2>{"".join(parts)}</section>'
        for id, heading, parts in written
        if parts
    ]
    links = "".join(f'<a href="#{id}">{escape(heading)}</a>' for id, heading, parts in written if parts)
    style = files("entitlements.cli.portfolio").joinpath("page.css").read_text("utf-8")
    lead = f"{len(found.rows):,} accounts under policy {escape(found.policy.version)}. Amounts in {escape(found.policy.currency)} a year."
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style></head><body><main>
<header><h1>{title}</h1><p>{lead}</p></header>
<nav aria-label="Sections">{links}</nav>
{tiles(found)}
{"".join(sections)}
<footer>Written by entitlements portfolio. Tiers, notice periods and times come from the policy.</footer>
</main></body></html>
"""
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")
