"""The Django middleware: settings and their checks, bodies that are made later, and one counter for threads and loops."""

from __future__ import annotations

import asyncio
import re

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.http import StreamingHttpResponse
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from django.urls import path
from django_site import MIDDLEWARE, django_site, hello, settled
from doors import ACCOUNTS, OPTIONS, used
from servers import KINDS
from trade import policy

from entitlements import Account, AsyncEnforcer
from entitlements.http.identify import authenticated_user
from entitlements.http.routes import Route
from entitlements.integrations.django import async_enforcer, consume, enforcer
from entitlements.integrations.django.settings import KEYS
from entitlements.stores.errors import Closed

SETTING = {"POLICY": policy(), "ACCOUNTS": ACCOUNTS, "ROUTES": [], "DEFAULT": Route(consumes={"api": 1, "leads": 1})}
SETTING |= {"IDENTIFY": OPTIONS["identify"]}
KEY = {"x-api-key": "k"}


def broken_later(request):
    def chunks():
        yield "one"
        raise RuntimeError("broken")

    return StreamingHttpResponse(chunks(), status=int(request.GET.get("status", 200)))


async def broken_later_async(request):
    async def chunks():
        yield "one"
        if "status" not in request.GET:
            raise RuntimeError("broken")

    return StreamingHttpResponse(chunks(), status=int(request.GET.get("status", 200)))


class Directory:
    """A source of accounts that a setting names by its class."""

    def find(self, id):
        """Return an account."""
        return Account(id, ACCOUNTS[id]) if id in ACCOUNTS else None


def mark_account(scope):
    """Identify by the request of Django."""
    return scope["django.request"].headers.get("x-account")


urlpatterns = [
    path("hello", hello),
    path("later", broken_later),
    path("alater", broken_later_async),
    path("wrong", consume("leeds")(hello)),
    path("joined", consume("agents")(hello)),
]


@pytest.fixture
def setting():
    with override_settings(ENTITLEMENTS=SETTING, ROOT_URLCONF=__name__):
        yield


@pytest.mark.usefixtures("setting")
@pytest.mark.parametrize(("query", "status"), [("", 200), ("?status=503", 503)])
def test_a_body_that_is_made_later_is_followed_to_its_end(query, status):
    response = Client().get(f"/later{query}", headers=KEY)
    assert (1, 0 if query else 1) == used(enforcer())
    with pytest.raises(RuntimeError):
        list(response.streaming_content)
    response.close()

    assert ((1, 0), status) == (used(enforcer()), response.status_code)


@pytest.mark.usefixtures("setting")
@pytest.mark.parametrize(("query", "left"), [("", 0), ("?status=503", 0), ("?status=200", 1)])
def test_a_body_that_is_made_later_on_a_loop_is_followed_too(query, left):
    async def scenario():
        response = await AsyncClient().get(f"/alater{query}", headers=KEY)
        try:
            return [chunk async for chunk in response.streaming_content]
        except RuntimeError:
            return None

    assert (query == "") == (asyncio.run(scenario()) is None)
    assert (1, left) == used(async_enforcer())


@pytest.mark.usefixtures("setting")
def test_a_client_that_hangs_up_gets_nothing_back():
    response = Client().get("/later", headers=KEY)
    response.close()

    assert (1, 1) == used(enforcer())


@pytest.mark.usefixtures("setting")
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_client_that_hangs_up_settles_what_its_stream_reserved(client):
    rule = Route(consumes={"api": 1, "leads": 3}, settles=lambda _status, _headers: {"leads": 2})

    async def scenario():
        response = await AsyncClient().get("/alater?status=200", headers=KEY)
        chunks = aiter(response.streaming_content)
        await anext(chunks)
        await chunks.aclose()

    with override_settings(ENTITLEMENTS=SETTING | {"DEFAULT": rule}):
        if client is Client:
            Client().get("/later", headers=KEY).close()
        else:
            asyncio.run(scenario())
        expected = (1, 2)
        assert expected == settled(lambda: used(enforcer() if client is Client else async_enforcer()), expected)


@pytest.mark.usefixtures("setting")
def test_headers_of_a_decorator_join_those_of_the_middleware():
    with override_settings(ENTITLEMENTS=SETTING | {"HEADERS": "draft-11", "DEFAULT": Route(consumes={"leads": 1})}):
        response = Client().get("/joined", headers=KEY)

    assert '"leads";q=10' == response.headers["ratelimit-policy"]


