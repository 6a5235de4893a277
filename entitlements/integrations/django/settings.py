"""
The setting `ENTITLEMENTS`, and the enforcers of the process that it describes.

| key | meaning |
|---|---|
| `POLICY` | a folder, a YAML file, or a `Policy` |
| `ACCOUNTS` | as for an enforcer: a mapping, a path to a CSV, a URL, an object; or the dotted path of one of these or of a class |
| `STORE` | the URL of a store; `memory://` by default |
| `HOOKS` | callables that take events, or their dotted paths |
| `IDENTIFY` | returns the account of a scope, or its dotted path; `scope["django.request"]` is the request |
| `ROUTES`, `DEFAULT`, `REFUND_ON`, `REFUND_RATES`, `HEADERS`, `DOCS_URL`, `UPGRADE_URL`, `PAYMENT_REQUIRED`, `RETRY_AFTER_CAP`, `ON_DENIED`, `NORMALISE`, `IDEMPOTENCY_KEY` | the options of `EntitlementsMiddleware` of `entitlements.http.asgi` |
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.enforcer import Enforcer
from entitlements.http.middleware_options import MiddlewareOptions
from entitlements.model.names import nearest
from entitlements.model.policy import PolicyData
from entitlements.policy import Policy

ENFORCER_KEYS = {"POLICY", "ACCOUNTS", "STORE", "HOOKS"}
OPTION_KEYS = {name.upper() for name in MiddlewareOptions.__annotations__}
KEYS = ENFORCER_KEYS | OPTION_KEYS | {"IDENTIFY"}

_lock = threading.Lock()
_enforcers: dict[type, Any] = {}


def enforcer() -> Enforcer:
    """
    Return the enforcer of this process for threads, made at the first call.

    Raises:
        ImproperlyConfigured: If the setting `ENTITLEMENTS` is missing or invalid.
        PolicyError: For an invalid policy.
    """
    return _made(Enforcer)  # type: ignore[no-any-return]


def async_enforcer() -> AsyncEnforcer | Enforcer:
    """
    Return the enforcer of this process for event loops; on the memory store that of threads, so that both count together.

    Raises:
        ImproperlyConfigured, PolicyError: As `enforcer`.
    """
    return enforcer() if configured().get("STORE", "memory://").startswith("memory") else _made(AsyncEnforcer)


def configured() -> Mapping[str, Any]:
    """
    Return the setting `ENTITLEMENTS`.

    Raises:
        ImproperlyConfigured: If it is missing, is no mapping, or has an unknown key.
    """
    found = getattr(settings, "ENTITLEMENTS", None)
    if not isinstance(found, Mapping):
        raise ImproperlyConfigured('ENTITLEMENTS is not set; write ENTITLEMENTS = {"POLICY": ..., "IDENTIFY": ...}')
    for key in found:
        if key not in KEYS:
            cure = nearest(str(key), KEYS) or f"; there are {', '.join(sorted(KEYS))}"
            raise ImproperlyConfigured(f"ENTITLEMENTS has no key {key!r}{cure}")
    for key in ("POLICY", "IDENTIFY"):
        if key not in found:
            raise ImproperlyConfigured(f"ENTITLEMENTS lacks {key!r}; see entitlements.integrations.django.settings")
    return found


def middleware_options() -> dict[str, Any]:
    """
    Return `identify` and the options of the middleware.

    Raises:
        ImproperlyConfigured: As `configured`, and for a dotted path that cannot be imported.
    """
    found = configured()
    options = {key.lower(): value for key, value in found.items() if key in OPTION_KEYS}
    if "on_denied" in options:
        options["on_denied"] = _imported("ON_DENIED", options["on_denied"])
    return {"identify": _imported("IDENTIFY", found["IDENTIFY"]), **options}


def _made(kind: Any) -> Any:
    with _lock:
        if kind not in _enforcers:
            found = configured()
            policy, accounts = found["POLICY"], found.get("ACCOUNTS")
            if isinstance(accounts, str) and not accounts.endswith(".csv") and "://" not in accounts:
                accounts = _imported("ACCOUNTS", accounts)
                accounts = accounts() if isinstance(accounts, type) else accounts
            _enforcers[kind] = kind(
                policy if isinstance(policy, PolicyData) else Policy.load(policy),
                accounts=accounts,
                store=found.get("STORE", "memory://"),
                hooks=[_imported("HOOKS", each) for each in found.get("HOOKS", ())],
            )
        return _enforcers[kind]


def _imported(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        raise ImproperlyConfigured(f"ENTITLEMENTS[{key!r}]: {value!r} cannot be imported: {error}") from error


def _forget(*, setting: str, **_: Any) -> None:
    """Drop the enforcers when a test overrides the setting; the connections of a loop end with it."""
    if setting == "ENTITLEMENTS":
        with _lock:
            dropped = _enforcers.pop(Enforcer, None)
            _enforcers.clear()
        if dropped is not None:
            dropped.close()


setting_changed.connect(_forget)
