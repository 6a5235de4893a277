"""The examples run from anywhere and say what is true; the accounts beside them are good ones."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from entitlements import CsvAccounts, Enforcer, Policy
from entitlements.model.account import AccountStatus
from entitlements.testing import FakeClock

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STORY = datetime(2026, 11, 16, 9, tzinfo=UTC)  # when the quickstart begins
LATER = datetime(2050, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the quickstart prints into a pipe, from an empty folder: the lines below each heading."""
    away = tmp_path_factory.mktemp("away")
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR", "PYTHONPATH"}}
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "quickstart.py"],
        cwd=away, env=env | {"PYTHONIOENCODING": "utf-8"}, stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    assert [] == list(away.iterdir())
    blocks = [block.splitlines() for block in done.stdout.strip().split("\n\n")]
    return {heading: [line.rstrip() for line in lines] for heading, *lines in blocks}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(EXAMPLES.parent / "policies" / "customer-tiers")


@pytest.fixture(scope="module")
def accounts(policy: Policy) -> CsvAccounts:
    return CsvAccounts(EXAMPLES / "accounts.csv", policy=policy)


def in_force(policy: Policy, accounts: CsvAccounts, now: datetime) -> dict[str, str | None]:
    enforcer = Enforcer(policy, accounts=accounts, clock=FakeClock(now))
    return {id: enforcer.entitlements(id).tier for id in accounts.ids()}


def test_the_quickstart_prints_plain_text_into_a_pipe(said):
    assert not any("\x1b" in line for lines in said.values() for line in lines)


def test_the_quickstart_shows_who_can_what(said):
    rows = [line.split() for line in said["Who can what"][2:]]

    assert {
        "harborwick": ["enterprise", "yes", "yes", "yes", "unlimited"],
        "tamarack-ridge": ["mid-market", "yes", "yes", "-", "100000"],
        "palisade-elm": ["mid-market", "yes", "yes", "yes", "100000"],
        "dunmore-hall": ["mid-market", "yes", "yes", "-", "100000"],
        "bluefinch": ["small-business", "yes", "-", "-", "5000"],
        "rushlight": ["trial", "-", "-", "-", "100"],
        "sparrowgate": ["freemium", "-", "-", "-", "100"],
    } == {id: answers for id, *answers in rows}


@pytest.mark.parametrize(
    ("heading", "facts"),
    [
        (
            "How much: a quota",
            [
                "3 leads more: quota-exceeded, 98 of 100 used, 2 left",
                "it waits until 01 December, or upgrades: small-business would have let it through",
            ],
        ),
        (
            "How fast: a rate",
            [
                "100 of 101 calls went through, the last one: rate-limited",
                "call again in 1:01:00: the hour is kept in sixtieths, so a unit comes back up to a minute late",
                "it was 09:00; now it is 10:01, and the call is allowed: True",
            ],
        ),
        (
            "Not included is not too fast",
            ["not-included, retry after: None, tier that has it: small-business"],
        ),
        (
            "A reservation",
            ["meanwhile 500 leads are reserved", "the connection broke off: 0 leads used"],
        ),
        (
            "An upgrade",
            ["3 leads more: within-limit, 101 of 5000 used on small-business"],
        ),
        (
            "A trial ends",
            ["until 20 November: mid-market, analytics standard", "from then on: small-business, analytics none"],
        ),
        (
            "An add-on",
            ["telephone support: add-on", "telephone support, once bought: business-hours"],
        ),
    ],
)
def test_a_step_of_the_quickstart_ends_as_the_contract_says(said, heading, facts):
    assert facts == said[heading][1:]


def test_the_quickstart_explains_a_limit_with_its_losers_and_what_has_expired(said):
    _, answer, *trace = said["Why?"]

    assert "pinehollow has 8000 leads a month, because of override:leads:" == answer
    assert [
        "  grant:leads says 500: lost",
        "  grant:leads says 250: expired",
        "  override:leads says 6,000: expired",
        "  override:leads says 8,000: won",
        "  tier:small-business says 5,000: lost",
    ] == [line.partition(" (")[0] for line in trace]


def test_the_quickstart_shows_what_is_used(said):
    rows = [line.split() for line in said["What is used"][1:]]

    assert {
        "leads": ["6,800", "of", "8,000"],
        "storage": ["7,500,000,000", "of", "10,000,000,000"],
        "agents": ["4", "of", "10"],
    } == {name: counted[-3:] for name, *counted in rows}


def test_the_quickstart_ends_with_what_to_try_next(said):
    assert list(said)[-1].startswith("Next: ")


def test_at_least_forty_example_accounts_are_served_and_none_has_a_problem(accounts):
    assert () == accounts.problems
    assert len(accounts) >= 40


@pytest.mark.parametrize("now", [STORY, LATER])
def test_every_plan_is_in_force_for_some_example_account_on_any_date(policy, accounts, now):
    assert set(policy.tiers) == set(in_force(policy, accounts, now).values())


def test_every_feature_limit_and_value_resolves_for_every_example_account(policy, accounts):
    enforcer = Enforcer(policy, accounts=accounts, clock=FakeClock(STORY))

    for id in accounts.ids():
        for name in (*policy.features, *policy.limits):
            assert enforcer.can(id, name) == enforcer.decide(id, name).allowed
        for key in policy.keys:
            enforcer.value(id, key)


def test_every_add_on_of_an_example_account_is_offered_to_its_tier(policy, accounts):
    tiers = in_force(policy, accounts, STORY)

    misplaced = [
        (account.id, name)
        for account in accounts
        for name in account.add_ons
        if not policy.add_ons[name].offered_to(tiers[account.id])
    ]

    assert [] == misplaced


def test_the_example_accounts_show_every_case_that_their_page_promises(policy, accounts):
    now = STORY
    trials = [(policy.tier(account.tier), account.trial) for account in accounts if account.trial]
    spans = [(each.starts, each.expires) for account in accounts for each in (*account.overrides, *account.grants)]

    cases = {
        "alias": any(account.tier not in policy.tiers for account in accounts),
        "trial running": any((trial.starts or now) <= now < trial.ends for _, trial in trials),
        "trial over": any(trial.ends <= now for _, trial in trials),
        "trial ahead": any(trial.starts and trial.starts > now for _, trial in trials),
        "trial over a paid tier": any(tier.rank > 1 for tier, _ in trials),
        "anchor on the 31st": any(account.anchor == 31 for account in accounts),
        "several of an add-on": any(quantity > 1 for account in accounts for quantity in account.add_ons.values()),
        "grant": any(account.grants for account in accounts),
        "override": any(account.overrides for account in accounts),
        "expired": any(ends and ends <= now for _, ends in spans),
        "in force": any((not starts or starts <= now) and (not ends or now < ends) for starts, ends in spans),
        "change ahead": any(change.at > now for account in accounts for change in account.changes),
        "change that has come": any(change.at <= now for account in accounts for change in account.changes),
        "suspended": any(account.status is AccountStatus.SUSPENDED for account in accounts),
    }

    assert [] == [case for case, found in cases.items() if not found]


def test_every_example_account_is_named_in_a_word_of_its_own(accounts):
    names = [account.attributes["name"] for account in accounts]

    assert len(names) == len(set(names))
    assert all(names)


def test_every_account_that_the_examples_page_names_exists(accounts):
    _, _, table = (EXAMPLES / "README.md").read_text(encoding="utf-8").partition("| case | rows |")
    named = set(table.split("`")[1::2]) - {"quickstart.py", "status", "attributes"}

    assert len(named) >= 20
    assert set() == named - set(accounts.ids())
