"""The application of Django, whose checks read the setting `ENTITLEMENTS` and the decorators of views."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

from entitlements.errors import EntitlementsError
from entitlements.http.async_admission import AsyncAdmission
from entitlements.http.sync_admission import SyncAdmission
from entitlements.integrations.django.settings import async_enforcer, enforcer, middleware_options
from entitlements.integrations.django.views import rules_of_view, views
from entitlements.model.callables import is_async
from entitlements.rules.route_matching import unknown_names


class EntitlementsConfig(AppConfig):  # type: ignore[misc]
    """The application `entitlements.integrations.django`."""

    name = "entitlements.integrations.django"
    label = "entitlements"
    verbose_name = "Entitlements"

    def ready(self) -> None:
        """Register the checks."""
        checks.register(check_settings)
        checks.register(check_views, checks.Tags.urls)


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """Return an error for a setting `ENTITLEMENTS` that is missing or invalid."""
    try:
        options = middleware_options()
        if is_async(options["identify"]):  # for a server of ASGI
            AsyncAdmission(None, enforcer=async_enforcer(), **options)
        else:
            SyncAdmission(None, enforcer=enforcer(), **options)
    except (ImproperlyConfigured, EntitlementsError, TypeError, ValueError, OSError) as error:
        return [checks.Error(str(error), id="entitlements.E001")]
    return []


def check_views(**_: Any) -> list[checks.CheckMessage]:
    """Return an error for each name in a decorator of a view that the policy does not define."""
    try:
        policy = enforcer().policy
    except (ImproperlyConfigured, EntitlementsError, TypeError, ValueError, OSError):
        return []  # an error of the settings
    rules = [rule for view in views(get_resolver().url_patterns) for rule in rules_of_view(view)]
    wrong = dict.fromkeys(text for rule in rules for text in unknown_names(rule, policy))
    return [checks.Error(text, id="entitlements.E002") for text in wrong]
