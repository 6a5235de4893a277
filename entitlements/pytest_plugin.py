"""
Plugin for pytest: an enforcer on a frozen clock, a store that fails on command, and `assert_denied`.

pytest loads it by its entry point. Name the policy in the configuration of pytest, relative to that file:

    [tool.pytest.ini_options]
    entitlements_policy = "policy.yaml"

or define fixtures `entitlements_policy` and `entitlements_accounts` of your own. The module imports the rest of the
package only when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.model.decision import Decision
    from entitlements.policy import Policy
    from entitlements.testing import FakeClock, Fault
    from entitlements.testing.faulty_store import FaultyStore

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
"""The first instant of `entitlements_clock`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of the fixtures."""
    parser.addini("entitlements_policy", "Path of the policy for the fixture `enforcer`.")
    parser.addini("entitlements_accounts", "Path of a CSV with the accounts for the fixture `enforcer`.")


@pytest.fixture(scope="session")
def entitlements_policy(pytestconfig: pytest.Config) -> Policy:
    """Return the policy that the configuration names; define a fixture of this name to use another one."""
    from entitlements.policy import Policy

    path = _configured(pytestconfig, "entitlements_policy")
    if path is None:
        cure = 'write entitlements_policy = "policy.yaml" in it, or define a fixture of that name that returns a Policy'
        pytest.fail(f"no policy is named in the configuration of pytest: {cure}", pytrace=False)
    return Policy.load(path)


@pytest.fixture
def entitlements_accounts(pytestconfig: pytest.Config) -> Mapping[str, str | Account] | str:
    """Return the accounts that the configuration names, or none; define a fixture of this name to use others."""
    return _configured(pytestconfig, "entitlements_accounts") or {}


@pytest.fixture
def entitlements_clock() -> FakeClock:
    """Return the frozen clock of the enforcer and its store: `.advance(timedelta)`, `.set(datetime)`."""
    from entitlements.testing import FakeClock

    return FakeClock(START)


@pytest.fixture
def fault() -> Fault:
    """Return the toggles of the store: `fault.down()`, `fault.silent()`, `fault.lossy()`, `fault.up()`."""
    from entitlements.testing import Fault

    return Fault()


@pytest.fixture
def entitlements_store(entitlements_clock: FakeClock, fault: Fault) -> FaultyStore:
    """Return the store in memory that `enforcer` and `async_enforcer` share."""
    from entitlements.testing.faulty_store import FaultyStore

    return FaultyStore(entitlements_clock, fault)


@pytest.fixture
def enforcer(
    entitlements_policy: Policy,
    entitlements_accounts: Any,
    entitlements_clock: FakeClock,
    entitlements_store: FaultyStore,
    fault: Fault,
) -> Iterator[Enforcer]:
    """Yield an `Enforcer` that counts in memory, on the frozen clock, and fails as `fault` says."""
    from entitlements.enforcer import Enforcer

    store = entitlements_store.guarded()
    made = Enforcer(entitlements_policy, accounts=entitlements_accounts, store=store, clock=entitlements_clock)
    yield made
    fault.up()
    made.close()


@pytest.fixture
def async_enforcer(
    entitlements_policy: Policy,
    entitlements_accounts: Any,
    entitlements_clock: FakeClock,
    entitlements_store: FaultyStore,
) -> AsyncEnforcer:
    """Return an `AsyncEnforcer` like `enforcer`; both count in the same store."""
    from entitlements.async_enforcer import AsyncEnforcer

    store = entitlements_store.guarded_async()
    return AsyncEnforcer(entitlements_policy, accounts=entitlements_accounts, store=store, clock=entitlements_clock)


@pytest.fixture
def assert_denied() -> Callable[..., Decision]:
    """Return `entitlements.testing.assert_denied`."""
    from entitlements.testing import denials

    return denials.assert_denied


def _configured(config: pytest.Config, name: str) -> str | None:
    """Return the path that a setting names, relative to the file that has it; None if it is not set."""
    value = config.getini(name)
    return str((config.inipath.parent if config.inipath else config.rootpath) / Path(value)) if value else None
