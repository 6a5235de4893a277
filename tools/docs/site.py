"""
The site, by Zensical.

    python -m tools.docs.site build     writes it to build/site; a warning or a link that leads nowhere is an error
    python -m tools.docs.site serve     shows it on http://127.0.0.1:8000, and again after each change of a page
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tools.docs.pages import ROOT, stage

SITE = ROOT / "build" / "site"
ZENSICAL = (sys.executable, "-m", "zensical")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ADDRESS = "127.0.0.1:8000"


class Links(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in {"href", "src"} and value:
                self.links.add(value)


def broken_links(site: Path = SITE) -> list[str]:
    """Return `page: link` for each link of the built site to a page, a file or an anchor that does not exist."""
    pages = {page: Links() for page in site.rglob("*.html")}
    for page, links in pages.items():
        links.feed(page.read_text(encoding="utf-8"))
    broken = []
    for page, links in pages.items():
        if page.name == "404.html":  # its links are those of the address that was asked for
            continue
        for link in sorted(links.links):
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            file = page if not target.path else (page.parent / unquote(target.path)).resolve()
            file = file / "index.html" if file.is_dir() else file
            anchor = unquote(target.fragment)
            if not file.exists() or (anchor and file in pages and anchor not in {*pages[file].anchors, "__search"}):
                broken.append(f"{page.relative_to(site)}: {link}")
    return broken


def merge_members(site: Path = SITE) -> None:
    """
    Give what the search knows of a member of a class or module to the entry of that: guides come before members.

    The reference has three times as many members as the guides have sections, and a short title ranks high.
    The verbs of an enforcer keep entries of their own.
    """
    path = site / "search.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    kept: dict[str, dict[str, Any]] = {}
    for item in index["items"]:
        owner, _, name = item["location"].rpartition(".")
        if "/reference/api/" in owner and "enforcer/" not in owner and owner in kept:
            kept[owner]["text"] += f"<p><code>{name}</code></p>{item['text']}"
        else:
            kept[item["location"]] = item
    path.write_text(json.dumps(index | {"items": [*kept.values()]}, ensure_ascii=False), encoding="utf-8")


def build() -> int:
    """Build the site; return 1 where Zensical warns, or a link leads nowhere."""
    stage()
    done = subprocess.run(
        [*ZENSICAL, "build", "--clean", "--strict"],
        cwd=ROOT, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.stderr.write(COLOUR.sub("", done.stdout + done.stderr))
        return 1
    merge_members()
    broken = broken_links()
    sys.stderr.write("".join(f"broken link: {each}\n" for each in broken))
    return 1 if broken else 0


def serve() -> int:
    """Show the site until it is interrupted; a change of a page is copied within a second."""
    stage()
    server = subprocess.Popen([*ZENSICAL, "serve", "--dev-addr", ADDRESS], cwd=ROOT)
    try:
        while server.poll() is None:
            time.sleep(1)
            stage()
    except KeyboardInterrupt:
        server.terminate()
    return server.wait()


if __name__ == "__main__":
    sys.exit({"build": build, "serve": serve}[sys.argv[1]]())
