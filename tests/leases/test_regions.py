"""Regions that lease from each account's home region, over a slow network that is cut: never more than the limit."""

from __future__ import annotations

import pytest

from benchmarks.any_window import Admission
from benchmarks.regions import LONG, REGIONS, SHORT, Run, simulate, sizes_for


@pytest.fixture
def ports(rack):
    servers = [rack.start("valkey-9") for _ in REGIONS]
    yield [server.port for server in servers]
    for server in servers:
        rack.remove(server)


async def check(ports, seconds, seed):
    run = await simulate(ports, seconds=seconds, seed=seed, delay=0.08)

    assert {home for home, _ in run.admitted} == set(REGIONS)
    assert run.told["cuts"] > 0
    assert {(region, home) for region in REGIONS for home in REGIONS} == run.leased
    for (home, limit), admissions in run.admitted.items():
        assert 0 < run.most(home, limit) <= run.sizes[limit]
        if limit == "leads":
            assert len(admissions) <= run.counted[home, limit]


async def test_no_region_gets_more_than_is_left_at_home(ports):
    await check(ports, 1.0, 1)


@pytest.mark.slow  # three runs of eight seconds
@pytest.mark.parametrize("seed", [2, 3, 4])
async def test_no_cut_between_regions_admits_more_than_the_limit(ports, seed):
    await check(ports, 8.0, seed)


@pytest.mark.parametrize(("limit", "window"), [("api", LONG), ("burst", SHORT), ("leads", 10**15)])
def test_what_the_regions_were_allowed_is_summed_over_all_of_them(limit, window):
    at = 1_790_000_000_000_000
    admissions = [
        Admission(at, at, 1),
        Admission(at + window - 1, at + window - 1, 1),
        Admission(at + window, at + window, 1),
    ]
    run = Run(sizes_for(1), {("eu", limit): admissions})

    assert run.most("eu", limit) == (3 if limit == "leads" else 2)
