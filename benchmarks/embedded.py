"""The embedded cases: no server, one process, one thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from benchmarks.rounds import Row
from benchmarks.scopes import UNITS
from benchmarks.scopes import policy as scopes_policy
from entitlements import Account, Enforcer, Override, Policy, can, use
from entitlements.model.answers import Line
from entitlements.model.decision import Decision
from entitlements.model.facts import Receipt
from entitlements.model.reasons import Reason
from entitlements.rules.explain import facts
from entitlements.stores import MemoryStore
from entitlements.stores.deny_cache import DenyCache

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Path(__file__).parent.parent / "policies" / "customer-tiers"
ACCOUNT = "northwind"

ROWS = [
    Row("enforcer.can(id, feature), account known", "can", "base", "base", 6),
    Row("can(id, feature), the module-level call", "module can", "base", "base", 8),
    Row("entitlements.can(feature), on a snapshot", "snapshot can", "base", "base", 3),
    Row("building one Decision, its receipt included", "decision", "base", "base", 12),
    Row("deny cache: refused again, whole Decision, no server asked", "denied", "base", "base", 50),
    Row("memory store: consume a sliding rate, whole Decision", "consume", "limits", "limits", 1),
    Row("  limits in memory: sliding counter, hit and stats", "limits", "base", "base"),
    Row("memory store: consume a quota", "quota", "consume", "one rate"),
    Row("memory store: consume a rate and a quota", "two", "consume", "one rate", 3),
    Row("memory store: consume a rate, a quota and seats", "three", "consume", "one rate"),
    Row("memory store: consume a quota per user", "scoped", "unscoped", "the same without per", 2),
    Row("memory store: a rate, a quota, a quota per user", "scoped three", "unscoped three", "the same without per", 2),
    Row("memory store: a rate and a quota, refused again", "refused", "two", "an allowed one", 1.5),
    Row("  base: a function that does dict.get and a frozenset test", "base", "base", "base"),
]


def cases() -> dict[str, Callable[[int], None]]:
    """Return each case as a function that runs it a given number of times."""
    policy = Policy.load(POLICY)
    enforcer = Enforcer(policy, accounts={ACCOUNT: "enterprise"})
    use(enforcer)
    snapshot = enforcer.entitlements(ACCOUNT)
    plain = {ACCOUNT: frozenset(policy.tiers["enterprise"].features)}

    def base(account, feature):
        features = plain.get(account)
        return features is not None and feature in features

    return {
        "base": lambda loops: _ask(loops, base, ACCOUNT),
        "can": lambda loops: _ask(loops, enforcer.can, ACCOUNT),
        "module can": lambda loops: _ask(loops, can, ACCOUNT),
        "snapshot can": lambda loops: _ask_snapshot(loops, snapshot.can),
        "decision": lambda loops: _decision(loops, snapshot),
        "denied": _denying(policy),
        "consume": lambda loops: _consume(loops, policy, "api"),
        "quota": lambda loops: _consume(loops, policy, "leads"),
        "two": lambda loops: _consume(loops, policy, {"api": 1, "leads": 1}),
        "three": lambda loops: _consume(loops, policy, {"api": 1, "leads": 1, "agents": 1}),
        "refused": lambda loops: _consume(loops, policy, {"api": 1, "leads": 1}, _NONE_LEFT),
        "limits": _limits,
        "unscoped": lambda loops: _consume_scoped(loops, "mine", None),
        "scoped": lambda loops: _consume_scoped(loops, "mine", "user"),
        "unscoped three": lambda loops: _consume_scoped(loops, UNITS, None),
        "scoped three": lambda loops: _consume_scoped(loops, UNITS, "user"),
    }


def _ask(loops, question, account):
    for _ in range(loops):
        question(account, "sso")


def _ask_snapshot(loops, question):
    for _ in range(loops):
        question("sso")


def _decision(loops, snapshot):
    known = facts(snapshot, "api")
    line = Line(fits=True, used=1, resets_at=1, taken=1)
    for _ in range(loops):
        Decision(True, Reason.WITHIN_LIMIT, known, Receipt("memory", 0, 1), line)


def _consume(loops, policy, limit, *more):
    account = Account(ACCOUNT, "enterprise", overrides=(_MANY, *(more or _PLENTY)))
    enforcer = Enforcer(policy, accounts={ACCOUNT: account})
    for _ in range(loops):
        enforcer.consume(ACCOUNT, limit)


def _consume_scoped(loops, what, per):
    enforcer, scope = Enforcer(scopes_policy(per), accounts={ACCOUNT: "pro"}), None if per is None else "ann"
    for _ in range(loops):
        enforcer.consume(ACCOUNT, what, scope=scope)


def _denying(policy):
    """Return a case that is refused by the deny cache; the memory store behind it is asked once a second."""
    once = Account(ACCOUNT, "enterprise", overrides=(_ONCE,))
    enforcer = Enforcer(policy, accounts={ACCOUNT: once}, store=DenyCache(MemoryStore()))

    def denied(loops):
        for _ in range(loops):
            enforcer.consume(ACCOUNT, "api")

    return denied


_ONCE = Override("api", "1 per hour", reason="used up at once", author="benchmark")
_NONE_LEFT = Override("leads", 1, reason="used up at once", author="benchmark")
_PLENTY = tuple(Override(each, 10**12, reason="never refused here", author="benchmark") for each in ("leads", "agents"))
_MANY = Override("api", "4000000000 per hour", reason="never refused here", author="benchmark")


def _limits(loops):
    limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
    item = RateLimitItemPerHour(4_000_000_000)
    for _ in range(loops):
        limiter.hit(item, ACCOUNT)
        limiter.get_window_stats(item, ACCOUNT)
