"""`PrometheusHook`: what operators watch, a real scrape, worker processes, and the rules and the dashboard for it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from flaky import Flaky
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from entitlements import Enforcer, MemoryStore, Policy
from entitlements.integrations.prometheus import PrometheusHook
from entitlements.model.events import AccountInvalidated, AccountsBack, AccountsDown, OperationsDropped, ReloadFailed

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "examples" / "monitoring"


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def hook(registry):
    return PrometheusHook(registry)


def test_an_outage_can_be_read_from_the_metrics(hook, registry, tmp_path):
    store = Flaky(MemoryStore())
    path = tmp_path / "policy.yaml"
    path.write_text(
        "policy: {version: 1}\nlimits: {api: {kind: rate}, leads: {kind: quota}, exports: {kind: quota, on_outage: allow}}\n"
        "tiers: {one: {rank: 1, limits: {api: 100 per hour, leads: 5, exports: 5}}}\n"
    )
    accounts = {"acme-of-secrets": "one"}
    enforcer = Enforcer(Policy.load(path), accounts=accounts, store=store, hooks=[hook], expected_processes=1)

    def value(name, **labels):
        return registry.get_sample_value(f"entitlements_{name}", labels)

    def charge(limit):
        return enforcer.consume("acme-of-secrets", limit)

    charge("api")
    labels = {"verb": "consume", "feature": "api", "tier": "one", "allowed": "true", "reason": "within-limit"}
    assert 1 == value("decisions_total", **labels, via="store")
    assert 1 == value("breaker", state="closed")
    assert 1 == value("policy", version="1")
    store.how = "lost"
    for limit in ("api", "api", "exports", "leads", "exports", "api"):
        charge(limit)
    assert [3, 2, 1] == [value("degraded_decisions_total", mode=mode) for mode in ("local", "allow", "deny")]
    assert [0, 1] == [value("breaker", state=state) for state in ("closed", "open")]
    assert value("unknown_outcomes_total", repeated="true") > 0
    assert 2 == value("journal_waiting")
    store.how = None
    enforcer._store._store.policy.breaker._probe_at = 0
    charge("api")
    assert 1 == value("breaker", state="closed")
    assert (2, 0, 0) == (value("journal_replayed_total"), value("journal_lost_total"), value("journal_waiting"))
    enforcer.set_usage("acme-of-secrets", "leads", 4)
    assert 1 == value("thresholds_total", limit="leads", tier="one", percent="80")


def test_changes_of_state_are_counted(hook, registry):
    enforcer = Enforcer(Policy.load(ROOT / "policies" / "minimal.yaml"), accounts={}, hooks=[hook])

    def value(name, **labels):
        return registry.get_sample_value(f"entitlements_{name}", labels)

    enforcer.reload(enforcer.policy)
    hook(ReloadFailed("policy.yaml", "line 3"))
    assert [1, 1] == [value("policy_reloads_total", good=good) for good in ("true", "false")]
    hook(AccountsDown("ConnectionError: gone"))
    assert 0 == value("accounts")
    hook(AccountsBack())
    assert 1 == value("accounts")
    for event in (AccountInvalidated("acme"), AccountInvalidated(None), OperationsDropped("acme", 7)):
        hook(event)
    assert (2, 7) == (value("invalidations_total"), value("operations_dropped_total"))


def test_versions_of_the_policy_in_force_are_told_apart(hook, registry):
    tiers = {"one": {"rank": 1}}
    enforcer = Enforcer(Policy.parse({"policy": {"version": "a"}, "tiers": tiers}), accounts={}, hooks=[hook])

    enforcer.reload(Policy.parse({"policy": {"version": "b"}, "tiers": tiers}))
    enforcer.reload(Policy.parse({"policy": {"version": "c"}, "tiers": tiers}))

    versions = [registry.get_sample_value("entitlements_policy", {"version": version}) for version in "bc"]
    assert [0, 1] == versions


def scraped(url):
    """Return the samples of a scrape: name, labels and value."""
    families = text_string_to_metric_families(httpx.get(url, timeout=60).text)
    return [sample for family in families for sample in family.samples]


def total(samples, name, **labels):
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def test_a_scrape_over_http_shows_what_threads_have_charged(hook, registry):
    enforcer = Enforcer(Policy.load(ROOT / "policies" / "minimal.yaml"), accounts={"acme": "pro"}, hooks=[hook])
    threads = [threading.Thread(target=lambda: [enforcer.consume("acme", "api") for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server, serving = start_http_server(0, "127.0.0.1", registry)
    try:
        samples = scraped(f"http://127.0.0.1:{server.server_port}/metrics")
    finally:
        server.shutdown()
        server.server_close()
        serving.join()

    assert 2000 == total(samples, "entitlements_decisions_total", feature="api", allowed="true")


WORKERS_APP = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from entitlements import Enforcer, Policy
from entitlements.integrations.prometheus import PrometheusHook
import os, time

enforcer = Enforcer(Policy.load(os.environ["POLICY"]), accounts={"acme": "pro"}, hooks=[PrometheusHook()], expected_processes=1)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        body = generate_latest(registry)
    else:
        enforcer.consume("acme", "api")
        time.sleep(0.05)  # the next request finds this worker busy, and goes to the other one
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
"""


