"""Accounts in SQL: what is written is read, every change has its audit row, and a mistake changes nothing."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_sources import FULL, SIGNED, START, accounts_of
from trade import policy

from entitlements import (
    NOT_INCLUDED,
    UNLIMITED,
    Account,
    AccountError,
    AsyncEnforcer,
    Change,
    Enforcer,
    Grant,
    Override,
    Policy,
    Trial,
)
from entitlements.accounts.sql import ChangedMeanwhile
from entitlements.testing import FakeClock

# --- Reading and writing ---------------------------------------------------------------------------------------------


def test_an_account_is_read_as_it_was_created(database):
    accounts = accounts_of(database)

    accounts.create(FULL, **SIGNED)

    assert FULL == accounts.find("acme")
    assert accounts.find("unknown") is None


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
numbers = itertools.count()
names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
moments = st.integers(-(10**15), 4 * 10**15).map(lambda number: EPOCH + timedelta(microseconds=number))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(str.strip)
values = st.one_of(
    st.booleans(),
    st.integers(0, 2**53 - 1),
    st.sampled_from([UNLIMITED, NOT_INCLUDED]),
    st.decimals(0, 10**6, places=2),
    st.timedeltas(timedelta(0), timedelta(days=4000)),
    texts,
)
accounts_in_full = st.builds(
    Account,
    texts,
    texts,
    anchor=st.none() | st.integers(1, 31) | moments,
    time_zone=st.sampled_from([None, "UTC", "America/Sao_Paulo"]),
    add_ons=st.dictionaries(names, st.integers(1, 2**53 - 1), max_size=3),
    overrides=st.lists(
        st.builds(Override, names, values, reason=texts, author=texts, expires=st.none() | moments), max_size=3
    ),
    grants=st.lists(
        st.builds(Grant, names, st.integers(1, 2**53 - 1), reason=texts, starts=st.none() | moments), max_size=3
    ),
    changes=st.lists(st.builds(Change, texts, at=moments), max_size=3, unique_by=lambda change: change.at),
    attributes=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3),
    status=st.sampled_from(["active", "suspended"]),
)


@given(accounts_in_full)
def test_any_account_is_read_as_it_was_written(kept, account):
    kept.apply(f"event {next(numbers)}", account.id, lambda _: account, at=datetime.now(UTC), **SIGNED)

    assert account == kept.find(account.id)


def test_a_value_that_no_text_stands_for_is_refused(database):
    accounts = accounts_of(database)
    accounts.create("acme", "pro", **SIGNED)

    with pytest.raises(AccountError, match=r"override of 'tags': \('a', 'b'\) cannot be stored; give one bool"):
        accounts.override("acme", "tags", ("a", "b"), **SIGNED)
    with pytest.raises(AccountError, match=r"attributes cannot be stored.*give texts, whole numbers"):
        accounts.create("other", "pro", attributes={"arr": Decimal("1.5")}, **SIGNED)
    assert (1, 0) == (accounts.version("acme"), accounts.version("other"))


def test_ids_are_opaque_and_values_are_never_part_of_a_statement(database):
    accounts = accounts_of(database)
    strange = ["\u00e9", "e\u0301", "A", "a", "x' or '1'='1", "%", ":id", "a;drop table entitlements_accounts"]

    for id in strange:
        accounts.create(id, f"tier of {id}", **SIGNED)

    assert [f"tier of {id}" for id in strange] == [accounts.find(id).tier for id in strange]
    assert set(strange) == set(accounts.ids()) == {account.id for account in accounts}
    assert accounts.find("b") is None


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_each_verb_changes_the_account_and_leaves_an_audit_row(database):
    clock = FakeClock(START)
    accounts = accounts_of(database, clock=clock)
    later = START + timedelta(days=10)

    accounts.create("acme", "free", **SIGNED)
    accounts.set_tier("acme", "pro", **SIGNED)
    accounts.set_tier("acme", "max", at=later, **SIGNED)
    accounts.override("acme", "leads", 5, **SIGNED)
    accounts.override("acme", "leads", 7, **SIGNED)
    accounts.grant("acme", "agents", 3, expires=later, **SIGNED)
    accounts.add_on("acme", "support", 2, **SIGNED)
    accounts.set_trial("acme", "max", later, **SIGNED)
    accounts.suspend("acme", **SIGNED)
    accounts.resume("acme", **SIGNED)

    expected = Account(
        "acme", "pro", trial=Trial("max", START, later), add_ons={"support": 2}, changes=[Change("max", at=later)],
        overrides=[Override("leads", 7, **SIGNED)], grants=[Grant("agents", 3, expires=later, reason="renewal")],
    )  # fmt: skip
    assert expected == accounts.find("acme")
    for undo in (accounts.end_override, accounts.end_grants):
        undo("acme", {"end_override": "leads", "end_grants": "agents"}[undo.__name__], **SIGNED)
    accounts.add_on("acme", "support", 0, **SIGNED)
    accounts.set_trial("acme", None, **SIGNED)
    assert Account("acme", "pro", changes=[Change("max", at=later)]) == accounts.find("acme")
    accounts.close("acme", **SIGNED)
    assert accounts.find("acme") is None

    entries = accounts.audit("acme")
    actions = ["close", "set_trial", "add_on", "end_grants", "end_override", "resume", "suspend", "set_trial", "add_on", "grant", "override",
               "override", "set_tier", "set_tier", "create"]  # fmt: skip
    assert actions == [entry.action for entry in entries]
    assert list(range(15, 0, -1)) == [entry.version for entry in entries]
    assert {("renewal", "ops", START, None)} == {(each.reason, each.author, each.at, each.event) for each in entries}
    assert {"tier": {"before": "free", "after": "pro"}} == entries[-2].changed
    json.dumps([entry.to_dict() for entry in entries])


def test_a_closed_account_can_be_created_again_and_keeps_its_audit(database):
    accounts = accounts_of(database)
    accounts.create("acme", "pro", add_ons={"support": 1}, **SIGNED)
    accounts.close("acme", **SIGNED)

    accounts.create("acme", "free", **SIGNED)

    assert Account("acme", "free") == accounts.find("acme")
    assert ["create", "close", "create"] == [entry.action for entry in accounts.audit("acme")]


def test_add_ons_that_break_a_rule_are_refused(database):
    rules = Policy.parse({
        "policy": {"version": 1}, "features": {"sso": "Single sign-on"}, "tiers": {"free": {"rank": 1}},
        "add_ons": {
            "base": {"features": ["sso"]},
            "packs": {"features": ["sso"], "requires": ["base"], "step": 2},
            "other": {"features": ["sso"], "excludes": ["base"]},
        },
    })  # fmt: skip
    accounts = accounts_of(database, policy=rules)
    accounts.create("acme", "free", **SIGNED)
    accounts.add_on("acme", "base", **SIGNED)
    accounts.add_on("acme", "packs", 4, **SIGNED)

    for name, quantity, said in (
        ("base", 0, "add-on 'packs' requires 'base'; add 'base' as well, or take 'packs' away"),
        ("packs", 3, "quantity 3 of add-on 'packs' cannot be bought; buy 2 or more in steps of 2, such as 2 or 4"),
        ("other", 1, "the add-ons 'base' and 'other' exclude each other; take one of the two away"),
    ):
        with pytest.raises(AccountError) as error:
            accounts.add_on("acme", name, quantity, **SIGNED)
        assert f"account 'acme': {said}" == str(error.value)
    assert {"base": 1, "packs": 4} == dict(accounts.find("acme").add_ons)


def test_a_stored_account_that_breaks_a_rule_is_bad_and_can_be_mended(database):
    accounts = accounts_of(database)
    accounts.create("acme", "free", add_ons={"packs": 1}, **SIGNED)
    rules = Policy.parse({
        "policy": {"version": 1}, "features": {"sso": "Single sign-on"}, "tiers": {"free": {"rank": 1}},
        "add_ons": {"base": {"features": ["sso"]}, "packs": {"features": ["sso"], "requires": ["base"]}},
    })  # fmt: skip
    later = accounts_of(database, policy=rules)

    with pytest.raises(AccountError, match="add-on 'packs' requires 'base'; add 'base' as well"):
        Enforcer(rules, accounts=later).can("acme", "sso")
    later.suspend("acme", **SIGNED)
    later.add_on("acme", "base", **SIGNED)

    assert {"packs": 1, "base": 1} == dict(later.find("acme").add_ons)


MISTAKES = [
    (lambda a: a.create("acme", "pro", **SIGNED), "account 'acme' exists, in tier 'pro'; use set_tier"),
    (lambda a: a.create("other", "prp", **SIGNED), "tier 'prp' is not in the policy; did you mean 'pro'"),
    (lambda a: a.set_tier("nobody", "pro", **SIGNED), "'nobody': there is no such account; create it first"),
    (lambda a: a.set_tier("acme", "prp", **SIGNED), "'prp'.*did you mean 'pro'"),
    (lambda a: a.set_tier("acme", "pro", **SIGNED), "is in tier 'pro' already; nothing changes"),
    (lambda a: a.override("acme", "leeds", 5, **SIGNED), "did you mean 'leads'"),
    (lambda a: a.override("acme", "leads", "many", **SIGNED), "override of 'leads': 'many'"),
    (lambda a: a.override("acme", "leads", 5, reason="", author="ops"), "reason '' is empty; say it"),
    (lambda a: a.grant("acme", "agent", 5, **SIGNED), "did you mean 'agents'|no limit"),
    (lambda a: a.grant("acme", "leads", 0, **SIGNED), "grant of 'leads': amount 0 must be an int from 1"),
    (lambda a: a.add_on("acme", "nothing", **SIGNED), "'nothing' is no add-on"),
    (
        lambda a: a.set_trial("acme", "free", START + timedelta(days=1), at=START, **SIGNED),
        "below the account's own tier",
    ),
    (lambda a: a.set_trial("acme", "max", **SIGNED), "the trial of 'max' has no end; give ends="),
    (lambda a: a.set_trial("acme", None, **SIGNED), "has no trial; nothing changes"),
    (lambda a: a.resume("acme", **SIGNED), "is active already; nothing changes"),
    (lambda a: a.suspend("acme", reason=" ", author="ops"), "suspend of 'acme': reason ' ' is empty"),
    (lambda a: a.suspend("acme", reason="x", author="a\0b"), r"author .* is empty or no text"),
    (lambda a: a.suspend("acme", at=datetime(2999, 1, 1, tzinfo=UTC), **SIGNED), "takes effect at once; leave at= out"),
    (lambda a: a.end_override("acme", "leads", **SIGNED), "has no override of 'leads'"),
    (lambda a: a.end_grants("acme", "leads", **SIGNED), "has no grant of 'leads'"),
    (lambda a: a.add_on("acme", "x", -1, **SIGNED), "quantity of add-on 'x' -1 must be an int from 0"),
    (lambda a: a.suspend("ac\nme", **SIGNED), "control characters"),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_refused_with_its_cure_and_changes_nothing(mistake, said):
    accounts = accounts_of("sqlite://", policy=policy())
    accounts.create("acme", "pro", **SIGNED)

    with pytest.raises(AccountError, match=said):
        mistake(accounts)
    assert (Account("acme", "pro"), 1) == (accounts.find("acme"), accounts.version("acme"))
    assert [("acme")] == list(accounts.ids())


def test_a_verb_needs_a_reason_and_an_author():
    accounts = accounts_of("sqlite://")

    with pytest.raises(TypeError, match=r"create\(\) needs reason= and author="):
        accounts.create("acme", "pro", reason="x")
    with pytest.raises(TypeError, match=r"suspend\(\) has no argument 'why'"):
        accounts.suspend("acme", why="x", **SIGNED)


def test_what_the_plan_gives_already_is_refused():
    customers = Policy.load("policies/customer-tiers")
    accounts = accounts_of("sqlite://", policy=customers)
    accounts.create("acme", "enterprise", **SIGNED)

    with pytest.raises(
        AccountError, match="'sso' is True already, by tier 'enterprise' and its add-ons; leave the override"
    ):
        accounts.override("acme", "sso", True, **SIGNED)
    unlimited = next(name for name, size in customers.tiers["enterprise"].limits.items() if size is UNLIMITED)
    with pytest.raises(
        AccountError, match=f"'{unlimited}' is unlimited already, by tier 'enterprise'; leave the grant"
    ):
        accounts.grant("acme", unlimited, 5, **SIGNED)


def test_a_downgrade_before_the_end_of_its_notice_is_refused_unless_it_is_waived():
    clock = FakeClock(START)
    accounts = accounts_of("sqlite://", policy=Policy.load("policies/customer-tiers"), clock=clock)
    accounts.create("acme", "enterprise", **SIGNED)

    with pytest.raises(
        AccountError, match=r"has a notice of .*; let it be at 2026-.* or later, or waive the notice"
    ) as told:
        accounts.set_tier("acme", "small-business", **SIGNED)
    earliest = datetime.fromisoformat(str(told.value).partition("be at ")[2].partition(" or")[0])
    accounts.set_tier("acme", "small-business", at=earliest, **SIGNED)
    assert Account("acme", "enterprise", changes=[Change("small-business", at=earliest)]) == accounts.find("acme")
    accounts.set_tier("acme", "small-business", waive_notice=True, **SIGNED)
    assert Account("acme", "small-business") == accounts.find("acme")


def test_an_upgrade_ends_a_trial_of_less_and_keeps_one_of_more():
    accounts = accounts_of("sqlite://", policy=policy())
    ends = datetime.now(UTC) + timedelta(days=5)
    accounts.create("acme", "free", trial=Trial("pro", None, ends), **SIGNED)

    assert accounts.set_tier("acme", "pro", **SIGNED).trial == Trial("pro", None, ends)
    assert accounts.set_tier("acme", "max", **SIGNED).trial is None


def test_a_dry_run_returns_the_account_as_it_would_be_and_stores_nothing(database):
    accounts = accounts_of(database)
    accounts.create("acme", "pro", **SIGNED)

    assert "max" == accounts.set_tier("acme", "max", dry_run=True, **SIGNED).tier
    assert ("pro", 1, 1) == (accounts.find("acme").tier, accounts.version("acme"), len(accounts.audit("acme")))


def test_a_change_at_another_version_is_refused(database):
    accounts = accounts_of(database)
    accounts.create("acme", "pro", **SIGNED)
    seen = accounts.version("acme")
    accounts.suspend("acme", version=seen, **SIGNED)

    with pytest.raises(ChangedMeanwhile, match=f"'acme' is at version 2, not {seen}; read it again"):
        accounts.set_tier("acme", "max", version=seen, **SIGNED)


def test_changes_by_many_at_once_are_all_there(database):
    """Each adds its own add-on; none is lost, and each has its own version."""
    accounts = accounts_of(database, timeout=20)
    accounts.create("acme", "pro", **SIGNED)

    def change(number):
        for _ in range(50):
            try:
                return accounts.add_on("acme", f"part-{number}", **SIGNED)
            except ChangedMeanwhile:  # all attempts met another's change
                continue
        raise AssertionError

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(change, range(18)))

    assert {f"part-{number}": 1 for number in range(18)} == dict(accounts.find("acme").add_ons)
    assert list(range(19, 0, -1)) == [entry.version for entry in accounts.audit("acme")]


def test_a_change_invalidates_the_account_in_the_enforcer_that_is_given(database):
    accounts = accounts_of(database)
    accounts.create("acme", "free", **SIGNED)
    with Enforcer(policy(), accounts=accounts) as enforcer:
        before = enforcer.peek("acme", "leads").limit
        accounts.set_tier("acme", "pro", enforcer=enforcer, **SIGNED)
        after = enforcer.peek("acme", "leads").limit
        with pytest.raises(AccountError, match="'prp'"):  # checked by the enforcer's policy
            accounts.set_tier("acme", "prp", enforcer=enforcer, **SIGNED)

    assert before < after
    with pytest.raises(TypeError, match="cannot be used by SqlAccounts; give it an Enforcer"):
        accounts.suspend("acme", enforcer=AsyncEnforcer(policy()), **SIGNED)
