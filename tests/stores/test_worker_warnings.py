"""Warnings, once each, of a store that does not fit: one that blocks a loop, or a memory for each worker."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from entitlements import AsyncEnforcer, Enforcer, MemoryStore, Policy
from entitlements.stores import workers

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"api": {"kind": "rate", "deadline": "20 seconds"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "5 per hour"}}},
})  # fmt: skip
ACCOUNTS = {"acme": "one"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing has been warned of, and no server or variable says anything of workers."""
    monkeypatch.setattr(workers, "_warned", set())
    monkeypatch.setattr(sys, "argv", ["app.py"])
    for name in workers._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def warned_of_memory(caplog):
    return [line for line in caplog.messages if "memory://" in line]


@pytest.mark.parametrize("name", workers._ENVIRONMENT)
@pytest.mark.parametrize("enforcer", [Enforcer, AsyncEnforcer])
def test_memory_in_several_workers_is_warned_of_once(monkeypatch, caplog, name, enforcer):
    monkeypatch.setenv(name, "4")
    for _ in range(2):
        enforcer(POLICY, accounts=ACCOUNTS)
    assert 1 == len(warned_of_memory(caplog))
    assert f"{name} is 4" in caplog.text


@pytest.mark.parametrize("options", [["--workers", "3"], ["--workers=3"], ["-w", "3"], ["-w3"]])
@pytest.mark.parametrize("program", ["/usr/bin/gunicorn", "/lib/uvicorn/__main__.py", "hypercorn", "granian"])
def test_the_options_of_a_server_count_too(monkeypatch, caplog, program, options):
    monkeypatch.setattr(sys, "argv", [program, "app:app", *options, "--bind", "127.0.0.1:8000"])
    Enforcer(POLICY, accounts=ACCOUNTS, store=MemoryStore())
    assert 1 == len(warned_of_memory(caplog))


@pytest.mark.parametrize(("argv", "expected"), [
    (["uvicorn", "app:app"], None), (["uvicorn", "app:app", "--workers", "1"], None), (["pytest", "--workers", "4"], None),
    (["uvicorn", "app:app", "--workers", "4"], 1),
])  # fmt: skip
def test_one_worker_is_not_warned_of_nor_what_the_application_says(monkeypatch, caplog, argv, expected):
    monkeypatch.setattr(sys, "argv", argv)
    Enforcer(POLICY, accounts=ACCOUNTS, expected_processes=expected)
    assert not warned_of_memory(caplog)


def test_a_store_that_the_workers_share_is_not_warned_of(monkeypatch, caplog, valkey):
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url):
        assert not warned_of_memory(caplog)


def test_a_served_application_says_it_in_its_workers():
    code = "from entitlements import Enforcer, Policy; Enforcer(Policy.load('policies/minimal.yaml'), accounts={})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"WEB_CONCURRENCY": "2"}
    )
    assert 1 == done.stderr.count("WEB_CONCURRENCY is 2, but memory:// counts in each process by itself")


# --- An enforcer that blocks --------------------------------------------------------------------------------------


def test_a_blocking_enforcer_on_a_loop_is_warned_of_once(valkey, caplog):
    async def on_a_loop(enforcer):
        return [enforcer.consume("acme", "api").allowed for _ in range(2)]

    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as enforcer:
        enforcer.consume("acme", "api")
        assert "blocking Enforcer" not in caplog.text
        assert [True, True] == asyncio.run(on_a_loop(enforcer))
    assert 1 == caplog.text.count("a blocking Enforcer is used on an event loop")


def test_a_blocking_enforcer_in_a_thread_of_a_loop_or_on_memory_is_not(valkey, caplog):
    async def in_a_thread(enforcer):
        return await asyncio.to_thread(enforcer.consume, "acme", "api")

    async def on_the_loop(enforcer):
        return enforcer.consume("acme", "api")

    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as enforcer:
        assert asyncio.run(in_a_thread(enforcer))
    assert asyncio.run(on_the_loop(Enforcer(POLICY, accounts=ACCOUNTS)))
    assert "blocking Enforcer" not in caplog.text
