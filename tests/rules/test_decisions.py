"""A decision says what a store's outcome means, for every combination of limits, lines and fallbacks."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from strategies import NOW

from entitlements import UNLIMITED, Account, Enforcer, Policy
from entitlements.model.answers import Fallback, Line, Outcome, Status, Totalled
from entitlements.model.charge import Verb
from entitlements.model.decision_fields import fields_of, line_of, parts_of
from entitlements.model.instants import SECOND
from entitlements.model.overage import Included
from entitlements.model.reasons import Reason
from entitlements.rules.decisions import crossed, mode_of, refund_of, total_set
from entitlements.rules.planning import plan

POLICY = Policy.parse({
    "policy": {"version": 1},
    "limits": {
        "api": {"kind": "rate"}, "calls": {"kind": "rate", "algorithm": "token-bucket", "burst": 4}, "open": {"kind": "rate"},
        "quiet": {"kind": "rate", "mode": "shadow"}, "leads": {"kind": "quota"}, "mails": {"kind": "quota"},
        "watched": {"kind": "quota", "mode": "shadow"}, "absent": {"kind": "quota", "mode": "shadow"}, "seats": {"kind": "allocation"}, "pages": {"kind": "quota"},
    },
    "tiers": {"one": {"rank": 1, "limits": {
        "api": "10 per hour", "calls": "6 per hour", "open": "unlimited", "leads": {"included": 5, "overage": 3},
        "mails": "unlimited", "watched": 2, "seats": 8, "pages": 1000,
    }}},
})  # fmt: skip
AT_ONCE = {"api": 10, "calls": 4, "leads": 8, "watched": 2, "absent": 0, "seats": 8}
SHARED = {**AT_ONCE, "leads": 5}
"""The units of which decisions show what is left."""
SHADOW = {"quiet", "watched", "absent"}
STATIC = {"open": (True, Reason.UNLIMITED), "quiet": (False, Reason.NOT_INCLUDED)}
"""What the entitlements alone decide."""
REFUSED = {
    "api": Reason.RATE_LIMITED, "calls": Reason.RATE_LIMITED, "leads": Reason.QUOTA_EXCEEDED,
    "watched": Reason.QUOTA_EXCEEDED, "seats": Reason.ALLOCATION_FULL,
}  # fmt: skip
ENTITLEMENTS = Enforcer(POLICY).entitlements(Account("acme", "one"))
RATES = {"api", "calls"}


def random_outcome(random):
    """Return the units of a charge, its operation id, and its outcome by limit: a line, with a fallback in an outage."""
    names = random.sample([*REFUSED, *STATIC, "mails", "absent"], random.randint(1, 4))
    wanted = {name: random.randint(1, AT_ONCE[name] if name in RATES else 9) for name in names}
    is_outage, lines, fallbacks = random.random() < 0.3, {}, {}
    for name in sorted(wanted.keys() - STATIC.keys()):
        fits = name == "mails" or (random.random() < 0.75 and (name != "absent" or is_outage))
        used = None if is_outage else random.choice([None, *range(10)])
        taken = random.choice([0, wanted[name]]) if fits else 0
        retry_at = None if fits else random.choice([None, 0, NOW + 1, NOW + 2])
        lines[name] = Line(fits, used, 0, retry_at, random.choice([None, NOW + 3]), 4, taken)
        if is_outage:
            kept = Fallback.LOCAL if name in RATES else Fallback.JOURNAL
            refused = [Fallback.LOCAL, Fallback.DENY] if name in RATES else [Fallback.DENY]
            fallbacks[name] = random.choice([kept, kept, Fallback.ALLOW] if fits else refused)
    return wanted, random.choice([None, "o:a"]), lines, fallbacks


def reason_of(name, units, line, fallback, operation):
    """Return the reason of one limit that a store decides."""
    if fallback is Fallback.DENY:
        return Reason.STORE_UNAVAILABLE
    if not line.fits:
        if not AT_ONCE[name]:
            return Reason.NOT_INCLUDED
        return Reason.NEVER_FITS if units > AT_ONCE[name] else REFUSED[name]
    if name == "mails":
        return Reason.UNLIMITED
    if fallback in (Fallback.ALLOW, Fallback.JOURNAL):
        return Reason.OUTAGE_ALLOWED
    after = (line.used or 0) + (units if operation is None and not line.taken else 0)
    return Reason.OVERAGE if name == "leads" and after > 5 else Reason.WITHIN_LIMIT


def left_of(name, reason, line):
    """Return the share that is left of a limit that admits."""
    if reason is Reason.OVERAGE:
        return -1
    if line is None or line.used is None or not SHARED.get(name):
        return 1
    return Fraction(max(0, SHARED[name] - line.used), SHARED[name])


def said(decision):
    """Return what a decision says, but for its parts and the facts behind it."""
    allowed, reason, facts, receipt, line, _ = fields_of(decision)
    part = receipt.part and receipt.part.limit.name
    return allowed, reason, facts.feature, receipt._replace(part=part), line


def test_the_decision_of_several_limits_follows_from_what_each_of_them_says():
    random = Random(1)
    for _ in range(2_500):
        check_decision(*random_outcome(random))


def check_decision(wanted, operation, lines, fallbacks):
    """Check a decision against those of its limits."""
    prepared = plan(ENTITLEMENTS, Verb.CONSUME, wanted, NOW, operation="a").prepared
    if not prepared.parts:
        return
    kept = [fallbacks[part.limit.name] for part in prepared.parts if fallbacks]
    outcome = Outcome(
        Status.ADMITTED, NOW, tuple(lines[part.limit.name] for part in prepared.parts), fallbacks=tuple(kept)
    )

    whole = prepared.decide("acme", outcome, "memory", operation)

    expected, id = {}, operation if not kept or Fallback.JOURNAL in kept else None
    for name, units in wanted.items():
        line, fallback = lines.get(name), fallbacks.get(name)
        if line is None:
            expected[name] = (*STATIC[name], name, ("static", 0, units, None, None, None, False, False, "acme"), None)
            continue
        via = "memory" if not kept else "journal" if fallback is Fallback.JOURNAL else "local"
        part = name if not kept or via == "journal" else None
        receipt = via, NOW, units, id, part, None, bool(kept), False, "acme"
        expected[name] = line.fits, reason_of(name, units, line, fallback, operation), name, receipt, line
    refusing = [name for name in wanted if not expected[name][0] and name not in SHADOW]
    admitting = [name for name in sorted(wanted, key=lambda name: name in STATIC) if expected[name][0]]
    if refusing:
        deciding = max(refusing, key=lambda name: (lines[name].retry_at is None, lines[name].retry_at or 0))
    elif admitting:
        deciding = min(admitting, key=lambda name: left_of(name, expected[name][1], expected[name][4]))
    else:
        deciding = next(iter(wanted))
    if kept and not refusing and deciding in STATIC:
        deciding = next(name for name in wanted if name in lines)
    allowed, reason, name, receipt, line = expected[deciding]
    if allowed == bool(refusing):  # the refusal of a shadow limit
        allowed, reason, line = True, Reason.WITHIN_LIMIT, line and line._replace(fits=True, retry_at=None)

    assert (allowed, reason, name, receipt, line) == said(whole)
    assert expected == {part.feature: said(part) for part in parts_of(whole)}


@pytest.mark.parametrize(("size", "line", "reason"), [
    (5, Line(True, 5), Reason.WITHIN_LIMIT),
    (Included(5, UNLIMITED), Line(True, 5), Reason.WITHIN_LIMIT),
    (Included(5, UNLIMITED), Line(True, 6), Reason.OVERAGE),
    (UNLIMITED, Line(True, 6), Reason.WITHIN_LIMIT),
    (5, Line(False, 5), Reason.QUOTA_EXCEEDED),
    (1, Line(False, 5), Reason.NEVER_FITS),
    (2, Line(False, 5), Reason.QUOTA_EXCEEDED),
    (0, Line(False, 5), Reason.NOT_INCLUDED),
])  # fmt: skip
def test_a_repeat_is_decided_by_the_size_of_its_first_time(size, line, reason):
    prepared = plan(ENTITLEMENTS, Verb.CONSUME, {"leads": 2, "open": 1}, NOW, key="a").prepared
    at = [part.limit.name for part in prepared.parts].index("leads")
    lines, sizes = [Line(True, None)] * 2, [UNLIMITED] * 2
    lines[at], sizes[at] = line, size
    outcome = Outcome(Status.REPLAYED, NOW, tuple(lines), sizes=tuple(sizes))

    for own, via in (("", "memory"), ("store", "store")):
        decision = prepared.decide("acme", outcome._replace(via=own), "memory", "k:a")
        assert (line.fits, reason, "leads", via, True) == (
            decision.allowed, decision.reason, decision.feature, decision.via, decision.replayed,
        )  # fmt: skip


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_charge_that_the_store_had_no_room_for_is_admitted_or_refused_for_a_second(is_allowed):
    prepared = plan(ENTITLEMENTS, Verb.CONSUME, {"leads": 2, "api": 1}, NOW, operation="a").prepared
    status = Status.WAIVED if is_allowed else Status.UNAVAILABLE

    decision = prepared.decide("acme", Outcome(status, NOW), "memory", "o:a")

    assert is_allowed == decision.allowed
    assert decision.degraded
    assert (None if is_allowed else NOW + SECOND) == line_of(decision).retry_at
    assert (Reason.OUTAGE_ALLOWED if is_allowed else Reason.STORE_UNAVAILABLE) is decision.reason
    assert {"leads", "api"} == decision.parts.keys()


def test_a_total_that_was_set_is_within_its_limit():
    facts = plan(ENTITLEMENTS, Verb.CONSUME, {"seats": 2}, NOW).prepared.limits[0].facts

    assert (True, Reason.WITHIN_LIMIT, "seats", 5) == (
        *said(total_set("acme", facts, Totalled(Line(True, 5)), 5, None))[:3], 5
    )  # fmt: skip


def consumed(used, units=1, *, name="seats", key=None, status=Status.ADMITTED, fallback=None, fits=True):
    """Return the decision about a charge after which so many units are used."""
    planned = plan(ENTITLEMENTS, Verb.CONSUME, {name: units}, NOW, operation="a", key=key)
    lines, fallbacks = (Line(fits, used, taken=units),), (fallback,) if fallback else ()
    outcome = Outcome(status, NOW, lines, sizes=(8,), fallbacks=fallbacks)
    return planned.prepared.decide("acme", outcome, "memory", planned.order.operation)


@pytest.mark.parametrize("before", [0, 1, 9, 10, 99, 490, 499, 989, 990, 999])
@pytest.mark.parametrize("units", [1, 9, 10, 11, 500])
def test_a_share_is_crossed_by_the_charge_that_reaches_it(before, units):
    expected = [each for each in (1, 50, 99, 100) if before < 10 * each <= before + units]

    assert expected == [each for each, _ in crossed(consumed(before + units, units, name="pages"), (1, 50, 99, 100))]


def test_a_repeat_and_a_rate_cross_no_share():
    assert [] == crossed(consumed(8, 8, status=Status.REPLAYED), (50,))
    assert [] == crossed(consumed(8, 4, name="calls"), (50,))


@pytest.mark.parametrize(("key", "fallback", "at"), [
    ("a", None, NOW), (None, None, None), ("a", Fallback.JOURNAL, None), (None, Fallback.JOURNAL, None),
])  # fmt: skip
def test_a_refund_names_the_instant_of_a_charge_with_a_key_that_the_store_counted(key, fallback, at):
    order = refund_of(consumed(1, key=key, fallback=fallback), rates=False)

    assert (at, "k:a" if key else "o:a") == (order.charged_at, order.operation)


@pytest.mark.parametrize(("fallback", "fits", "mode"), [
    (Fallback.LOCAL, True, "local"), (Fallback.LOCAL, False, "local"), (Fallback.ALLOW, True, "allow"), (Fallback.DENY, False, "deny"),
])  # fmt: skip
def test_a_decision_without_the_store_says_which_fallback_made_it(fallback, fits, mode):
    assert mode == mode_of(consumed(None, name="api", fallback=fallback, fits=fits))
