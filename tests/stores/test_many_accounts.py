"""Many accounts, in counts that do not depend on the machine: bytes of an account, and entries of a process's caches."""

from __future__ import annotations

import pytest

from benchmarks import million
from entitlements import resolved_cache

ACCOUNTS = 3000
MOST = 700
"""Bytes of an account with a sliding rate and a quota, the tables of the server included."""


def test_an_account_with_a_rate_and_a_quota_takes_700_bytes_of_a_server_with_the_setting_for_it(server):
    """By default a field of more than 64 bytes makes of a hash a table, which takes up to 300 bytes more."""
    with server.client() as client:
        client.config_set("hash-max-ziplist-value", 512)  # its old name, which every version knows
        million.load(server.url, 0, 1)
        empty = million.used_memory(client)
        million.load(server.url, 0, ACCOUNTS)
        each = (million.used_memory(client) - empty) / ACCOUNTS
        found = million.records(client, ACCOUNTS)

    assert {"listpack", "ziplist"} >= set(found["encodings"])
    assert 300 < each <= MOST
    assert 300 < found["most"] <= MOST


@pytest.mark.parametrize(("held", "resolved"), [(50, 100), (200, 200)])
async def test_a_process_keeps_no_more_accounts_than_its_caches_hold(held, resolved, valkey, monkeypatch):
    monkeypatch.setattr(resolved_cache, "LEAST_SIZE", 100)
    source = million.Directory()
    async with million.enforcer_of(valkey.url, million.kept(source, held), 1) as enforcer:
        await million.charge_all(enforcer, map(million.account, range(400)))
        found = million.entries(enforcer)

    assert 400 == source.loads
    assert {"loaded accounts": held, "resolved accounts": resolved}.items() <= found.items()
    assert {"versions": 0, "open sequences": 0}.items() <= found.items()
