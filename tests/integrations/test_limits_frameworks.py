"""slowapi and Flask-Limiter with our strategies: real applications that share a real Redis server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import flask
import flask_limiter
import flask_limiter.commands
import httpx
import pytest
from flask_limiter.util import get_remote_address
from servers import free_port
from werkzeug.serving import make_server

from entitlements.integrations.limits import SLIDING, TOKEN_BUCKET, register

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENT = {"deadline": 20}  # a busy machine is slow, not broken

register()


# -- slowapi, as in the example ------------------------------------------------------------------------------------


@contextmanager
def slowapi_app(storage):
    """Run the example in its own process; yield its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / "slowapi_app.py"],
        env=os.environ | {"PORT": str(port), "RATELIMIT_STORAGE": storage},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while True:
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/openapi.json")
                break
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_the_slowapi_example_limits_and_says_so_in_its_headers():
    with slowapi_app("entitlements+memory://") as url, httpx.Client(base_url=url, timeout=60) as client:
        answers = [client.get("/reports", headers={"X-Account": "acme"}) for _ in range(4)]

        assert [200, 200, 200, 429] == [answer.status_code for answer in answers]
        assert ["2", "1", "0", "0"] == [answer.headers["x-ratelimit-remaining"] for answer in answers]
        assert {"3"} == {answer.headers["x-ratelimit-limit"] for answer in answers}
        refused = answers[-1]
        assert 0 < int(refused.headers["retry-after"]) <= 63
        assert 0 < float(refused.headers["x-ratelimit-reset"]) - time.time() <= 63
        assert {"error": "Rate limit exceeded: 3 per 1 minute"} == refused.json()
        assert 200 == client.get("/reports", headers={"X-Account": "globex"}).status_code
        assert [200, 429, 200] == [client.get("/exports", params={"rows": n}).status_code for n in (60, 41, 40)]


def test_two_slowapi_processes_share_one_limit_on_a_server_exactly(valkey):
    storage = f"entitlements+{valkey.url}?deadline=20"  # however slow the machine is: late, it would go on in memory
    with (
        slowapi_app(storage) as one,
        slowapi_app(storage) as two,
        httpx.Client(timeout=60) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        asked = [f"{url}/exports" for _ in range(80) for url in (one, two)]
        statuses = Counter(pool.map(lambda url: client.get(url).status_code, asked))

        assert {200: 100, 429: 60} == statuses


def test_slowapi_goes_on_in_memory_while_the_server_is_gone_and_comes_back(rack):
    server = rack.start("valkey-9")
    with slowapi_app(f"entitlements+{server.url}?deadline=20") as url, httpx.Client(base_url=url, timeout=60) as client:
        assert "2" == client.get("/reports").headers["x-ratelimit-remaining"]

        server.kill()
        answers = [client.get("/reports") for _ in range(4)]
        assert [200, 200, 200, 429] == [answer.status_code for answer in answers]  # by the same law, from nothing

        server.start()
        until = time.monotonic() + 60
        while client.get("/reports").status_code != 200:  # slowapi looks again after 1, 2, 4 … seconds
            assert time.monotonic() < until
            time.sleep(0.1)
        with server.client() as admin:
            assert 1 == len(list(admin.scan_iter("ent.limits1:*")))
    rack.remove(server)


# -- Flask-Limiter -------------------------------------------------------------------------------------------------


def flask_app(storage, strategy=SLIDING, **options):
    """Return an application with a limit on failures of its own, and its limiter."""
    app = flask.Flask(__name__)
    limiter = flask_limiter.Limiter(
        get_remote_address, app=app, storage_uri=storage, storage_options=PATIENT, strategy=strategy,
        headers_enabled=True, **options,
    )  # fmt: skip

    @app.get("/reports")
    @limiter.limit("50/hour")
    @limiter.limit("2/hour", deduct_when=lambda response: response.status_code == 404)
    def reports():
        return ("none", 404) if "lost" in flask.request.args else "here"

    return app, limiter


@contextmanager
def serving(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
            yield client
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("strategy", [SLIDING, TOKEN_BUCKET])
def test_flask_limiter_admits_exactly_what_it_is_told_from_many_threads(valkey, strategy):
    app, limiter = flask_app(f"entitlements+{valkey.url}", strategy)
    with serving(app) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get("/reports"), range(80)))
        refused = client.get("/reports")

        assert {200: 50, 429: 30} == Counter(answer.status_code for answer in answers)
        assert ("50", "0") == (refused.headers["x-ratelimit-limit"], refused.headers["x-ratelimit-remaining"])
        assert 0 < int(refused.headers["retry-after"]) <= 3661
        assert 0 < int(refused.headers["x-ratelimit-reset"]) - time.time() <= 3661

        limiter.reset()
        assert 200 == client.get("/reports").status_code
    limiter.storage.close()


@pytest.mark.parametrize("strategy", [SLIDING, TOKEN_BUCKET])
@pytest.mark.parametrize("storage", ["entitlements+memory://", "valkey"])
def test_a_client_of_flask_limiter_that_waits_for_retry_after_is_admitted(storage, strategy, request):
    if storage == "valkey":
        storage = f"entitlements+{request.getfixturevalue('valkey').url}?deadline=20"
    app = flask.Flask(__name__)
    limiter = flask_limiter.Limiter(
        get_remote_address, app=app, storage_uri=storage, strategy=strategy, headers_enabled=True
    )
    app.get("/")(limiter.limit("4/second")(lambda: "here"))
    with app.test_client() as client:
        for _ in range(3):
            while (response := client.get("/")).status_code == 200:
                pass
            time.sleep(int(response.headers["retry-after"]))
            assert 200 == client.get("/").status_code
    limiter.storage.close()


def test_flask_limiter_deducts_from_one_of_two_limits_only_when_told(valkey):
    app, limiter = flask_app(f"entitlements+{valkey.url}")
    with app.test_client() as client:
        assert [200] * 5 == [client.get("/reports").status_code for _ in range(5)]
        assert [404, 404, 429] == [client.get("/reports?lost=1").status_code for _ in range(3)]
        assert 429 == client.get("/reports").status_code
    limiter.storage.close()


def test_the_commands_of_flask_limiter_show_and_clear_our_limits(valkey):
    app, limiter = flask_app(f"entitlements+{valkey.url}")
    run = partial(app.test_cli_runner().invoke, flask_limiter.commands.cli)
    with app.test_client() as client:
        for _ in range(50):
            client.get("/reports")
        assert 429 == client.get("/reports").status_code

        shown = run(args=["config"])
        assert (0, True, True) == (shown.exit_code, "SlidingWindow" in shown.output, "OK" in shown.output)
        shown = run(args=["limits", "--key=127.0.0.1"])
        assert (0, True) == (shown.exit_code, "Fail" in shown.output)
        assert 0 == run(args=["clear", "--key=127.0.0.1", "-y"]).exit_code

        assert 200 == client.get("/reports").status_code
    limiter.storage.close()


def test_flask_limiter_goes_on_in_memory_while_the_server_is_gone(rack):
    server = rack.start("valkey-9")
    app, limiter = flask_app(f"entitlements+{server.url}", in_memory_fallback_enabled=True)
    with app.test_client() as client:
        assert 200 == client.get("/reports").status_code

        server.kill()
        statuses = Counter(client.get("/reports").status_code for _ in range(51))

        assert {200: 50, 429: 1} == statuses
    limiter.storage.close()
    rack.remove(server)
