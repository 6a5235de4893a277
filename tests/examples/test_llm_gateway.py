"""The gateway example: streams are counted to the token, end properly where a budget is gone, and survive kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from servers import free_port
from webserver import serving

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "llm_gateway"
CHUNK = 50
TTL = 4


def module(name, monkeypatch, **environ):
    """Return a module of the example, which reads its settings from *environ*."""
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    spec = importlib.util.spec_from_file_location(f"gateway_example_{name}", EXAMPLE / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def ask(url, key="pro-key", prompt="a b c", **more):
    """Stream one answer; return the status, the tokens that came, and the last event but [DONE] if it ended."""
    tokens, end = 0, None
    with (
        httpx.Client(timeout=60) as client,
        client.stream(
            "POST", f"{url}/v1/chat", json={"prompt": prompt, **more}, headers={"x-api-key": key}
        ) as response,
    ):
        if response.status_code != 200:
            return response.status_code, json.loads(response.read()), None
        for line in response.iter_lines():
            event = line.removeprefix("data: ")
            if event == "[DONE]":
                return 200, tokens, end
            if event:
                end = json.loads(event)
                tokens += "token" in end
    return 200, tokens, None


@pytest.fixture
def model(monkeypatch):
    with serving(module("model", monkeypatch).app) as url:
        yield url


@pytest.fixture
def gateway(monkeypatch, model):
    """The gateway on a memory store: its module and its URL."""
    loaded = module("gateway", monkeypatch, MODEL_URL=model)
    with serving(loaded.app) as url:
        yield loaded, url


def used(loaded, account):
    usage = asyncio.run(loaded.enforcer.usage(account))
    return usage["tokens"].used, usage["tokens"].reserved, usage["tokens-per-minute"].used


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b"[]", "the body has no prompt"),
        (b"{}", "the body has no prompt"),
        (b'{"prompt": 5}', "the body has no prompt"),
        (b'{"prompt": " "}', "the body has no prompt"),
        (b'{"prompt": "a", "tokens": "many"}', "tokens is no whole number"),
        (b'{"prompt": "a", "tokens": -1}', "tokens is no whole number"),
        (b'{"prompt": "a", "tokens": true}', "tokens is no whole number"),
    ],
)
def test_a_body_that_is_no_question_is_a_400_and_takes_no_token(gateway, body, said):
    loaded, url = gateway
    response = httpx.post(f"{url}/v1/chat", content=body, headers={"x-api-key": "pro-key"}, timeout=60)

    assert (400, True) == (response.status_code, response.json()["error"].startswith(said))
    assert (0, 0, 0) == used(loaded, "grace")


def test_a_model_that_fails_costs_what_it_wrote_and_ends_the_stream(gateway):
    loaded, url = gateway
    status, came, end = ask(url, pause="no number")

    assert (200, 1, "error") == (status, came, end["finish_reason"])
    assert (4, 0, 4) == used(loaded, "grace")


def test_the_readme_names_every_variable():
    read = set(re.findall(r'environ\.get\("(\w+)"', (EXAMPLE / "gateway.py").read_text(encoding="utf-8")))

    assert read == set(re.findall(r"^\| `(\w+)` \|", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("tokens", [0, 1, 49, 50, 51, 120])
def test_a_stream_counts_its_prompt_and_its_tokens_exactly(gateway, tokens):
    loaded, url = gateway
    status, came, end = ask(url, tokens=tokens)

    assert (200, tokens) == (status, came)
    assert {"finish_reason": "stop", "usage": {"prompt": 3, "completion": tokens}} == end
    assert (3 + tokens, 0, 3 + tokens) == used(loaded, "grace")


def test_a_stream_ends_properly_where_a_budget_is_gone_and_the_next_is_refused(gateway):
    loaded, url = gateway
    status, came, end = ask(url, "free-key", tokens=3000)

    assert (200, "length") == (status, end["finish_reason"])
    assert 2000 - CHUNK <= came + 3 <= 2000
    assert (3 + came, 0, 3 + came) == used(loaded, "ada")
    status, refusal, _ = ask(url, "free-key", tokens=1)
    assert (429, "tokens-per-minute") == (status, refusal["limit"])


def test_beyond_what_is_included_a_plan_with_overage_goes_on(gateway):
    loaded, url = gateway
    asyncio.run(loaded.enforcer.set_usage("grace", "tokens", 99_990))
    _, came, end = ask(url, tokens=100)

    assert (100, "stop") == (came, end["finish_reason"])
    assert 93 == asyncio.run(loaded.enforcer.usage("grace"))["tokens"].overage


def test_a_client_that_hangs_up_pays_for_what_was_written(gateway):
    loaded, url = gateway
    with (
        httpx.Client(timeout=60) as client,
        client.stream(
            "POST",
            f"{url}/v1/chat",
            json={"prompt": "a b c", "tokens": 5000, "pause": 0.01},
            headers={"x-api-key": "pro-key"},
        ) as response,
    ):
        lines = response.iter_lines()
        for _ in range(20):
            next(lines)
    patience = time.monotonic() + 60
    while used(loaded, "grace")[1] and time.monotonic() < patience:
        time.sleep(0.05)
    tokens, reserved, minute = used(loaded, "grace")
    assert 0 == reserved
    assert 3 + 10 <= tokens == minute < 3000


@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_gateways_that_are_killed_leave_nothing_stuck_and_count_no_more_than_was_settled(
    monkeypatch, model, valkey, processes
):
    with valkey.client() as client:
        client.flushdb()
    environ = {"MODEL_URL": model, "ENTITLEMENTS_STORE": valkey.url, "RESERVATION_TTL": str(TTL)}
    loaded = module("gateway", monkeypatch, **environ)
    ports = [free_port() for _ in range(processes)]
    running = [start(port, environ) for port in ports]
    answers = []

    def stream(port, number):
        with contextlib.suppress(httpx.HTTPError):
            answers.append(
                ask(f"http://127.0.0.1:{port}", prompt="x " * (number % 7 + 1), tokens=60 + 20 * number, pause=0.01)
            )
            return
        answers.append(None)

    try:
        for port in ports:
            wait_for(port)
        threads = [threading.Thread(target=stream, args=(port, at)) for port in ports for at in range(3)]
        for each in threads:
            each.start()
        time.sleep(0.6)
        for process in running[::2]:  # in the middle of their streams
            process.send_signal(signal.SIGKILL)
        for each in threads:
            each.join(120)
        usage = settled_usage(loaded)
    finally:
        for process in running:
            process.kill()
            process.wait()

    ended = [each for each in answers if each is not None and each[2] is not None]
    whole = sum(end["usage"]["prompt"] + end["usage"]["completion"] for _, _, end in ended)
    most = sum(7 + 120 + 2 * CHUNK for _ in range(len(threads) - len(ended)))
    assert len(ended) >= 3 * (processes // 2)
    assert whole <= usage.used <= whole + most
    assert 0 == usage.reserved


def start(port, environ):
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        EXAMPLE,
        "gateway:app",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    return subprocess.Popen([str(each) for each in command], env=os.environ | environ)


def wait_for(port):
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/v1/chat")
            return
        time.sleep(0.05)
    raise AssertionError("the gateway did not start")


def settled_usage(loaded):
    """Return the usage of the month once nothing is reserved any more."""

    async def read():
        async with loaded.enforcer as enforcer:
            for _ in range(600):
                usage = (await enforcer.usage("grace"))["tokens"]
                if not usage.reserved:
                    break
                await asyncio.sleep(0.1)
            return usage

    return asyncio.run(read())
