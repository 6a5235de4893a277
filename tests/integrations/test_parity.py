"""The same traffic through every middleware, sync and async, gives the same counts, statuses, headers and bodies."""

from __future__ import annotations

import re

import httpx
import pytest
from django_site import settled
from doors import DOORS, door
from servers import KINDS
from trade import WRITTEN, policy

TRAFFIC = [
    ("GET", "/hello", "k"),
    ("HEAD", "/hello", "k"),
    ("GET", "/healthz", None),
    ("GET", "/hello", None),
    ("GET", "/hello", "wrong"),
    ("GET", "/hello", "gone"),
    ("GET", "/sso", "k"),
    ("HEAD", "/sso", "k"),
    ("GET", "/sso", "x"),
    ("GET", "/sso", "gone"),
    ("GET", "/who", "k"),
    ("GET", "/hello", "free"),
    ("GET", "/leads/2", "k"),
    ("GET", "/leads/99", "k"),
    ("GET", "/fail/404", "k"),
    ("GET", "/fail/503", "k"),
    ("GET", "/broken", "k"),
    ("GET", "/stream", "k"),
    ("GET", "/sso/", "k"),
    ("GET", "/SSO", "k"),
    ("GET", "/x/%2E%2E/sso", "x"),
    ("GET", "/hello?n=1", "k"),
    ("GET", "/hello", "k"),
    ("GET", "/hello", "k"),
    ("GET", "/hello", "k"),
    ("GET", "/leads/1", "k"),
]
HEADERS = ("content-type", "cache-control", "www-authenticate", "retry-after", "ratelimit", "ratelimit-policy")
OLDER = ("x-ratelimit-limit", "x-ratelimit-remaining", "ratelimit-limit", "ratelimit-remaining")
TIMES = re.compile(r"(?<=;t=)\d+|(?<=retry_after\": )\d+|(?<=resets_at\": )\"[^\"]*\"")
"""Times, which pass while the test runs."""


def connected(url):
    """Return a client with a connection for each request: some servers close theirs after an error."""
    return httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))


def answer(client, method, path, key):
    """
    Return the status, the headers of this package and the body of an answer.

    Of the page that is broken it is the status: the answer of some frameworks is made outside of their middlewares.
    """
    response = client.request(method, path, headers={} if key is None else {"x-api-key": key})
    if path.endswith("/broken"):
        return (response.status_code,)
    problem = response.headers.get("content-type", "") == "application/problem+json"
    body = response.text if problem or response.status_code == 200 else ""
    names = HEADERS + OLDER if problem else HEADERS[4:] + OLDER
    headers = [TIMES.sub("*", ", ".join(response.headers.get_list(name))) for name in names]
    headers[3:4] = [bool(headers[3])] if problem else headers[3:4]
    return response.status_code, headers, TIMES.sub("*", body.strip('"'))  # some frameworks write JSON


def difference(expected, found):
    return [pair for pair in zip(expected, found, strict=True) if pair[0] != pair[1]]


def exchange(name, store="memory://", **options):
    """Return every answer of a framework to the traffic, and what is used in the end."""
    told = []
    with door(name, store, **options) as (url, used), connected(url) as client:
        for method, path, key in TRAFFIC:
            before = used()
            told.append((method, path, key, *answer(client, method, path, key)))
            if path in {"/broken", *(f"/fail/{status}" for status in options.get("refund_on", [503]))}:
                refunded = before if options.get("refund_rates") else (before[0] + 1, before[1])
                assert refunded == settled(used, refunded), (name, path)
        return told, used()


def assert_parity(found):
    asgi, counts = found["asgi"]
    assert {} == {name: each for name, (told, _) in found.items() if (each := difference(asgi, told))}
    assert dict.fromkeys(found, counts) == {name: each for name, (_, each) in found.items()}


@pytest.mark.parametrize("kind", ["memory", *KINDS])
def test_every_door_answers_and_counts_as_the_asgi_middleware(kind, rack):
    if kind == "memory":
        found = {name: exchange(name) for name in DOORS}
    else:
        server = rack.shared(kind, lambda: rack.start(kind))
        names = DOORS if kind == "valkey-9" else ("asgi", "wsgi", "django-wsgi", "django-asgi")
        found = {name: exchange(name, f"{server.url}?namespace={name}") for name in names}

    assert {200, 400, 401, 403, 404, 429, 500, 503} == {each[3] for each in found["asgi"][0]}
    assert_parity(found)


