"""
Django: a middleware for WSGI and ASGI, decorators for views, settings with checks, and classes for the REST framework.

    INSTALLED_APPS += ["entitlements.integrations.django"]  # checks the settings and the decorators
    MIDDLEWARE += ["entitlements.integrations.django.EntitlementsMiddleware"]
    ENTITLEMENTS = {"POLICY": BASE_DIR / "policy.yaml", "STORE": "redis://…", "IDENTIFY": "shop.accounts.identify"}

`settings` lists the settings. Begin with `middleware`.
"""

from entitlements.extras import extra

with extra("django", "Django", __name__):
    import django  # noqa: F401 - the check of its version

from entitlements.http.current import current_account
from entitlements.integrations.django.decorators import consume, require
from entitlements.integrations.django.middleware import EntitlementsMiddleware
from entitlements.integrations.django.settings import async_enforcer, enforcer

__all__ = ["EntitlementsMiddleware", "async_enforcer", "consume", "current_account", "enforcer", "require"]
