"""
The folder that the site is built from: a copy of the project's pages, and of the files that they link to.

Every page keeps its path, so its links hold on the site as they do in a checkout. A link to a file of code leads to a
page that shows the file; a link to a folder leads to its README, or to a page that lists its files.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGED = ROOT / "build" / "pages"

PAGES = ("*.md", "docs/**/*.md", "policies/**/*.md", "examples/**/*.md", "benchmarks/**/*.md")
ASSETS = ("docs/**/*.svg", "docs/**/*.webp", "docs/**/*.html", "docs/assets/**/*", "examples/**/*.png")
LINK = re.compile(r"(?P<before>\]\()(?P<path>[^)\s#:]+)(?P<after>(?:#[^)\s]*)?\))")
CODE = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".lua": "lua", ".csv": "text"}


def project_pages() -> list[Path]:
    """Return the pages of the project that the site shows."""
    return sorted({page for pattern in PAGES for page in ROOT.glob(pattern)})


def stage(to: Path = STAGED) -> None:
    """Write the pages, and what they link to, below a folder; files that are there already and equal stay."""
    wanted: dict[Path, bytes] = {}
    for page in project_pages():
        wanted[page.relative_to(ROOT)] = _page(page, wanted).encode()
    for pattern in ASSETS:
        wanted |= {asset.relative_to(ROOT): asset.read_bytes() for asset in ROOT.glob(pattern) if asset.is_file()}
    for path, content in wanted.items():
        _write(to / path, content)
    for path in [each for each in to.rglob("*") if each.is_file() and each.relative_to(to) not in wanted]:
        path.unlink()


def _page(page: Path, wanted: dict[Path, bytes]) -> str:
    """Return the text of a page, and add the files that it links to."""

    def leads_to(link: re.Match[str]) -> str:
        target = (page.parent / link["path"]).resolve()
        if not target.is_relative_to(ROOT) or not target.exists() or target.suffix == ".md":
            return link[0]
        shown = target.relative_to(ROOT)
        if target.is_dir():
            index = shown / "README.md"
            if not (ROOT / index).exists():
                wanted[index] = _listing(target, wanted).encode()
            return f"{link['before']}{link['path'].rstrip('/')}/README.md{link['after']}"
        if target.suffix not in CODE:
            wanted[shown] = target.read_bytes()
            return link[0]
        wanted[shown.with_name(f"{shown.name}.md")] = _code(target).encode()
        return f"{link['before']}{link['path']}.md{link['after']}"

    return LINK.sub(leads_to, page.read_text(encoding="utf-8"))


def _code(file: Path) -> str:
    """Return a page that shows a file."""
    return f"# {file.name}\n\n`{file.relative_to(ROOT)}`\n\n````{CODE[file.suffix]}\n{file.read_text(encoding='utf-8')}````\n"


def _listing(folder: Path, wanted: dict[Path, bytes]) -> str:
    """Return a page that lists the files of a folder, and add pages that show them."""
    lines = [f"# {folder.name}", "", f"The files of `{folder.relative_to(ROOT)}/`:", ""]
    for file in sorted(folder.iterdir()):
        shown = file.relative_to(ROOT)
        if file.suffix in CODE:
            wanted[shown.with_name(f"{shown.name}.md")] = _code(file).encode()
            lines.append(f"- [`{file.name}`]({file.name}.md)")
        elif file.is_file():
            wanted[shown] = file.read_bytes()
            lines.append(f"- [`{file.name}`]({file.name})")
    return "\n".join([*lines, ""])


def _write(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    shutil.rmtree(STAGED, ignore_errors=True)
    stage()
