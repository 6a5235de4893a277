"""
What each customer account may do, how much, and how fast, decided in your own process.

    from entitlements import Enforcer, Policy

    enforcer = Enforcer(Policy.load("policies/minimal.yaml"), accounts={"acme": "pro"})
    enforcer.can("acme", "sso")
    enforcer.consume("acme", "api").raise_for_denied()

Importing this package imports nothing else: each name below is loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entitlements.accounts import CsvAccounts as CsvAccounts
    from entitlements.async_enforcer import AsyncEnforcer as AsyncEnforcer
    from entitlements.default import can as can
    from entitlements.default import use as use
    from entitlements.enforcer import Enforcer as Enforcer
    from entitlements.errors import AccountError as AccountError
    from entitlements.errors import AccountsUnavailable as AccountsUnavailable
    from entitlements.errors import Denied as Denied
    from entitlements.errors import EntitlementsError as EntitlementsError
    from entitlements.errors import KeyReused as KeyReused
    from entitlements.errors import NotLoaded as NotLoaded
    from entitlements.errors import PolicyError as PolicyError
    from entitlements.errors import ReservationExpired as ReservationExpired
    from entitlements.errors import StoreError as StoreError
    from entitlements.errors import UnknownAccount as UnknownAccount
    from entitlements.errors import UnknownFeature as UnknownFeature
    from entitlements.feature_requests import FeatureRequests as FeatureRequests
    from entitlements.model.account import Account as Account
    from entitlements.model.account import Change as Change
    from entitlements.model.account import Grant as Grant
    from entitlements.model.account import Override as Override
    from entitlements.model.account import Trial as Trial
    from entitlements.model.decision import Decision as Decision
    from entitlements.model.entitlements import Entitlements as Entitlements
    from entitlements.model.facts import Reason as Reason
    from entitlements.model.facts import Remedy as Remedy
    from entitlements.model.limits import NOT_INCLUDED as NOT_INCLUDED
    from entitlements.model.limits import UNLIMITED as UNLIMITED
    from entitlements.model.usage import Period as Period
    from entitlements.model.usage import Usage as Usage
    from entitlements.policy import Policy as Policy
    from entitlements.stores.memory import MemoryStore as MemoryStore

_HOMES = {
    "Account": "model.account",
    "AccountError": "errors",
    "AccountsUnavailable": "errors",
    "AsyncEnforcer": "async_enforcer",
    "Change": "model.account",
    "CsvAccounts": "accounts",
    "Decision": "model.decision",
    "Denied": "errors",
    "Enforcer": "enforcer",
    "Entitlements": "model.entitlements",
    "EntitlementsError": "errors",
    "FeatureRequests": "feature_requests",
    "Grant": "model.account",
    "KeyReused": "errors",
    "MemoryStore": "stores.memory",
    "NOT_INCLUDED": "model.limits",
    "NotLoaded": "errors",
    "Override": "model.account",
    "Period": "model.usage",
    "Policy": "policy",
    "PolicyError": "errors",
    "Reason": "model.facts",
    "Remedy": "model.facts",
    "ReservationExpired": "errors",
    "StoreError": "errors",
    "Trial": "model.account",
    "UNLIMITED": "model.limits",
    "UnknownAccount": "errors",
    "UnknownFeature": "errors",
    "Usage": "model.usage",
    "can": "default",
    "use": "default",
}

__all__ = [
    "NOT_INCLUDED",
    "UNLIMITED",
    "Account",
    "AccountError",
    "AccountsUnavailable",
    "AsyncEnforcer",
    "Change",
    "CsvAccounts",
    "Decision",
    "Denied",
    "Enforcer",
    "Entitlements",
    "EntitlementsError",
    "FeatureRequests",
    "Grant",
    "KeyReused",
    "MemoryStore",
    "NotLoaded",
    "Override",
    "Period",
    "Policy",
    "PolicyError",
    "Reason",
    "Remedy",
    "ReservationExpired",
    "StoreError",
    "Trial",
    "UnknownAccount",
    "UnknownFeature",
    "Usage",
    "can",
    "use",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    if name == "__version__":
        return import_module("importlib.metadata").version("entitlements")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'entitlements' has no attribute {name!r}")
    value = getattr(import_module(f"entitlements.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *_HOMES})
