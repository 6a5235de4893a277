"""
A picture of the dashboard for Grafana: `python -m benchmarks.dashboard [-o docs/dashboard.svg]`.

A process decides for ninety seconds, and its Valkey is frozen for twenty of them. A Prometheus, of Debian's package,
scrapes it each second; then each query of `examples/monitoring/dashboard.json` is drawn where its panel stands. It
shows the queries and the layout. It is not drawn by Grafana.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import suppress
from html import escape
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from entitlements import Enforcer, Policy, StoreError
from entitlements.integrations.prometheus import PrometheusHook

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # where free ports are

from servers import Rack, free_port  # noqa: E402 - as above

LASTS, DOWN, UP, STEP = 90, 40, 60, 1
COLUMN, ROW, PADDING = 50, 34, 10
COLOURS = ("#2f6f9f", "#e0a030", "#b8433a", "#4f8f5f", "#7a4fa0", "#8a8f99", "#3d4451", "#2fa0a0")
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #3d4451 } .title { font-weight: 600 } .stat { font-size: 26px }
  .panel { fill: none; stroke: #d5d9e0 } .line { fill: none; stroke-width: 1.6 }
  @media (prefers-color-scheme: dark) { text { fill: #d3d8e2 } .panel { stroke: #3a4050 } }
"""


def main() -> int:
    """Decide, scrape, query and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__.split("\n\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "dashboard.svg")
    options = parser.parse_args()
    registry = CollectorRegistry()
    metrics, port = free_port(), free_port()
    start_http_server(metrics, addr="127.0.0.1", registry=registry)
    rack = Rack()
    with tempfile.TemporaryDirectory() as folder:
        server = started(Path(folder), metrics, port)
        try:
            decide(PrometheusHook(registry), rack.start("valkey-9"))
            found = [(panel, drawn_from(panel, port)) for panel in panels()]
        finally:
            server.terminate()
            server.wait(60)
            rack.close()
    options.output.write_text(picture(found), encoding="utf-8")
    return 0


def panels() -> list[dict]:
    """Return the panels of the dashboard."""
    return json.loads((ROOT / "examples" / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))["panels"]


def started(folder: Path, metrics: int, port: int) -> subprocess.Popen:
    """Start a Prometheus that scrapes the port *metrics* each second."""
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}]\n",
        encoding="utf-8",
    )
    return subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def decide(hook: PrometheusHook, server) -> None:
    """Decide for a minute and a half, with an outage of the server."""
    policy = Policy.load(ROOT / "policies" / "minimal.yaml")
    accounts = {f"a{number}": ("free", "pro")[number % 2] for number in range(40)}
    enforcer = Enforcer(policy, accounts=accounts, store=server.url, hooks=[hook], expected_processes=1)
    signals = ((DOWN, signal.SIGSTOP), (UP, signal.SIGCONT))
    timers = [threading.Timer(at, os.kill, (server.pid, kind)) for at, kind in signals]
    for timer in timers:
        timer.start()
    began, number = time.monotonic(), 0
    while time.monotonic() - began < LASTS:
        account = f"a{number * 7 % 40}"
        enforcer.consume(account, "api")
        enforcer.consume(account, "leads")
        enforcer.decide(account, "sso")
        if number == 2000:
            enforcer.reload(Policy.load(ROOT / "policies" / "minimal.yaml"))
        if number % 300 == 0:
            with suppress(StoreError):  # in the outage
                enforcer.invalidate(account)
        number += 1
        time.sleep(0.01)
    enforcer.close()


def drawn_from(panel: dict, port: int) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return the named series of a panel over the whole time."""
    now, found = time.time(), []
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "5s").replace("$job", ".*")
        asked = urllib.parse.urlencode({"query": query, "start": now - LASTS, "end": now, "step": STEP})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query_range?{asked}", timeout=60) as reply:
            for series in json.load(reply)["data"]["result"]:
                name = target.get("legendFormat") or ""
                for label, value in series["metric"].items():
                    name = name.replace("{{" + label + "}}", value)
                points = [(at - now + LASTS, float(value)) for at, value in series["values"] if value != "NaN"]
                found.append((name, points))
    return found


def picture(found: list) -> str:
    """Return the panels as SVG."""
    tall = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in found) * ROW
    parts = [part for panel, series in found for part in drawn(panel, series)]
    wide = 24 * COLUMN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def drawn(panel: dict, series: list) -> list[str]:
    """Return one panel: a figure, or lines with their names."""
    at = panel["gridPos"]
    x, y, wide, tall = at["x"] * COLUMN, at["y"] * ROW, at["w"] * COLUMN - PADDING, at["h"] * ROW - PADDING
    parts = [
        f'<rect class="panel" x="{x}" y="{y}" width="{wide}" height="{tall}" rx="4"/>',
        f'<text class="title" x="{x + PADDING}" y="{y + 20}">{escape(panel["title"])}</text>',
    ]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    most = max((value for _, points in series for _, value in points), default=0)
    if panel["type"] == "stat":
        last = series[0][1][-1][1] if series and series[0][1] else None
        text = "no data" if last is None else shown(last, unit)
        return [*parts, f'<text class="stat" x="{x + PADDING}" y="{y + tall / 2 + 18}">{text}</text>']
    parts.append(f'<text x="{x + wide - PADDING}" y="{y + 20}" text-anchor="end">{shown(most, unit)}</text>')
    longest = max((len(name) for name, _ in series), default=0)
    columns = max(1, min(3, (wide - PADDING) // (7 * longest + 24)))
    left, top, high = x + PADDING, y + 30, tall - 40 - 16 * -(-len(series) // columns)
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(
            f"{left + when / LASTS * (wide - 2 * PADDING):.1f},{top + high - value / (most or 1) * high:.1f}"
            for when, value in points
        )
        parts.append(f'<polyline class="line" stroke="{colour}" points="{line}"/>')
        across, down = left + number % columns * (wide // columns), top + high + 18 + number // columns * 16
        parts.append(f'<rect x="{across}" y="{down - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{across + 14}" y="{down}">{escape(name)}</text>')
    return parts


def shown(value: float, unit: str) -> str:
    """Return a figure in its unit."""
    return f"{value:.1%}" if unit == "percentunit" else f"{value:.1f}/s" if unit == "reqps" else f"{value:g}"


if __name__ == "__main__":
    raise SystemExit(main())
