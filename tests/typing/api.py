"""The public API as a type checker sees it: checked, never run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import assert_type

from entitlements import (
    NOT_INCLUDED,
    UNLIMITED,
    Account,
    AsyncEnforcer,
    Decision,
    Enforcer,
    Entitlements,
    Grant,
    Override,
    Period,
    Policy,
    Reason,
    Remedy,
    Trial,
    Usage,
    can,
    use,
)
from entitlements.tiering.changes import ChangePreview
from entitlements.tiering.reviews import Review

policy = Policy.load("policies/minimal.yaml")
account = Account(
    "acme",
    "pro",
    trial=Trial("max", None, datetime(2030, 1, 1, tzinfo=UTC)),
    overrides=(Override("leads", UNLIMITED, reason="pilot", author="ops"),),
    grants=(Grant("leads", 5),),
    add_ons={"phone": 1},
)
enforcer = Enforcer(policy, accounts={"acme": "pro", "other": account})
assert_type(enforcer.can("acme", "sso"), bool)
assert_type(enforcer.decide(account, "sso"), Decision)
assert_type(enforcer.entitlements("acme"), Entitlements)
decision = enforcer.consume("acme", {"api": 1, "leads": 3}, key="k")
assert_type(decision.reason, Reason)
assert_type(decision.remedy, Remedy | None)
assert_type(decision.retry_after, timedelta | None)
assert_type(decision.parts, Mapping[str, Decision])
assert_type(decision.raise_for_denied(), Decision)
assert_type(enforcer.refund(decision, rates=True), bool)
assert_type(enforcer.release("acme", "agents", 2), int)
assert_type(enforcer.usage("acme"), dict[str, Usage])
assert_type(enforcer.history("acme", "leads"), tuple[Period, ...])
assert_type(enforcer.plan_change("acme", "max"), ChangePreview)
assert_type(enforcer.account("acme").review(events=["merger"]), Review)
limit = enforcer.entitlements("acme").limit("leads")
if limit is not UNLIMITED and limit is not NOT_INCLUDED:
    assert_type(limit, int)
with enforcer.reserve("acme", "leads", 50, ttl=60) as reservation:
    reservation.commit(40)
with use(enforcer):
    assert_type(can("acme", "sso"), bool)


async def story() -> None:
    """Use the async shell."""
    async with AsyncEnforcer(policy, accounts={"acme": "pro"}) as ent:
        assert_type(await ent.can("acme", "sso"), bool)
        assert_type(await ent.consume("acme", "leads", 3), Decision)
        handle = await ent.account("acme")
        assert_type(handle.can("sso"), bool)
        async with ent.reserve("acme", "leads", 2) as held:
            await held.commit(1)
