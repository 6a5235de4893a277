"""The Prometheus example counts what operators watch, and names no account."""

import importlib.util
from pathlib import Path

import pytest
from flaky import Flaky
from prometheus_client import CollectorRegistry, generate_latest

from entitlements import Enforcer, MemoryStore, Policy
from entitlements.model.events import AccountsBack, AccountsDown

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "prometheus_metrics.py"


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def hook(registry):
    spec = importlib.util.spec_from_file_location("prometheus_metrics", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.Metrics(registry)


def test_an_outage_can_be_read_from_the_metrics_and_no_account_can(hook, registry, tmp_path):
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
    assert 1 == value(
        "decisions_total", verb="consume", feature="api", allowed="true", reason="within-limit", via="store"
    )
    assert 1 == value("breaker", state="closed")
    store.how = "lost"
    for limit in ("api", "api", "exports", "leads", "exports", "api"):
        charge(limit)
    assert [3, 2, 1] == [value("degraded_decisions_total", mode=mode) for mode in ("local", "allow", "deny")]
    assert [0, 1] == [value("breaker", state=state) for state in ("closed", "open")]
    assert value("unknown_outcomes_total", repeated="true") > 0
    store.how = None
    enforcer._store._store.policy.breaker._probe_at = 0
    charge("api")
    assert 1 == value("breaker", state="closed")
    assert (2, 0, 0) == (value("journal_replayed_total"), value("journal_lost_total"), value("journal_waiting"))
    enforcer.reload(enforcer.policy)
    assert 1 == value("policy_reloads_total", good="true")
    hook(AccountsDown("ConnectionError: gone"))
    assert 0 == value("accounts")
    hook(AccountsBack())
    assert 1 == value("accounts")
    assert b"acme" not in generate_latest(registry)