@pytest.mark.parametrize(
    "preload", [pytest.param([], marks=pytest.mark.slow, id="imported"), pytest.param(["--preload"], id="preloaded")]
)
def test_workers_of_gunicorn_are_counted_together(tmp_path, preload):
    (tmp_path / "metrics_app.py").write_text(WORKERS_APP)
    (tmp_path / "metrics").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        "POLICY": str(ROOT / "policies" / "minimal.yaml"),
    }
    command = [sys.executable, "-m", "gunicorn", "metrics_app:app", "--bind", f"127.0.0.1:{port}", "--workers", "2",
               "--timeout", "0", "--log-level", "critical", "--no-control-socket", *preload]  # fmt: skip
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        charges, workers = 0, set()
        until = time.monotonic() + 600
        while len(workers) < 2 or charges < 40:
            assert time.monotonic() < until, "two workers never answered"
            try:
                httpx.get(url + "/metrics", timeout=600)
            except httpx.ConnectError:  # it does not listen yet
                time.sleep(0.05)
                continue
            with ThreadPoolExecutor(2) as pool:
                for answer in pool.map(lambda _: httpx.get(url, timeout=600), range(10)):
                    workers.add(answer.text)
                    charges += 1
        samples = scraped(f"{url}/metrics")
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(60)

    assert charges == total(samples, "entitlements_decisions_total", feature="api", tier="pro")
    assert 2 == total(samples, "entitlements_policy", version="1")
    assert 0 == total(samples, "entitlements_breaker", state="open")
    assert 2 <= total(samples, "entitlements_breaker", state="closed") <= 3  # a parent that has loaded it counts too
    assert 1 == total(samples, "entitlements_accounts")


# -- The dashboard and the rules -----------------------------------------------------------------------------------

EXPRESSIONS = [
    target["expr"]
    for panel in json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    for target in panel["targets"]
] + re.findall(r"expr: (?:\|\n)?((?:.|\n {10,})+)", (MONITORING / "alerts.yaml").read_text(encoding="utf-8"))


def metrics_of(registry):
    """Return each metric's label names; a counter by the name of its sample."""
    return {
        name: set(collector._labelnames)
        for collector in set(registry._collector_to_names)
        for name in registry._collector_to_names[collector]
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_there_are(hook, registry, expression):
    known = metrics_of(registry)
    asked = re.findall(r"(entitlements_\w+)(?:\{([^}]*)\})?", expression)
    selected = {label for _, labels in asked for label in re.findall(r"(\w+)\s*(?:=~|!=|=)", labels)}
    grouped = {label for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(", ")}

    assert asked
    assert {name for name, _ in asked} <= set(known)
    assert selected | grouped <= set().union(*(known[name] for name, _ in asked)) | {"job", "instance"}


def test_each_panel_has_a_place_and_a_number_of_its_own():
    panels = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for panel in panels
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len(panels) == len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels})


def test_every_metric_is_on_the_dashboard_or_in_a_rule(hook, registry):
    shown = " ".join(EXPRESSIONS)
    samples = {name for name in metrics_of(registry) if not name.endswith("_created")}
    counters = {name.removesuffix("_total") for name in samples if name.endswith("_total")}

    missing = {name for name in samples - counters if name not in shown}
    assert missing == {"entitlements_operations_dropped_total", "entitlements_policy_changed_seconds"}


@pytest.mark.parametrize("command", [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]])
def test_the_rules_are_right(command):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH; Debian has it in its package prometheus")

    done = subprocess.run([promtool, *command], cwd=MONITORING, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr), done.stdout
