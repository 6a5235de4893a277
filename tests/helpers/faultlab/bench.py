"""Benches: a server, with what stands before it and beside it, set up for the kinds of faults."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from proxy import proxied
from servers import NAMED

from entitlements.accounts import AsyncCachedAccounts, CachedAccounts, StaticAccounts, ThreadedAccounts
from entitlements.stores.redis.acl import acl_rules
from faultlab.faults import FAKETIME
from faultlab.operations import ACCOUNTS, POLICY, WRITTEN


class Bench:
    """Server, policy and accounts of one cell; the cell adds its enforcer, its operation and the answers."""

    def __init__(self, server, url=None):
        self.server, self.url = server, url or server.url
        self.admin = server.client()
        self.policy, self.accounts, self.policy_file = POLICY, ACCOUNTS, None
        self.enforcer = self.operation = self.told = self.loop = None

    def accounts_for(self, mode):
        """Return the source of accounts for an enforcer of this mode."""
        if not isinstance(self.accounts, FallibleAccounts):
            return self.accounts
        ttl = timedelta(milliseconds=50)
        if mode == "sync":
            return CachedAccounts(self.accounts, ttl=ttl)
        return AsyncCachedAccounts(ThreadedAccounts(self.accounts), ttl=ttl)


class FallibleAccounts:
    """Source of accounts that fails while it is down."""

    is_down = False

    def __init__(self):
        self._accounts = StaticAccounts(ACCOUNTS)

    def find(self, id):
        if self.is_down:
            raise OSError("the directory is down")
        return self._accounts.find(id)


@contextmanager
def bench_of(kind, request):
    """Set up a bench of this kind; skip the cell where the machine lacks what it needs."""
    rack = request.getfixturevalue("rack")
    with ExitStack() as stack:
        bench = _BENCHES[kind](rack, request, stack)
        try:
            yield bench
        finally:
            bench.admin.close()


def _valkey(rack, request, stack):
    return Bench(rack.shared("valkey-9", lambda: rack.start("valkey-9")))


def _proxy(rack, request, stack, query=""):
    server = rack.shared("valkey-9", lambda: rack.start("valkey-9"))
    proxy = stack.enter_context(proxied(server.port))
    bench = Bench(server, proxy.url + query)
    bench.proxy = proxy
    return bench


def _pool(rack, request, stack):
    return _proxy(rack, request, stack, "?max_connections=1")


def _tls(rack, request, stack):
    server = request.getfixturevalue("tls_server")
    proxy = stack.enter_context(proxied(server.port, scheme="rediss"))
    bench = Bench(server, f"{proxy.url}?{server.url.partition('?')[2]}")
    bench.proxy = proxy
    return bench


def _aof(rack, request, stack):
    lines = ("appendonly yes", "appendfsync always")
    return Bench(rack.shared("append-only", lambda: rack.start("valkey-9", *lines)))


def _loading(rack, request, stack):
    return Bench(rack.shared("debug", lambda: rack.start("valkey-9", "enable-debug-command yes")))


def _acl(rack, request, stack):
    url = "redis://admin:secret@127.0.0.1:{port}"
    server = rack.shared("acl valkey-9", lambda: rack.start("valkey-9", *NAMED, url=url))
    return Bench(server, server.user(*acl_rules("ent", (9, 1))))


def _faketime(rack, request, stack):
    if not Path(FAKETIME).exists():
        pytest.skip("not run: no libfaketime (on Debian: apt install faketime)")
    clock = rack.folder / "clock"

    def start():
        clock.write_text("+0\n", encoding="utf-8")
        environment = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                       "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
        return rack.start("valkey-9", environment=environment)

    bench = Bench(rack.shared("faketime", start))
    bench.clock = clock
    return bench


def _accounts(rack, request, stack):
    bench = _valkey(rack, request, stack)
    bench.accounts = FallibleAccounts()
    return bench


def _policy(rack, request, stack):
    bench = _valkey(rack, request, stack)
    bench.policy_file = Path(request.getfixturevalue("tmp_path"), "policy.yaml")
    bench.policy_file.write_text(json.dumps(WRITTEN, indent=1), encoding="utf-8")
    return bench


_BENCHES = {
    "valkey": _valkey, "proxy": _proxy, "pool": _pool, "tls": _tls, "aof": _aof, "loading": _loading, "acl": _acl,
    "faketime": _faketime, "accounts": _accounts, "policy": _policy,
}  # fmt: skip
