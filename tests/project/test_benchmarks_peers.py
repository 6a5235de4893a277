"""The benchmarks beside peers: what of them needs no other library than ours. No figure is looked at."""

from __future__ import annotations

import asyncio
import json
import os

import httpx
import pytest

from benchmarks import can_cases, can_peers, http_peers, peers, rounds
from benchmarks.http_apps import APPS, HEADER, POLICY, account
from benchmarks.http_peers import CASES, counted
from entitlements import AsyncEnforcer, Enforcer, Policy, use

WRK = """Running 1s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  21933 requests in 1.10s, 3.14MB read
Requests/sec:  19939.09
"""


# -- http_peers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Starlette", "Starlette, entitlements", "FastAPI", "FastAPI, entitlements"])
async def test_our_applications_answer_200_and_ours_alone_says_what_is_left(name):
    app = APPS[name]("memory://")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        answer = await client.get("/", headers={HEADER: account(7)})

    assert 200 == answer.status_code
    assert ("entitlements" in name) == ("ratelimit" in answer.headers)


def test_every_case_has_an_application_and_a_bare_one_to_be_compared_with():
    assert list(APPS) == [case.app for case in CASES]
    assert {case.bare for case in CASES} == {case.app for case in CASES if not case.limited}


def test_what_wrk_counted_is_read_and_a_run_with_other_answers_than_200_is_refused():
    assert (21_933, 19_939.09) == counted(WRK)
    with pytest.raises(SystemExit, match="not every answer was 200"):
        counted(WRK + "  Non-2xx or 3xx responses: 3\n")
    with pytest.raises(SystemExit, match="not every answer was 200"):
        counted(WRK + "  Socket errors: connect 0, read 1, write 0, timeout 0\n")


async def test_what_ours_charged_is_found_in_redis(valkey):
    policy, accounts = Policy.parse(POLICY), {account(1): "one", account(999): "one"}
    async with AsyncEnforcer(policy, accounts=accounts, store=valkey.url, expected_processes=1) as enforcer:
        before = await asyncio.to_thread(http_peers.in_redis, valkey)
        for number in (1, 1, 999):
            await enforcer.consume(account(number), "api")

    assert (0, 3) == (before, await asyncio.to_thread(http_peers.in_redis, valkey))


def test_shares_are_of_the_bare_application_in_the_same_round():
    def round_of(rate):
        return {case.app: {"rate": rate[case.bare] / (1 + case.limited), "cpu_us": 10, "redis_us": 1} for case in CASES}

    said = http_peers.table([round_of({"Starlette": 1000, "FastAPI": 10}), round_of({"Starlette": 10, "FastAPI": 500})])

    assert "| Starlette, slowapi | 252 | 50% (50% to 50%) | 10 | 1 |" in said
    assert "| FastAPI | 255 | the base | 10 |  |" in said


def test_environments_that_serve_with_different_versions_are_refused():
    http_peers.same_serving({"a": {"uvicorn": "1"}, "b": {"uvicorn": "1"}})
    with pytest.raises(SystemExit, match="uvicorn is not the same everywhere"):
        http_peers.same_serving({"a": {"uvicorn": "1"}, "b": {"uvicorn": "2"}})


# -- can_peers -----------------------------------------------------------------------------------------------------


def test_our_answers_are_timed_beside_the_base_and_stand_in_the_table(monkeypatch):
    monkeypatch.setattr(rounds, "TARGET_NS", 10_000)
    monkeypatch.setattr(can_peers, "LIBRARIES", ["entitlements"])

    with use(Enforcer(Policy.parse(POLICY))):  # which puts back the default that was
        said = can_peers.table(can_peers.measured(1, can_cases.timed))

    rows = [line.split(" | ")[1] for line in said.splitlines()]
    assert {"`Enforcer.can(account, feature)`", "`can(account, feature)`", "`snapshot.can(feature)`"} < set(rows)
    assert "the base" == rows[-1]


def test_a_library_that_answers_wrongly_is_refused(monkeypatch):
    monkeypatch.setitem(can_cases.LIBRARIES, "wrong", lambda: {"never": lambda *_: False})

    with pytest.raises(SystemExit, match="the answer was False"):
        can_cases.timed("wrong")


# -- both ----------------------------------------------------------------------------------------------------------


def test_versions_and_raw_figures_are_written(tmp_path):
    versions = {peers.OURS: peers.versions_of(peers.OURS)}
    peers.write(tmp_path / "new" / "raw.json", {"versions": versions})

    assert versions == json.loads((tmp_path / "new" / "raw.json").read_text(encoding="utf-8"))["versions"]
    assert peers.chief(versions, "uvicorn", "nothing") == f"entitlements: uvicorn {versions[peers.OURS]['uvicorn']}"
    assert f"{os.cpu_count()} x" in peers.machine()


def test_a_peer_is_served_with_the_versions_that_are_installed_here():
    wanted = peers.requirements("slowapi")

    assert {f"{name}=={peers.installed()[name]}" for name in peers.SERVING} < set(wanted)
    assert ["growthbook==4.0.0"] == peers.requirements("growthbook")
