"""
Entitlements of customer accounts: features, limits and rates, decided in your own process.

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
    from entitlements.accounts import CsvAccounts
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.default import can, use
    from entitlements.enforcer import Enforcer
    from entitlements.errors import (
        AccountError,
        AccountsUnavailable,
        Denied,
        EntitlementsError,
        KeyReused,
        NotLoaded,
        PolicyError,
        ReservationExpired,
        StoreError,
        UnknownAccount,
        UnknownFeature,
    )
    from entitlements.feature_requests import FeatureRequests
    from entitlements.model.account import Account, Change, Grant, Override, Trial
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.facts import Remedy
    from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
    from entitlements.model.reasons import Reason
    from entitlements.model.usage import Period, Usage
    from entitlements.policy import Policy
    from entitlements.stores.memory import MemoryStore

_NAMES_BY_MODULE = {
    "accounts": ["CsvAccounts"],
    "async_enforcer": ["AsyncEnforcer"],
    "default": ["can", "use"],
    "enforcer": ["Enforcer"],
    "errors": [
        "AccountError",
        "AccountsUnavailable",
        "Denied",
        "EntitlementsError",
        "KeyReused",
        "NotLoaded",
        "PolicyError",
        "ReservationExpired",
        "StoreError",
        "UnknownAccount",
        "UnknownFeature",
    ],
    "feature_requests": ["FeatureRequests"],
    "model.account": ["Account", "Change", "Grant", "Override", "Trial"],
    "model.decision": ["Decision"],
    "model.entitlements": ["Entitlements"],
    "model.facts": ["Remedy"],
    "model.limits": ["NOT_INCLUDED", "UNLIMITED"],
    "model.reasons": ["Reason"],
    "model.usage": ["Period", "Usage"],
    "policy": ["Policy"],
    "stores.memory": ["MemoryStore"],
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

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
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'entitlements' has no attribute {name!r}")
    value = getattr(import_module(f"entitlements.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *_MODULES})
