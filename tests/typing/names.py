"""
The names of a policy as type checkers see them: checked, never run.

Each line that is wrong says which error it is. A checker that finds none reports the comment as unused.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import assert_type

import photo_lab_names as names

from entitlements import AsyncEnforcer, Decision, Enforcer, Policy
from entitlements.typed import TypedCan, TypedEnforcer

policy = Policy.load("policies/photo-lab.yaml")
enforcer = Enforcer(policy, accounts={"acme": "studio"})
typed = names.typed(enforcer)

assert_type(names.can("acme", "raw-files"), bool)
assert_type(typed.can("acme", "editing:layers"), bool)
assert_type(typed.can("acme", names.Feature.RAW_FILES), bool)
assert_type(typed.can("acme", "downloads"), bool)
assert_type(typed.consume("acme", {"downloads": 1, "renders": 3}), Decision)
assert_type(typed.consume("acme", names.Limit.DOWNLOADS), Decision)
assert_type(typed.value("acme", "support.visits", int), int | None)
assert_type(typed.value("acme", "support.visits", int, default=0), int)
assert_type(typed.value("acme", "support.reply", timedelta), timedelta | None)
assert_type(enforcer.value("acme", "price.month", Decimal), Decimal | None)
assert_type(enforcer.account("acme").value("price.month", Decimal, default=Decimal(0)), Decimal)
assert_type(enforcer.entitlements("acme").value("support.phone", bool), bool | None)

acme = typed.account("acme")
assert_type(acme.can("editing:layers"), bool)
assert_type(acme.consume({"downloads": 1}, key="k"), Decision)
assert_type(acme.value("support.visits", int, default=0), int)
assert_type(names.typed(enforcer.account("acme")).consume("downloads"), Decision)

names.can("acme", "raw-file")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
typed.can("acme", "ss0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
typed.decide("acme", "editing:layer")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
typed.consume("acme", "download")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
typed.consume("acme", {"download": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
typed.consume("acme", "raw-files")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
typed.reserve("acme", "render")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
typed.assign("acme", "album", "ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
typed.value("acme", "support.visit", int)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
acme.can("ss0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
acme.consume("download")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
acme.assign("album", "ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
acme.value("support.visit", int)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
tier: names.TierName = "studi"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def story() -> None:
    """Use the async shell."""
    async with AsyncEnforcer(policy, accounts={"acme": "studio"}) as ent:
        mine = names.typed(ent)
        assert_type(await mine.can("acme", "raw-files"), bool)
        assert_type(await mine.consume("acme", "downloads", 3), Decision)
        assert_type(await mine.value("acme", "support.visits", int), int | None)
        assert_type((await ent.account("acme")).value("support.visits", int, default=0), int)
        hers = await mine.account("acme")
        assert_type(hers.can("editing:layers"), bool)
        assert_type(hers.value("support.visits", int), int | None)
        assert_type(await hers.consume("downloads"), Decision)
        assert_type(await names.typed(await ent.account("acme")).consume("downloads"), Decision)
        hers.can("ss0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await hers.consume("download")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await mine.can("acme", "ss0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await mine.consume("acme", "download")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def plain(untyped: TypedEnforcer[str, str, str], can: TypedCan[str]) -> None:
    """Take what any enforcer is; pyright does not see the verbs of its handles, which are descriptors, as methods."""


plain(enforcer, enforcer.can)  # pyright: ignore[reportArgumentType]