class User:
    """A user as the authentication of Django knows them."""

    is_authenticated = True
    account_id = "pro"


def signed_in(get_response):
    """A middleware for threads only, which finds the user."""

    def middleware(request):
        request.user = User()
        response = get_response(request)
        response.headers["x-seen"] = response.headers.get("ratelimit", "")
        return response

    return middleware


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_middleware_for_threads_finds_the_user_and_sees_the_headers(client):
    changed = {"ROOT_URLCONF": __name__, "MIDDLEWARE": [f"{__name__}.signed_in", MIDDLEWARE]}
    with override_settings(ENTITLEMENTS=SETTING | {"IDENTIFY": authenticated_user("account_id")}, **changed):
        response = client().get("/joined")
        response = asyncio.run(response) if asyncio.iscoroutine(response) else response

        assert (200, (1, 1)) == (response.status_code, used(enforcer()))
    assert '"api";r=9' in response.headers["x-seen"]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_loops_share_one_counter(kind, rack):
    server = rack.shared(kind, lambda: rack.start(kind))
    setting = SETTING | {"STORE": f"{server.url}?namespace=shared", "DEFAULT": Route(consumes={"fixed": 1})}
    statuses = []
    with django_site("wsgi", setting, ROOT_URLCONF=__name__) as (_, blocking):
        for _ in range(6):
            statuses.append(Client().get("/hello", headers=KEY).status_code)

            async def ask():
                return (await AsyncClient().get("/hello", headers=KEY)).status_code

            statuses.append(asyncio.run(ask()))
        counts = blocking.usage("pro")["fixed"].used
        assert isinstance(async_enforcer(), AsyncEnforcer)

    assert (10, [200] * 10 + [429] * 2) == (counts, statuses)
    with pytest.raises(Closed):
        blocking.can("pro", "sso")  # a setting that is overridden leaves nothing open


def test_dotted_paths_name_what_a_setting_cannot_import():
    setting = SETTING | {"ACCOUNTS": f"{__name__}.Directory", "IDENTIFY": f"{__name__}.mark_account", "HOOKS": []}
    with override_settings(ENTITLEMENTS=setting, ROOT_URLCONF=__name__):
        response = Client().get("/hello", headers={"x-account": "pro"})

    assert 200 == response.status_code


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (None, "ENTITLEMENTS is not set"),
        ({"POLICY": policy()}, "ENTITLEMENTS lacks 'IDENTIFY'"),
        (SETTING | {"POLICIES": 1}, "has no key 'POLICIES'.*'POLICY'"),
        (SETTING | {"IDENTIFY": "shop.nothing"}, r"ENTITLEMENTS\['IDENTIFY'\]: 'shop.nothing' cannot be imported"),
        (SETTING | {"ROUTES": [Route("/", requires={"sos"})]}, "'sos'"),
        (SETTING | {"HEADERS": "x"}, "no style of headers"),
        (SETTING | {"POLICY": "/no/such/folder"}, "/no/such/folder"),
        (SETTING | {"STORE": "mysql://x"}, "mysql"),
    ],
)
def test_a_wrong_setting_is_an_error_of_the_checks(setting, told):
    with override_settings(ENTITLEMENTS=setting):
        found = [each for each in checks.run_checks() if each.id == "entitlements.E001"]

    assert 1 == len(found)
    assert re.search(told, found[0].msg)


def test_a_name_in_a_decorator_that_the_policy_lacks_is_an_error_of_the_checks():
    with override_settings(ENTITLEMENTS=SETTING, ROOT_URLCONF=__name__):
        found = [each.msg for each in checks.run_checks() if each.id == "entitlements.E002"]

    assert 1 == len(found)
    assert "'leeds'" in found[0]


def test_every_key_of_the_setting_is_documented():
    from entitlements.integrations.django import settings

    assert [] == [key for key in KEYS if f"`{key}`" not in settings.__doc__]


def test_without_the_setting_the_middleware_names_it():
    with override_settings(ENTITLEMENTS=None), pytest.raises(ImproperlyConfigured, match="ENTITLEMENTS is not set"):
        Client().get("/hello")
