"""`entitlements serve`: checks and charges over HTTP, in a process of its own, as a test in another language has it."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """The URL of an emulator of the smallest policy, with one account of each tier."""
    folder = tmp_path_factory.mktemp("emulator")
    (folder / "accounts.csv").write_text("id,tier\nacme,free\nglobex,pro\n")
    command = [sys.executable, "-m", "entitlements", "serve", str(ROOT / "policies" / "minimal.yaml"),
               "--accounts", "accounts.csv", "--port", "0", "--at", "2026-03-10T12:00Z"]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"is served on (http://\S+)", line):
            break
    else:
        pytest.fail("the emulator did not start")
    yield found[1]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


@pytest.fixture
def post(emulator):
    """A function that sends a verb, and returns the status and the body; the clock and the store are as at the start."""
    with httpx.Client(base_url=emulator, timeout=60) as client:

        def post(verb, **arguments):
            response = client.post(f"/v1/{verb}", json=arguments)
            return response.status_code, response.json()

        post("fault", store="up")
        post("clock", set="2026-03-10T12:00:00+00:00")
        for account in ("acme", "globex"):
            post("forget", account=account)
        yield post


def test_checks_and_charges(post):
    assert (200, {"allowed": False}) == post("can", account="acme", feature="sso")
    assert (200, {"allowed": True}) == post("can", account="globex", feature="analytics:standard")
    assert (200, {"value": "standard"}) == post("value", account="globex", key="analytics")
    status, decision = post("consume", account="acme", what={"api": 1, "leads": 100})
    assert (200, True, 100) == (status, decision["allowed"], decision["parts"]["leads"]["used"])
    status, decision = post("consume", account="acme", what="leads")
    assert (200, False, "quota-exceeded") == (status, decision["allowed"], decision["reason"])
    assert {"tier": "pro", "add_on": None} == decision["remedy"]
    assert 100 == post("usage", account="acme")[1]["usage"]["leads"]["used"]


def test_the_call_of_the_page_is_answered_as_it_says(post):
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    call, answer = re.search(r"^(curl .*)\n(\{.*), …\}$", page, re.MULTILINE).groups()
    _, _, data, url = shlex.split(call)
    shown = json.loads(answer + "}")
    status, decision = post(url.partition("/v1/")[2], **json.loads(data))

    assert 200 == status
    assert shown | {"id": decision["id"]} == {name: decision[name] for name in shown}


def test_a_refund_names_the_decision(post):
    _, decision = post("consume", account="acme", what="leads", n=3)

    assert (200, {"refunded": True}) == post("refund", id=decision["id"])
    assert (200, {"refunded": False}) == post("refund", id=decision["id"])
    assert 404 == post("refund", id="other")[0]


def test_a_key_is_charged_once(post):
    first, again = (post("consume", account="acme", what="leads", key="import-7")[1] for _ in range(2))

    assert (False, True) == (first["replayed"], again["replayed"])
    assert (409, "KeyReused") == reason(post("consume", account="acme", what="leads", n=2, key="import-7"))


def test_reservations_and_allocations(post):
    _, held = post("reserve", account="acme", what="leads", n=50, ttl=60)
    assert "2026-03-10T12:01:00Z" == held["expires_at"]
    assert (200, {"committed": True}) == post("commit", account="acme", reservation=held["reservation"], n=40)
    assert 40 == post("usage", account="acme")[1]["usage"]["leads"]["used"]
    _, held = post("reserve", account="acme", what="leads", n=60)
    assert (200, {"cancelled": True}) == post("cancel", account="acme", reservation=held["reservation"])
    assert post("assign", account="acme", limit="seats", holder="ann")[1]["allowed"]
    assert "allocation-full" == post("assign", account="acme", limit="seats", holder="bob")[1]["reason"]
    assert (200, {"holders": ["ann"]}) == post("holders", account="acme", limit="seats")
    assert (200, {"released": True}) == post("unassign", account="acme", limit="seats", holder="ann")


def test_a_test_moves_the_clock(post):
    post("consume", account="acme", what="leads", n=100)

    assert (200, {"now": "2026-04-09T12:00:00Z"}) == post("clock", advance=30 * 86_400)
    assert post("consume", account="acme", what="leads")[1]["allowed"]
    assert 2 == len(post("history", account="acme", limit="leads")[1]["periods"])


def test_a_test_lets_the_store_fail(post):
    assert (200, {"store": "down"}) == post("fault", store="down")
    assert "store-unavailable" == post("consume", account="acme", what="leads")[1]["reason"]
    assert (503, "Unreachable") == reason(post("usage", account="acme"))
    post("fault", store="up")
    assert post("consume", account="acme", what="leads")[1]["allowed"]


def test_a_test_sets_accounts(post):
    assert (200, {"id": "initech", "tier": "free"}) == post("account", id="initech", tier="free")
    assert (200, {"allowed": False}) == post("can", account="initech", feature="sso")
    post("account", id="initech", tier="pro")
    assert (200, {"allowed": True}) == post("can", account="initech", feature="sso")
    post("account", id="initech", tier="pro", status="suspended")
    assert "suspended" == post("decide", account="initech", feature="sso")[1]["reason"]


def test_an_account_has_all_arguments_of_an_account(post):
    post(
        "account", id="initech", tier="free", anchor="2026-02-20T09:30:00Z", time_zone="Europe/Berlin",
        trial={"tier": "pro", "starts": None, "ends": "2026-03-11T12:00:00Z"},
        grants=[{"limit": "leads", "amount": 5, "reason": "goodwill"}],
        overrides=[{"name": "seats", "value": 7, "reason": "pilot", "author": "ada"}],
        changes=[{"tier": "pro", "at": "2026-04-01T00:00:00Z"}],
    )  # fmt: skip

    decision = post("decide", account="initech", feature="seats")[1]
    assert ("pro", 7) == (decision["tier"], decision["limit"])
    post("clock", set="2026-03-12T12:00:00Z")
    charged = post("consume", account="initech", what="leads")[1]
    assert ("free", 105, "2026-03-20T09:30:00Z") == (charged["tier"], charged["limit"], charged["resets_at"])
    post("clock", set="2026-04-02T00:00:00Z")
    assert "pro" == post("decide", account="initech", feature="sso")[1]["tier"]


def test_flags_are_answered_too(emulator):
    body = {"context": {"targetingKey": "globex"}}

    assert httpx.post(f"{emulator}/ofrep/v1/evaluate/flags/sso", json=body, timeout=60).json()["value"] is True


def reason(answer):
    status, body = answer
    return status, body["error"]


@pytest.mark.parametrize(
    ("verb", "arguments", "status", "says"),
    [
        ("can", {"account": "acme", "feature": "ss0"}, 404, "sso"),
        ("can", {"account": "acme"}, 400, "feature"),
        ("can", {"feature": "sso"}, 400, "account"),
        ("can", {"account": "acme", "featur": "sso"}, 400, "did you mean 'feature'"),
        ("consume", {"account": "acme", "what": "leads", "n": 0}, 400, "0"),
        ("consume", {"account": "acme", "what": 5}, 400, "5"),
        ("usage", {"account": "stranger"}, 404, "stranger"),
        ("fault", {"store": "broken"}, 400, "up, down, silent, lossy"),
        ("clock", {"set": "tomorrow"}, 400, "tomorrow"),
        ("account", {"id": "initech"}, 400, "tier"),
        ("account", {"id": "initech", "tier": "gold", "trial": 1}, 400, "trial"),
        ("account", {"id": "initech", "tier": "proo"}, 400, "tier 'proo' is not in the policy; did you mean 'pro'"),
        (
            "account",
            {"id": "initech", "tier": "pro", "trial": {"tier": "proo", "ends": "2026-04-01T00:00:00Z"}},
            400,
            "did you mean 'pro'",
        ),
        ("account", {"id": "initech", "tier": "pro", "trial": {"tier": "pro"}}, 400, "'ends'"),
        ("account", {"id": "initech", "tier": "pro", "grants": [{"limit": "lead", "amount": 5}]}, 400, "leads"),
        ("account", {"id": "initech", "tier": "pro", "grants": "leads"}, 400, "array of objects"),
        ("account", {"id": "initech", "tier": "pro", "time_zone": "Europe/Berlim"}, 400, "Europe/Berlin"),
        ("account", {"id": "initech", "tier": "pro", "anchor": "monday"}, 400, "like 2026-03-10T12:00:00Z"),
        ("account", {"id": "initech", "tier": "pro", "anchor": 40}, 400, "40"),
        ("clock", {"set": "2026-03-10T12:00:00"}, 400, "like 2026-03-10T12:00:00Z"),
        ("consum", {}, 404, "did you mean 'consume'"),
    ],
)
def test_a_wrong_call_is_named_with_its_cure(post, verb, arguments, status, says):
    found, body = post(verb, **arguments)

    assert (status, {"error", "message"}) == (found, set(body))
    assert says in body["message"]


def test_a_policy_that_cannot_be_read_starts_nothing(tmp_path, capsys):
    assert 4 == main(["serve", str(tmp_path / "policy.yaml")])

    assert "policy.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_a_port_that_is_none_is_refused(port, capsys):
    assert 2 == main(["serve", str(ROOT / "policies" / "minimal.yaml"), "--port", port])

    assert "--port" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_the_cure(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert 2 == main(["serve", str(ROOT / "policies" / "minimal.yaml"), "--port", str(port)])

    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use; choose another" in capsys.readouterr().err


def test_the_server_that_is_missing_is_named_with_the_line_that_installs_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert 2 == main(["serve", str(ROOT / "policies" / "minimal.yaml")])

    assert "pip install 'entitlements[serve]'" in capsys.readouterr().err
