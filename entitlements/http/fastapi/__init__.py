"""
FastAPI: dependencies that gate and charge single endpoints.

Begin with `dependencies.py`. `checks` holds the dependencies against the policy at start-up, `charges` decides
what one request is charged, `handlers` answers refusals, `openapi` describes them.
"""

from entitlements.http.fastapi.dependencies import (
    AccountRequired,
    CurrentAccount,
    CurrentEntitlements,
    Handle,
    Units,
    account,
    consume,
    install,
    require,
    responses,
    snapshot,
)

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
