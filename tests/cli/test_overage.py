"""Commands show what is included of a limit and what is beyond: in comparisons, explanations, usage and differences."""

from __future__ import annotations

import json

import pytest

from entitlements import Account, Enforcer, Policy
from entitlements.cli.console import CliConsole
from entitlements.cli.usage_bars import usage_lines
from entitlements.model.decision_fields import facts_of
from entitlements.presentation.usage_meters import meter_of

POLICY = """\
policy: {{version: {version}}}
limits: {{tokens: {{kind: quota}}, storage: {{kind: allocation, unit: byte}}}}
tiers:
  free: {{rank: 1, limits: {{tokens: 100, storage: 1 GB}}}}
  pro: {{rank: 2, limits: {{tokens: {{included: 1000, overage: {overage}}}, storage: {{included: 10 GB, overage: 5 GB}}}}}}
"""
ACCOUNTS = 'id,tier,overrides\nacme,pro,"tokens={included: 5000, overage: allow} (promise, by Ann)"\nbo,free,\n'


@pytest.fixture
def run(run_command, tmp_path):
    """Return a function that runs a command on a policy with overage, and returns what it prints."""
    for version, overage in ((1, "allow"), (2, 10)):
        (tmp_path / f"{version}.yaml").write_text(POLICY.format(version=version, overage=overage), encoding="utf-8")
    (tmp_path / "a.csv").write_text(ACCOUNTS, encoding="utf-8")

    def run(*argv, policy=True):
        given = ("--policy", "1.yaml") if policy else ()
        code, out, err = run_command(*argv, *given)
        assert code in {0, 1}, err
        return " ".join(out.split())

    return run


def test_the_comparison_of_tiers_says_both_numbers(run):
    assert "1,000 per month included, overage beyond" in run("tiers")
    assert "10 GB included, 5 GB more as overage" in run("tiers")
    size = json.loads(run("tiers", "--json"))["limits"]["tokens"]["tiers"]["pro"]
    assert {"included": 1000, "overage": "allow"} == size


def test_an_explanation_shows_the_override_as_it_is_written(run):
    said = run("explain", "acme", "tokens", "--accounts", "a.csv")

    assert "5,000 per month included, overage beyond, by an override" in said
    assert "1,000 per month included, overage beyond lost" in said


def test_the_difference_of_two_policies_is_told_where_only_the_overage_changed(run):
    said = run("diff", "1.yaml", "2.yaml", policy=False)

    assert "- tokens: 1,000 per month included, overage beyond -> 1,000 per month included, 10 more as overage" in said


def test_a_preview_names_what_is_included_there(run):
    said = run("preview", "bo", "pro", "--accounts", "a.csv")

    assert "tokens: 100 per month -> 1,000 per month included, overage beyond" in said


def test_the_bar_of_usage_counts_the_overage():
    policy = Policy.parse({
        "policy": {"version": "1"},
        "limits": {"tokens": {"kind": "quota"}},
        "tiers": {"pro": {"rank": 1, "limits": {"tokens": {"included": 10, "overage": "allow"}}}},
    })  # fmt: skip
    enforcer, account = Enforcer(policy), Account("acme", "pro")
    enforcer.consume(account, "tokens", 12)
    meter = meter_of(facts_of(enforcer.decide(account, "tokens")), enforcer.usage(account)["tokens"], None, 0)
    lines = usage_lines(CliConsole(), enforcer.entitlements(account), None, [meter])
    said = " ".join(word for line in lines for word in str(line).split())

    assert "12 of 10 per month included, overage beyond (120 %), 2 of it overage, 0 left" in said
    assert "at 100 %: any number more as overage; without the store: allowed" in said
