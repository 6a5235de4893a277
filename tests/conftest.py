"""Settings of the property tests, the number of workers, `--quick`, and the fixtures of the helpers."""

import os
import re
from pathlib import Path

from hypothesis import HealthCheck, settings

# `make quick` tries few examples, `make test` some, `make test-full` many.
# No deadline: a shared machine pauses at random, and a pause is no defect of ours.
settings.register_profile("default", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", parent=settings.get_profile("default"), max_examples=10)
settings.register_profile("full", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile("default")

pytest_plugins = ["servers", "postgres", "faultlab.report"]

OUTSIDE = ("benchmarks", "browser", "contests", "entitlements.cli", "faultlab", "httpx", "leads", "multiprocessing", "postgres",
           "proxy", "servers", "socket", "subprocess", "tools.docs.pictures", "tools.docs.reference", "topologies", "webserver")  # fmt: skip
"""Modules by which a test reaches a process, a server, a browser or a whole command."""
IMPORT = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(OUTSIDE)})\b", re.MULTILINE)
CALLS = {"fork", "forked", "getfixturevalue"}
"""Names by which a single test does so."""
UNTRACED = re.compile(
    r"tests/(?:project|examples|faults)/"
    r"|tests/rules/test_any_window"
    r"|tests/stores/test_(?:compliance|redis_equality|redis_exactness|redis_concurrency|redis_failover|hostile_memory"
    r"|outage_servers|operating_redis|servers|shapes|sequence_model)\.py"
)
"""Tests of programs, and those that compare stores and servers at length: tracing doubles what they compute."""


def pytest_addoption(parser):
    parser.addoption(
        "--quick", action="store_true", help="only tests without servers, processes, browsers and commands"
    )


def pytest_configure(config):
    if config.getoption("quick"):
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config):
    """Skip the files of `--quick` that import what reaches outside, before anything is imported."""
    if config.getoption("quick") and collection_path.name.startswith("test_"):
        return bool(IMPORT.search(collection_path.read_text(encoding="utf-8"))) or None
    return None


def pytest_collection_modifyitems(config, items):
    """Deselect the tests of `--quick` that start a server or a process by a fixture or a call; trace some tests only."""
    for item in items:
        if UNTRACED.search(item.nodeid):
            item.add_marker("no_cover")
    if config.getoption("quick"):
        outside = [item for item in items if reaches_outside(item)]
        config.hook.pytest_deselected(items=outside)
        items[:] = [item for item in items if item not in set(outside)]


def reaches_outside(item):
    code = getattr(getattr(item, "function", None), "__code__", None)
    return "rack" in item.fixturenames or (code is not None and not CALLS.isdisjoint(code.co_names))


def pytest_xdist_auto_num_workers():
    """Return half as many workers again as there are cores: tests of servers wait more than they compute."""
    return max(2, min(8, (os.cpu_count() or 1) * 3 // 2))
