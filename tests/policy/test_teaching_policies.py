"""The example policies load and agree with their page; every fragment of the page is a policy."""

import re
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from entitlements import NOT_INCLUDED, UNLIMITED, Account, Enforcer, Policy, Trial
from entitlements.testing import FakeClock

POLICIES = Path(__file__).resolve().parents[2] / "policies"
PAGE = "\n".join(page.read_text(encoding="utf-8") for page in sorted(POLICIES.glob("*.md")))
FRAGMENTS = [found[1] for found in re.finditer(r"^```yaml\n# a fragment\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
NOW = datetime(2026, 11, 2, 15, tzinfo=UTC)

MINIMAL = Policy.load(POLICIES / "minimal.yaml")
PHOTO_LAB = Policy.load(POLICIES / "photo-lab.yaml")


def lab(tier: str, **more: object) -> tuple[Enforcer, Account]:
    return Enforcer(PHOTO_LAB, clock=FakeClock(NOW)), Account("ansel", tier, **more)


@pytest.mark.parametrize("policy", [MINIMAL, PHOTO_LAB], ids=lambda policy: policy.version)
def test_a_teaching_policy_loads_without_a_warning(policy):
    assert () == policy.warnings


def test_the_minimal_policy_is_two_tiers_in_about_twenty_lines():
    lines = (POLICIES / "minimal.yaml").read_text(encoding="utf-8").splitlines()

    assert ["free", "pro"] == list(MINIMAL.tiers)
    assert sum(bool(line.strip()) for line in lines) <= 22


def test_the_minimal_policy_has_a_rate_called_api():
    enforcer = Enforcer(MINIMAL, clock=FakeClock(NOW))

    assert [100, 10_000] == [enforcer.entitlements(Account("acme", tier)).limit("api") for tier in MINIMAL.tiers]


# --- Photo lab ----------------------------------------------------------------------------------------------------


def test_a_child_is_without_what_it_does_not_want():
    enforcer, account = lab("hobby")

    assert not enforcer.can(account, "watermark")
    assert enforcer.can(Account("anybody", "visitor"), "watermark")


def test_a_promise_replaces_the_label_of_no_commitment():
    enforcer, account = lab("hobby")
    visitor = Account("anybody", "visitor")

    assert enforcer.value(visitor, "support.reply") is None
    assert "When we can" == enforcer.value(visitor, "support.reply.label")
    assert timedelta(days=2) == enforcer.value(account, "support.reply")
    assert NOT_INCLUDED is enforcer.value(account, "support.reply.label")


def test_a_trial_over_a_paid_tier_ends_in_the_paid_tier():
    clock = FakeClock(NOW)
    enforcer = Enforcer(PHOTO_LAB, clock=clock)
    account = Account("ansel", "hobby", trial=Trial("studio-trial", NOW, NOW + timedelta(days=10)))

    assert enforcer.can(account, "raw-files")
    assert not enforcer.can(account, "client-galleries")
    assert 50 * 10**9 == enforcer.entitlements(account).limit("storage")
    assert NOT_INCLUDED is enforcer.value(account, "price")
    assert NOT_INCLUDED is enforcer.value(account, "support.phone")

    clock.advance(timedelta(days=10))

    assert "hobby" == enforcer.entitlements(account).tier
    assert Decimal("9.50") == enforcer.value(account, "price.month")


def test_each_add_on_of_storage_is_100_gb_more():
    enforcer, account = lab("hobby", add_ons={"more-storage": 3})

    assert 320 * 10**9 == enforcer.entitlements(account).limit("storage")


def test_strangers_are_visitors():
    enforcer = Enforcer(PHOTO_LAB, accounts={}, clock=FakeClock(NOW))

    assert enforcer.can("nobody-knows", "previews")


def test_unlimited_and_zero_are_both_written():
    enforcer, account = lab("agency")

    assert UNLIMITED is enforcer.entitlements(account).limit("downloads")
    assert 0 == enforcer.entitlements(account).limit("prints")


# --- The page -----------------------------------------------------------------------------------------------------


def load_with_minimal(folder: Path, *fragments: str) -> Policy:
    """Load a folder with the minimal policy and the fragments, each in its own file."""
    shutil.copy(POLICIES / "minimal.yaml", folder)
    for number, fragment in enumerate(fragments):
        (folder / f"more-{number}.yaml").write_text(fragment, encoding="utf-8")
    return Policy.load(folder)


def test_the_page_has_fragments():
    assert len(FRAGMENTS) == 14


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda fragment: " ".join(fragment.split()[:2]))
def test_a_fragment_of_the_page_stands_beside_the_minimal_policy(fragment, tmp_path):
    assert () == load_with_minimal(tmp_path, fragment).warnings


def test_values_have_the_types_that_the_page_says(tmp_path):
    policy = load_with_minimal(tmp_path, *FRAGMENTS)
    account = Account("globex", "pro")
    enforcer = Enforcer(policy, clock=FakeClock(NOW))
    expected = {
        "support.reply": timedelta(hours=4),
        "support.phone": "business-hours",
        "support.on-site": False,
        "support.ratio": "1:20",
        "price.month": Decimal("49.90"),
        "price.range": {"from": Decimal(490), "to": Decimal(990)},
        "uptime": None,
        "uptime.label": "Best effort",
    }

    assert expected == {key: enforcer.value(account, key) for key in expected}
    assert [timedelta(days=90), timedelta(days=30)] == [each["every"] for each in enforcer.value(account, "visits")]
    assert not enforcer.can(Account("tu-berlin", "campus"), "sso")
    assert NOT_INCLUDED is enforcer.entitlements(Account("tu-berlin", "campus")).limit("leads")
