"""The OFREP endpoint, on a real server: a client of the protocol that is not ours, its statuses, and bad requests."""

import json

import httpx
import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from starlette.applications import Starlette
from starlette.routing import Mount
from trade import ACCOUNTS, policy
from webserver import serving

from entitlements import AsyncEnforcer, Enforcer
from entitlements.integrations.ofrep import OfrepApp

FLAGS = "/ofrep/v1/evaluate/flags"


@pytest.fixture(scope="module", params=[Enforcer, AsyncEnforcer], ids=["threads", "loop"])
def url(request):
    with serving(OfrepApp(request.param(policy(), accounts=ACCOUNTS))) as url:
        yield url


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def asked(client, key, account="petra", **context):
    return client.post(f"{FLAGS}/{key}", json={"context": {"targetingKey": account, **context}})


def test_the_provider_of_another_author_reads_every_kind_of_flag(url):
    api.set_provider_and_wait(OFREPProvider(url, timeout=60))
    client, petra = api.get_client(), EvaluationContext("petra")
    try:
        found = [
            client.get_boolean_details("chat", False, petra),
            client.get_boolean_details("reports:full", True, petra),
            client.get_string_details("reports", "", petra),
            client.get_integer_details("leads", 0, petra),
            client.get_string_details("support.phone", "", petra),
            client.get_object_details("support", {}, petra),
            client.get_boolean_details("ss0", False, petra),
            client.get_integer_details("support.phone", 7, petra),
        ]
    finally:
        api.shutdown()
        api.clear_providers()

    support = {"phone": "business-hours", "response": 28800}
    assert [each.value for each in found] == [True, False, "basic", 10, "business-hours", support, False, 7]
    assert [each.variant for each in found[:6]] == ["pro"] * 6
    assert [each.error_code for each in found] == [None] * 6 + ["FLAG_NOT_FOUND", "TYPE_MISMATCH"]
    assert found[3].flag_metadata["remaining"] == 10


def test_one_flag(client):
    response = asked(client, "reports:basic")

    assert (200, "application/json") == (response.status_code, response.headers["content-type"])
    assert response.json() == {
        "key": "reports:basic",
        "value": True,
        "reason": "STATIC",
        "variant": "pro",
        "metadata": {"policy_version": "t1", "source": "tier:pro", "tier": "pro", "reason": "included"},
    }


def test_a_value_that_the_tier_leaves_out_is_the_default_of_the_caller(client):
    answer = asked(client, "support.response", "frida").json()

    assert "value" not in answer
    assert answer["reason"] == "STATIC"


def test_all_flags_come_with_a_tag_by_which_they_are_not_sent_again(client):
    body = {"context": {"targetingKey": "petra"}}
    first = client.post(FLAGS, json=body)
    again = client.post(FLAGS, json=body, headers={"if-none-match": first.headers["etag"]})
    other = client.post(
        FLAGS, json={"context": {"targetingKey": "maxim"}}, headers={"if-none-match": first.headers["etag"]}
    )

    values = {each["key"]: each.get("value") for each in first.json()["flags"]}
    assert values["sso"] is False
    assert values["reports"] == "basic"
    assert values["leads"] == 10
    assert values["support.phone"] == "business-hours"
    assert (304, b"") == (again.status_code, again.content)
    assert 200 == other.status_code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b"[" * 50_000, "PARSE_ERROR"),
        (b"", "INVALID_CONTEXT"),
        (b'{"context": 5}', "INVALID_CONTEXT"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (json.dumps({"context": {"targetingKey": "a\nb"}}).encode(), "INVALID_CONTEXT"),
        (json.dumps({"context": {"targetingKey": "x" * 257}}).encode(), "INVALID_CONTEXT"),
    ],
)
def test_a_bad_request_is_400_with_an_error_code(client, content, code):
    for path in (FLAGS, f"{FLAGS}/chat"):
        response = client.post(path, content=content)

        assert (400, code) == (response.status_code, response.json()["errorCode"])
        assert response.json()["errorDetails"]


def test_other_statuses(client):
    unknown = asked(client, "ss0")
    assert (404, "FLAG_NOT_FOUND") == (unknown.status_code, unknown.json()["errorCode"])
    assert "sso" in unknown.json()["errorDetails"]
    assert 405 == client.get(FLAGS).status_code
    assert 404 == client.post("/ofrep/v2/evaluate").status_code
    assert 413 == client.post(FLAGS, content=b" " * 100_000).status_code


def test_it_can_be_mounted_and_find_the_account_otherwise():
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS)
    inner = OfrepApp(enforcer, account=lambda context: context.get("organisation"))
    with serving(Starlette(routes=[Mount("/flags", inner)])) as url:
        body = {"context": {"targetingKey": "ann", "organisation": "petra"}}
        answer = httpx.post(f"{url}/flags{FLAGS}/chat", json=body, timeout=60).json()

    assert answer["value"] is True
