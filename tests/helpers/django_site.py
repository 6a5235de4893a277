"""A Django project in this process: its settings, its views, and its handlers for WSGI and ASGI."""

from __future__ import annotations

import contextlib
import time

import django
import pages
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

MIDDLEWARE = "entitlements.integrations.django.EntitlementsMiddleware"

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={},
        INSTALLED_APPS=["entitlements.integrations.django", "rest_framework"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[MIDDLEWARE],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [],
            "UNAUTHENTICATED_USER": None,
            "EXCEPTION_HANDLER": "entitlements.integrations.django.rest_framework.exception_handler",
        },
        ROOT_URLCONF=__name__,
        SECRET_KEY="for a test",
        ENTITLEMENTS={},
    )
    django.setup()

from rest_framework.response import Response as ApiResponse  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from entitlements.integrations.django import consume, current_account, require  # noqa: E402
from entitlements.integrations.django.rest_framework import consumes, requires  # noqa: E402


def units(request):
    return int(request.GET["n"])


def plain(text):
    return HttpResponse(text, content_type="text/plain")


def hello(request, status=200):
    return HttpResponse("hello", status=status, content_type="text/plain")


def leads(request, n):
    return hello(request)


def who(request):
    account = current_account()
    return plain(f"{account.id} {account.can('sso')}")


def broken(request):
    raise RuntimeError("broken")


def denied(request):
    current_account().decide("sso").raise_for_denied()


def streamed(request, **_):
    reservation = getattr(request, "reservation", None)
    body = (pages.chunks_async if hasattr(request, "scope") else pages.chunks)(request.path, reservation)
    return StreamingHttpResponse(body, content_type="text/plain", headers=pages.own_headers(request.path))


def settled_page(request, rest):
    """Commit on a thread, also under ASGI, as a view that is no coroutine does."""
    if pages.is_stream(rest):
        return streamed(request)
    status, text = pages.page(request.path)
    commit = async_to_sync(pages.commit_async) if hasattr(request, "scope") else pages.commit
    commit(request.reservation, rest)
    return HttpResponse(text, status=status, content_type="text/plain", headers=pages.own_headers(rest))


@require("sso")
def needs_sso(request):
    return plain("here")


@consume("leads", units)
def counted(request):
    return plain("here")


@consume("leads")
def counted_then_broken(request):
    raise RuntimeError("broken")


@require("sso")
async def needs_sso_async(request):
    return plain("here")


@consume("leads", units)
async def counted_async(request):
    return plain("here")


@consume("leads")
async def counted_then_broken_async(request):
    raise RuntimeError("broken")


@method_decorator(consume("leads", units), name="dispatch")
class Counted(View):
    def get(self, request):
        return plain("here")


@method_decorator(consume("leads", units), name="dispatch")
class CountedAsync(View):
    async def get(self, request):
        return plain("here")


class Api(APIView):
    throttle_classes = (consumes("leads", lambda request: int(request.query_params["n"])),)

    def get(self, request):
        return ApiResponse("here")


class NeedsSso(APIView):
    permission_classes = (requires("sso"),)

    def get(self, request):
        return ApiResponse("here")


urlpatterns = [
    path("hello", hello),
    path("healthz", hello),
    path("sso", hello),
    path("leads/<int:n>", leads),
    path("fail/<int:status>", hello),
    path("who", who),
    path("broken", broken),
    path("stream", streamed),
    path("stream-broken", streamed),
    path("settled/<path:rest>", settled_page),
    path("own/sso", needs_sso),
    path("own/leads", counted),
    path("own/broken", counted_then_broken),
    path("own/denied", denied),
    path("async/sso", needs_sso_async),
    path("async/leads", counted_async),
    path("async/broken", counted_then_broken_async),
    path("class/leads", Counted.as_view()),
    path("async-class/leads", CountedAsync.as_view()),
    path("rest/leads", Api.as_view()),
    path("rest/sso", NeedsSso.as_view()),
]


@contextlib.contextmanager
def django_site(interface, entitlements, **changed):
    """Yield the project's application for WSGI or ASGI under a setting `ENTITLEMENTS`, and its enforcer."""
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    from entitlements.integrations.django import async_enforcer, enforcer

    with override_settings(ENTITLEMENTS=entitlements, **changed):
        app = WSGIHandler() if interface == "wsgi" else ASGIHandler()
        yield app, enforcer() if interface == "wsgi" else async_enforcer()


def settled(read, expected, seconds=60):
    """Wait until *read* returns what is expected: a server may be done with a request after its client."""
    until = time.monotonic() + seconds
    while read() != expected and time.monotonic() < until:
        time.sleep(0.01)
    return read()
