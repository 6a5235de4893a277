"""Outside events: applied once, and never an older one over a newer."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_sources import SIGNED, START, accounts_of, to
from trade import policy

from entitlements import (
    Account,
    AccountError,
)
from entitlements.accounts.sql import EventOutcome


def test_an_event_is_applied_once_and_never_an_older_one_over_a_newer(database):
    accounts = accounts_of(database)
    hour = timedelta(hours=1)

    told = [
        accounts.apply(name, "acme", to(tier), at=START + number * hour, **SIGNED)
        for name, tier, number in (("a", "free", 1), ("c", "max", 3), ("b", "pro", 2), ("c", "max", 3), ("b", "pro", 2))
    ]

    outcome = EventOutcome
    assert [outcome.APPLIED, outcome.APPLIED, outcome.OUTDATED, outcome.REPEATED, outcome.REPEATED] == told
    assert ("max", 2) == (accounts.find("acme").tier, accounts.version("acme"))
    assert ["c", "a"] == [entry.event for entry in accounts.audit("acme")]


def test_an_order_decides_between_events_of_one_instant(database):
    accounts = accounts_of(database)

    told = [
        accounts.apply(f"e{order}", "acme", to(f"tier-{order}"), at=START, order=order, **SIGNED) for order in (1, 3, 2)
    ]

    assert ([EventOutcome.APPLIED] * 2 + [EventOutcome.OUTDATED], "tier-3") == (told, accounts.find("acme").tier)


def test_an_older_event_does_not_create_what_a_newer_one_has_closed(database):
    accounts = accounts_of(database)

    closed = accounts.apply("end", "acme", lambda _: None, at=START + timedelta(hours=1), **SIGNED)
    created = accounts.apply("begin", "acme", to("pro"), at=START, **SIGNED)

    assert (EventOutcome.APPLIED, EventOutcome.OUTDATED, None) == (closed, created, accounts.find("acme"))


def test_an_event_that_is_refused_can_be_sent_again(database):
    accounts = accounts_of(database, policy=policy())

    with pytest.raises(AccountError, match="'prp' is not in the policy"):
        accounts.apply("e", "acme", to("prp"), at=START, **SIGNED)

    assert EventOutcome.APPLIED == accounts.apply("e", "acme", to("pro"), at=START, **SIGNED)


def test_one_event_taken_by_many_at_once_is_applied_once(database):
    accounts = accounts_of(database, timeout=20)
    applied = []

    def count(account):
        applied.append(1)
        return to("pro")(account)

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: accounts.apply("e", "acme", count, at=START, **SIGNED), range(6)))

    assert {EventOutcome.APPLIED: 1, EventOutcome.REPEATED: 5} == {each: told.count(each) for each in set(told)}
    assert 1 == accounts.version("acme")


numbers = itertools.count()


@given(st.permutations(range(6)))
@settings(max_examples=15)
def test_events_in_any_order_and_repeated_end_in_the_newest(kept, order):
    id = f"account {next(numbers)}"
    for number in [*order, *order]:
        kept.apply(
            f"{id} {number}",
            id,
            lambda _, number=number: Account(id, f"tier-{number}"),
            at=START + timedelta(hours=number),
            **SIGNED,
        )

    assert "tier-5" == kept.find(id).tier
