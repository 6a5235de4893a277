"""A policy with leases, and what the tests of leases count."""

from __future__ import annotations

from entitlements import Policy

LEASE = 50
KINDS = ("api", "daily", "leads", "seats", "calls")
"""A sliding and a fixed rate, a quota, an allocation, and a quota per user."""


def leased_policy(size=1000, *, lease=LEASE, version=1, plain=(), deadline="20 seconds"):
    """Return a policy whose limits all have the same *size*, and a lease but for those named in *plain*."""
    limits = {
        "api": {"kind": "rate"},
        "daily": {"kind": "rate", "algorithm": "fixed"},
        "leads": {"kind": "quota", "on_outage": "allow"},
        "seats": {"kind": "allocation", "on_outage": "allow"},
        "calls": {"kind": "quota", "per": "user", "on_outage": "allow"},
        "other": {"kind": "quota", "on_outage": "allow"},
    }
    leases = {name: {} if name in (*plain, "other") else {"lease": lease} for name in limits}
    return Policy.parse({
        "policy": {"version": version},
        "limits": {name: limit | leases[name] | {"deadline": deadline} for name, limit in limits.items()},
        "tiers": {
            "low": {"rank": 1, "limits": sizes(size)},
            "high": {"rank": 2, "limits": sizes(2 * size)},
            "none": {"rank": 3, "limits": dict.fromkeys(limits, "unlimited")},
        },
    })  # fmt: skip


def sizes(size):
    counts = dict.fromkeys(("leads", "seats", "calls", "other"), size)
    return {"api": f"{size} per hour", "daily": f"{size} per day", **counts}


def scope_of(name):
    """Return the scope that a limit of the policy needs."""
    return "ann" if name == "calls" else None


def round_trips(server):
    """Return how often a script was called on the server."""
    with server.client() as client:
        stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))
