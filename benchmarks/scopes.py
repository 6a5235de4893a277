"""
Limits per user on a server: the time in scripts of a rate, a quota and a quota per user, beside the same three without `per`.

    python -m benchmarks.scopes redis://127.0.0.1:6379 [--rounds 15]

The server counts the microseconds itself (`INFO commandstats`). Both charges run in each round, in turn.
"""

from __future__ import annotations

import argparse
from statistics import median

import redis

from benchmarks.rounds import environment
from entitlements import Enforcer, Policy

CHARGES, WARM = 400, 50
UNITS = {"api": 1, "leads": 1, "mine": 1}
SIZES = {"api": "4000000000 per hour", "leads": 10**12, "mine": 10**12}


def policy(per):
    """Return a policy of three limits; the last one is kept *per* something, or for the account."""
    patient = {"deadline": "10 seconds"}
    limits = {"api": {"kind": "rate"} | patient, "leads": {"kind": "quota"} | patient}
    limits["mine"] = {"kind": "quota"} | patient | ({"per": per} if per else {})
    return Policy.parse({
        "policy": {"version": "1"}, "limits": limits, "tiers": {"pro": {"rank": 1, "limits": SIZES}},
    })  # fmt: skip


def microseconds(client, enforcer, scope):
    """Return the time in scripts of one charge."""
    client.config_resetstat()
    for _ in range(CHARGES):
        enforcer.consume("acme", UNITS, scope=scope)
    stats = client.info("commandstats")["cmdstat_evalsha"]
    return stats["usec"] / stats["calls"]


def main() -> int:
    """Measure, and print both charges and the median of the ratios of each round, with its spread."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scopes", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("url", help="a server that nothing else uses; its statistics are reset")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    cases = {None: None, "user": "ann"}
    plain, scoped = [], []
    with redis.Redis.from_url(options.url) as client:
        enforcers = {
            per: Enforcer(
                policy(per),
                accounts={"acme": "pro"},
                store=f"{options.url}?namespace=bench-{per}",
                expected_processes=1,
            )
            for per in cases
        }
        for per, scope in cases.items():
            for _ in range(WARM):
                enforcers[per].consume("acme", UNITS, scope=scope)
        for _ in range(options.rounds):
            for figures, (per, scope) in zip((plain, scoped), cases.items(), strict=True):
                figures.append(microseconds(client, enforcers[per], scope))
    ratios = [one / other for one, other in zip(scoped, plain, strict=True)]
    print(environment())
    print(f"a rate and two quotas                  {median(plain):6.1f} us in scripts")
    print(f"a rate, a quota and a quota per user   {median(scoped):6.1f} us in scripts")
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
