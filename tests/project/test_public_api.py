"""The public API is what tests/project/public_api.txt lists, and objects show nothing else to their users."""

import re
from datetime import UTC, datetime

import pytest
from public_api import LISTING, ROOT, listing, public_attributes, public_modules

from entitlements import Account, AsyncEnforcer, Enforcer, Grant, Override, Policy, Trial

IMPORT = re.compile(r"^ *from (entitlements[\w.]*) import (\w+)", re.MULTILINE)
CURE = (
    "the public API differs from tests/project/public_api.txt: if the change is meant, run `make api`"
    " and note it in CHANGELOG.md"
)


def test_the_public_api_is_what_is_listed():
    assert LISTING.read_text(encoding="utf-8").splitlines() == listing().splitlines(), CURE


@pytest.mark.parametrize("pattern", ["README.md", "docs/**/*.md", "policies/*.md", "examples/**/*.py"])
def test_the_documentation_imports_from_public_modules(pattern):
    found = {match.groups() for path in ROOT.glob(pattern) for match in IMPORT.finditer(path.read_text("utf-8"))}
    public = set(public_modules())

    assert set() == {(module, name) for module, name in found if not {module, f"{module}.{name}"} & public}


@pytest.fixture
async def objects():
    """One object of each class that users meet most."""
    policy = Policy.load(ROOT / "policies" / "minimal.yaml")
    now = datetime.now(UTC)
    override, grant = Override("sso", True, reason="pilot", author="ops"), Grant("leads", 5)
    account = Account("acme", "pro", trial=Trial("pro", None, now), overrides=[override], grants=[grant])
    enforcer = Enforcer(policy, accounts={"acme": account})
    asynchronous = AsyncEnforcer(policy, accounts={"acme": account})
    decision = enforcer.consume("acme", "leads")
    return [
        enforcer, asynchronous, policy, account, override, grant, account.trial, decision, decision.trace[0],
        enforcer.account("acme"), await asynchronous.account("acme"), enforcer.entitlements("acme"),
        enforcer.usage("acme")["leads"], enforcer.history("acme", "leads")[0],
        enforcer.reserve("acme", "leads"), await asynchronous.reserve("acme", "leads"),
    ]  # fmt: skip


def test_an_object_shows_the_listed_names_alone(objects):
    for each in objects:
        shown = {name for name in dir(each) if not name.startswith("_")}

        assert set() == shown - set(public_attributes(type(each))), type(each)
