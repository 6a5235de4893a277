"""Leases on the command line: what the commands say of them."""

from __future__ import annotations

import json

import pytest

from entitlements.cli import main

POLICY = """
policy: {version: 1}
limits:
  api:   {kind: rate%s}
  leads: {kind: quota, on_outage: allow%s}
tiers:
  free: {rank: 1, limits: {api: 100 per hour, leads: 100}}
"""


@pytest.fixture
def write(tmp_path):
    def write(name, *leases):
        path = tmp_path / name
        path.write_text(POLICY % leases, encoding="utf-8")
        return str(path)

    return write


def test_explain_tells_the_lease(write, capsys):
    leased = write("leased.yaml", ", lease: 20", "")

    assert main(["explain", "acme", "api", "--policy", leased, "--tier", "free"]) == 0
    assert "lease        20 at most, spent without asking the store" in capsys.readouterr().out
    assert main(["explain", "acme", "leads", "--policy", leased, "--tier", "free"]) == 0
    assert "lease" not in capsys.readouterr().out


def test_diff_tells_that_a_lease_changes_and_no_meter_is_reset(write, capsys):
    before, after = write("before.yaml", "", ", lease: 9"), write("after.yaml", ", lease: 20", "")

    main(["diff", before, after])
    told = capsys.readouterr().out
    assert "limit api: lease none -> 20" in told
    assert "limit leads: lease 9 -> none" in told
    assert "anew" not in told


def test_validate_refuses_a_lease_that_is_too_large(write, capsys):
    assert main(["validate", "--policy", write("large.yaml", ", lease: 101", "")]) == 1
    assert "large.yaml:7: tiers.free.limits.api: the lease of 101" in capsys.readouterr().out


def test_codegen_and_the_schema_know_leases(write, capsys):
    assert main(["codegen", write("leased.yaml", ", lease: 20", ", lease: 20")]) == 0
    assert '"api"' in capsys.readouterr().out
    assert main(["schema"]) == 0
    shapes = json.loads(capsys.readouterr().out)["$defs"]
    assert all("lease" in shapes[kind]["properties"] for kind in ("RateShape", "QuotaShape", "AllocationShape"))
