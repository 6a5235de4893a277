"""The pieces of which the sections are made: tables, sentences, names of tiers and accounts, in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entitlements.cli.portfolio.findings import PortfolioFindings

SHOWN = 15
"""Rows of a table; the rest is counted."""

Parts = list[str]


def amount(value: Decimal | int | None) -> str:
    """Return a whole amount; `?` if it is not known."""
    return "?" if value is None else f"{value:,.0f}"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), whole: bool = False
) -> str:
    """
    Return a table.

    Args:
        headings: Plain text.
        rows: Cells in HTML.
        numbers: The columns that are aligned to the right.
        whole: The last row is a total.
    """
    right = set(numbers)
    kinds = [' class="n"' if at in right else "" for at in range(len(headings))]
    head = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, headings, strict=True))
    body = ["".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    last = len(body) - 1
    lines = "".join(f"<tr{' class=whole' if whole and at == last else ''}>{row}</tr>" for at, row in enumerate(body))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def first(rows: Sequence[Sequence[str]], count: int = SHOWN) -> Sequence[Sequence[str]]:
    """Return the first rows."""
    return rows[:count]


def more(count: int, what: str, shown: int = SHOWN) -> Parts:
    """Return a line on the rows that are not shown."""
    return [f'<p class="more">… and {count - shown:,} more {escape(what)}</p>'] if count > shown else []


def lead(text: str) -> str:
    """Return the sentence below a heading."""
    return f'<p class="lead">{escape(text)}</p>'


def chip(word: str) -> str:
    """Return a word on a coloured ground."""
    return f'<span class="chip {escape(word)}">{escape(word)}</span>'


def counted(value: int | None) -> str:
    """Return a count with separators; nothing if it is not known."""
    return "" if value is None else f"{value:,}"


def keep(text: str) -> str:
    """Return a text that is not broken into lines."""
    return f'<span class="keep">{text}</span>' if text else ""


def tier_cell(found: PortfolioFindings, tier: str | None) -> str:
    """Return the name of a tier with its colour."""
    if tier is None or tier not in found.policy.tiers:
        return ""
    return f'<span class="tier {kind_of(found, tier)}">{escape(found.policy.tiers[tier].name)}</span>'


def kind_of(found: PortfolioFindings, tier: str) -> str:
    """Return the class of a tier's colour: by its place among the tiers that have accounts."""
    order = list(found.tiers)
    return f"t{min(order.index(tier), 4)}" if tier in order else "t3"


def account_cell(found: PortfolioFindings, account: str) -> str:
    """Return an account's name with its id."""
    row = found.rows.get(account)
    name = row.name if row is not None else account
    small = f'<small class="keep">{escape(account)}</small>' if name != account else ""
    return f"{escape(name)}{small}"