@pytest.mark.parametrize("headers", ["draft-06", "x-ratelimit"])
def test_options_mean_the_same_behind_every_door(headers):
    options = {
        "headers": headers,
        "docs_url": "https://example.com/docs",
        "upgrade_url": "https://example.com/plans",
        "payment_required": True,
        "refund_on": {404, 500},
        "refund_rates": True,
        "retry_after_cap": 0,
    }
    found = {name: exchange(name, **options) for name in DOORS}

    assert {402, 503} <= {each[3] for each in found["asgi"][0]}
    assert_parity(found)


SETTLED = [
    ("/settled/estimate", 3),
    ("/settled/header-1", 1),
    ("/settled/commit-2", 2),
    ("/settled/stream", 3),
    ("/settled/stream-header-1", 1),
    ("/settled/stream-commit-1", 1),
    ("/settled/fail/503", None),
    ("/settled/fail/404", 3),
    ("/settled/broken", None),
    ("/settled/header-9", 9),  # above the limit: the work is done
    ("/settled/header-1", None),  # there is no room for its estimate
]
"""Pages whose route settles, and the leads that each takes; a failed or refused request takes none, of the rate neither."""


@pytest.mark.parametrize("kind", ["memory", "valkey-9"])
@pytest.mark.parametrize("name", DOORS)
def test_every_door_settles_what_a_request_reserved(kind, name, rack):
    store = "memory://" if kind == "memory" else f"{rack.shared(kind, lambda: rack.start(kind)).url}?namespace={name}"
    limits = {**WRITTEN["tiers"]["pro"]["limits"], "leads": 20}
    tiers = WRITTEN["tiers"] | {"pro": WRITTEN["tiers"]["pro"] | {"limits": limits}}
    with door(name, store, policy(tiers=tiers)) as (url, used), connected(url) as client:
        counts = used()
        for path, taken in SETTLED:
            client.get(path, headers={"x-api-key": "k"})
            counts = counts if taken is None else (counts[0] + 1, counts[1] + taken)
            assert counts == settled(used, counts), path


ENDPOINTS = [
    ("/sso", "k"),
    ("/sso", "x"),
    ("/sso", "gone"),
    ("/leads?n=2", "k"),
    ("/leads?n=0", "k"),
    ("/leads?n=99", "k"),
    ("/leads?n=x", "k"),
    ("/leads?n=-1", "k"),
    ("/leads", "k"),
    ("/leads?n=2", "gone"),
    ("/leads", "gone"),
    ("/broken", "k"),
    ("/denied", "k"),
    ("/leads?n=7", "k"),
    ("/leads?n=2", "k"),
    ("/leads?n=1", "k"),
]
FOLDERS = {
    "own": ("/sso", "/leads", "/broken", "/denied"),
    "async": ("/sso", "/leads", "/broken"),
    "class": ("/leads",),
    "async-class": ("/leads",),
    "rest": ("/sso", "/leads"),
}
"""Folders of endpoints, and the pages that are in each."""


def exchange_endpoints(name, folder):
    """Return every answer of the endpoints in a folder, and what is used in the end."""
    told = {}
    with door(name) as (url, used), connected(url) as client:
        for path, key in ENDPOINTS:
            if path.partition("?")[0] in FOLDERS[folder]:
                told[path, key] = answer(client, "GET", f"/{folder}{path}", key)
            if path == "/broken":
                assert (0, 2) == settled(used, (0, 2)), name
        return told, used()


def test_require_and_consume_of_endpoints_answer_and_count_as_the_dependencies_of_fastapi():
    fastapi, counts = exchange_endpoints("fastapi", "own")
    assert {200, 400, 403, 429, 500} == {each[0] for each in fastapi.values()}

    for name in ("flask", "django-wsgi", "django-asgi"):
        for folder in FOLDERS if name.startswith("django") else ["own"]:
            told, used = exchange_endpoints(name, folder)
            expected = {each: fastapi[each] for each in told}
            assert {} == {each: (expected[each], told[each]) for each in told if expected[each] != told[each]}, (
                name,
                folder,
            )
            assert counts == used, (name, folder)
