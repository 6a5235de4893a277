"""Limits of the compliance suite: every rate algorithm, kind and mode."""

from __future__ import annotations

from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND
from entitlements.model.limits import Algorithm, Allocation, Mode, PeriodLength, Quota, Rate
from entitlements.model.names import MAX_RATE

_DEADLINE = 10 * SECOND
"""Deadline of every limit here: a slow machine must not fail a store."""

RATES = (
    Rate("api", MINUTE, deadline=_DEADLINE),
    Rate("api", 61 * SECOND + 7, deadline=_DEADLINE),
    Rate("api", MINUTE, Algorithm.FIXED, deadline=_DEADLINE),
    Rate("api", MINUTE, Algorithm.TOKEN_BUCKET, deadline=_DEADLINE),
    Rate("api", MINUTE, Algorithm.TOKEN_BUCKET, burst=5, deadline=_DEADLINE),
    Rate("slow", 28 * DAY, Algorithm.TOKEN_BUCKET, burst=MAX_RATE, deadline=_DEADLINE),
    Rate("fixed", HOUR, Algorithm.FIXED, deadline=_DEADLINE),
    Rate("tiny", 61, deadline=_DEADLINE),
    Rate("soft", MINUTE, mode=Mode.SHADOW, deadline=_DEADLINE),
    Rate("soft-bucket", MINUTE, Algorithm.TOKEN_BUCKET, mode=Mode.SHADOW, deadline=_DEADLINE),
    Rate("ip", MINUTE, per="ip", deadline=_DEADLINE),
    Rate("ip-fixed", SECOND, Algorithm.FIXED, per="ip", deadline=_DEADLINE),
)
DAILY, YEARLY, LIFELONG = (
    Quota(f"per-{length}", length, deadline=_DEADLINE)
    for length in (PeriodLength.DAY, PeriodLength.YEAR, PeriodLength.LIFETIME)
)
LIFELONG_BEFORE = Quota(DAILY.name, PeriodLength.LIFETIME, deadline=_DEADLINE)
"""The quota of the day as another version of a policy has it."""
LEADS, TRIALS = Quota("leads", deadline=_DEADLINE), Quota("trials", mode=Mode.SHADOW, deadline=_DEADLINE)
AGENTS, PETS = Allocation("agents", deadline=_DEADLINE), Allocation("pets", mode=Mode.SHADOW, deadline=_DEADLINE)
CALLS, SEATS = Quota("calls", per="ip", deadline=_DEADLINE), Allocation("seats", per="ip", deadline=_DEADLINE)
SCOPES = ("10.0.0.1", "β")
