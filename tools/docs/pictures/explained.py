"""An answer as a tree in HTML: the sources that `decide` considered, the winner first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COMMAND = ("explain", "pinehollow", "leads", "--at", "2026-11-30", "--json")
ORDER = ("won", "raised", "base", "lost", "not-started", "not-offered", "expired")

STYLE = """
  :root { color-scheme: light dark; --text: #3d4451; --line: #c4cad4; --won: #2f6f9f; --lost: #8a919e; --card: #fff }
  @media (prefers-color-scheme: dark) { :root { --text: #d3d8e2; --line: #3a4150; --won: #5aa5dc; --lost: #7d8595; --card: #14171e } }
  body { margin: 0; padding: 16px; background: var(--card); color: var(--text); font: 14px/1.5 system-ui, sans-serif }
  ul { list-style: none; margin: 0; padding-left: 22px } body > ul { padding: 0 }
  li { position: relative; padding: 3px 0 }
  li li::before { content: ""; position: absolute; left: -14px; top: -4px; height: 100%; border-left: 1px solid var(--line) }
  li li:last-child::before { height: 19px }
  li li::after { content: ""; position: absolute; left: -14px; top: 15px; width: 10px; border-top: 1px solid var(--line) }
  code { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, monospace }
  .verdict { border: 1px solid currentColor; border-radius: 9px; padding: 0 8px; font-size: 12px; color: var(--lost) }
  .won > .verdict { color: var(--won) } .won > code { font-weight: 600 } .note { color: var(--lost) }
"""


def drawn() -> str:
    """Return the page of the tree."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLEMENTS_")}
    command = [sys.executable, "-m", "entitlements", *COMMAND]
    answer = json.loads(
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True).stdout
    )
    sources = sorted(answer["trace"], key=lambda each: ORDER.index(each["verdict"]))
    verdict = "allowed" if answer["allowed"] else "refused"
    head = (
        f"<code>{answer['account']}</code> · <code>{answer['feature']}</code> · <strong>{verdict}</strong>: "
        f"{_amount(answer['limit'])}, reason <code>{answer['reason']}</code>, by <code>{answer['source']}</code>"
    )
    items = "\n".join(map(_source, sources))
    title = f"{answer['account']}: {answer['feature']}"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n<ul><li>{head}\n<ul>\n{items}\n</ul></li></ul>\n</body>\n</html>\n"
    )


def _source(each: dict[str, object]) -> str:
    "+" if str(each["source"]).startswith("grant:") else ""
    note = f' <span class="note">{escape(str(each["note"]))}</span>' if each["note"] else ""
    return (
        f'<li class="{each["verdict"]}"><span class="verdict">{each["verdict"]}</span> '
        f"<code>{escape(str(each['source']))}</code> says {_amount(each['value'])}{note}</li>"
    )


def _amount(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
