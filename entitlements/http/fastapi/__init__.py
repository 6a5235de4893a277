"""
FastAPI: dependencies that gate and charge single endpoints.

Begin with `dependencies.py`. `checks` checks the dependencies against the policy at startup, `charges` computes
the charge of a request, `openapi` documents the answers to refusals.
"""

from entitlements.http.error_refusals import AccountRequired
from entitlements.http.fastapi.dependencies import (
    CurrentAccount,
    CurrentEntitlements,
    Handle,
    Units,
    account,
    consume,
    install,
    require,
    snapshot,
)
from entitlements.http.fastapi.openapi import responses

__all__ = [
    "AccountRequired",
    "CurrentAccount",
    "CurrentEntitlements",
    "Handle",
    "Units",
    "account",
    "consume",
    "install",
    "require",
    "responses",
    "snapshot",
]
