"""A small policy and a clock that most tests of the enforcers share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import attrgetter

from deadlines import patient

from entitlements import Enforcer, Policy
from entitlements.testing import FakeClock

START = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

WRITTEN = {
    "policy": {"version": "t1"},
    "features": {"sso": "Single sign-on", "chat": "Chat support"},
    "levels": {"reports": ["none", "basic", "full"]},
    "limits": patient(
        {
            "api": {"kind": "rate"},
            "fixed": {"kind": "rate", "algorithm": "fixed"},
            "bucket": {"kind": "rate", "algorithm": "token-bucket", "burst": 5},
            "per-ip": {"kind": "rate", "per": "ip"},
            "leads": {"kind": "quota", "unit": "lead"},
            "trials": {"kind": "quota", "mode": "shadow"},
            "agents": {"kind": "allocation", "unit": "agent"},
            "pets": {"kind": "allocation", "mode": "shadow"},
            "soft": {"kind": "rate", "mode": "shadow"},
        }
    ),
    "tiers": {
        "free": {
            "rank": 1,
            "levels": {"reports": "none"},
            "limits": {"api": "0 per hour", "leads": 3, "agents": 1},
            "values": {"support": {"phone": "none", "response": {"no-commitment": "best effort"}}},
        },
        "pro": {
            "rank": 2,
            "features": ["chat"],
            "levels": {"reports": "basic"},
            "limits": {
                "api": "10 per hour",
                "fixed": "10 per hour",
                "bucket": "60 per hour",
                "per-ip": "2 per minute",
                "leads": 10,
                "trials": 2,
                "agents": 3,
                "pets": 1,
                "soft": "2 per hour",
            },
            "values": {"support": {"phone": "business-hours", "response": timedelta(hours=8)}},
        },
        "max": {
            "rank": 3,
            "features": ["chat", "sso"],
            "levels": {"reports": "full"},
            "limits": {
                "api": "unlimited",
                "fixed": "100 per hour",
                "leads": "unlimited",
                "agents": "unlimited",
                "trials": "unlimited",
            },
            "values": {"support": {"phone": "always", "response": timedelta(hours=1)}},
        },
    },
    "add_ons": {
        "more-agents": {"tiers": ["pro"], "limits": {"agents": 2}},
        "phone": {"tiers": ["pro"], "values": {"support": {"phone": "always"}}, "features": ["sso"]},
    },
}

ACCOUNTS = {"frida": "free", "petra": "pro", "maxim": "max"}


def policy(**changes):
    """Return the shared policy, with some of its sections replaced."""
    return Policy.parse(WRITTEN | changes)


def enforcer(accounts=None, **named):
    """Return an enforcer on a fake clock, and the clock."""
    clock = FakeClock(START)
    return Enforcer(policy(), accounts=dict(accounts or ACCOUNTS), clock=clock, **named), clock


def fields(thing, *names):
    """Return some attributes of a value, dotted ones too, as a tuple."""
    return tuple(attrgetter(name)(thing) for name in names)
