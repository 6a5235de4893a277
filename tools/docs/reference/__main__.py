"""
The pages of docs/reference/ that are made from the package: `make reference` writes them, a test holds them equal.

    python -m tools.docs.reference
"""

from __future__ import annotations

from pathlib import Path

from tools.docs.reference import api, command_line, errors, events, http_contract, policy_language

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Written by `make reference`; a change here is lost. -->\n\n"


def pages() -> dict[Path, str]:
    """Return the text of every page, by its path."""
    made: dict[str, str] = {}
    for maker in (api, policy_language, command_line, events, http_contract, errors):
        made |= maker.pages()
    return {FOLDER / name: MADE + text for name, text in made.items()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
