"""The webhook example: each event once, in any order, and no worker decides by the old plan once it is answered."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import free_port
from sql_sources import SqlAccounts
from webserver import serving

from entitlements import Account, Change, Override, Trial

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "billing_webhook"
SECRET = "whsec_test"
START = 1_772_000_000
MONTH = 30 * 86_400
POLICY = """\
policy: {version: 1}
limits: {leads: {kind: quota, period: month, on_outage: deny}}
tiers:
  freemium: {rank: 1, limits: {leads: 1000000}}
  small-business: {rank: 2, limits: {leads: 2000000}}
  mid-market: {rank: 3, limits: {leads: 3000000}}
"""
numbers = itertools.count()


def module(name):
    """Return a module of the example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def signatures():
    yield module("signatures")
    sys.modules.pop("signatures", None)


def event(kind="updated", price="price_small_monthly", *, at=START, id=None, customer="acme", **subscription):
    """Return an event of the provider."""
    item = {"price": {"id": price}}
    body = {"customer": customer, "status": "active", "items": {"data": [item]}} | subscription
    return {
        "id": id or f"evt_{next(numbers)}", "type": f"customer.subscription.{kind}", "created": at, "data": {"object": body},
    }  # fmt: skip


def post(client, document, *, secret=SECRET, at=None, header=None):
    """Send a signed event."""
    import hmac

    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    at = str(int(time.time() if at is None else at))
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
    headers = {"billing-signature": f"t={at},v1={signed}" if header is None else header}
    return client.post("/webhooks/billing", content=body, headers=headers)


def deliver(client, document):
    """Send a signed event as a provider does: again as long as it is answered by 503."""
    until = time.monotonic() + 300
    while (answer := post(client, document)).status_code == 503 and time.monotonic() < until:
        time.sleep(0.1)
    return answer


# --- One worker -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def endpoint(tmp_path, url, store="memory://", answer_within=120):
    """Serve the example in this process, and yield a client and the accounts; the machine may be busy."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    environment = {
        "BILLING_SECRET": SECRET, "ACCOUNTS": url, "ENTITLEMENTS_STORE": store, "POLICY": str(tmp_path / "policy.yaml"),
        "ACCOUNTS_TIMEOUT": "20",
    }  # fmt: skip
    os.environ |= environment
    try:
        app = module("app")
        app.ANSWER_WITHIN = answer_within
        accounts = SqlAccounts(url.replace("+aiosqlite", "").replace("+asyncpg", "+psycopg"))
        with serving(app.app) as base, httpx.Client(base_url=base, timeout=300) as client:
            yield client, accounts
        accounts.close_engine()
    finally:
        for name in environment:
            os.environ.pop(name, None)
        for name in ("app", "events", "signatures"):
            sys.modules.pop(name, None)
        sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example in this process, for tests that each have a customer of their own."""
    tmp_path = tmp_path_factory.mktemp("site")
    with endpoint(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'accounts.db'}") as opened:
        yield opened


def test_a_subscription_is_created_changed_cancelled_and_ended(site):
    client, accounts = site
    acme = f"acme-{next(numbers)}"

    def told(*arguments, **options):
        answer = post(client, event(*arguments, customer=acme, **options))
        assert (200, "applied") == (answer.status_code, answer.json()["outcome"]), answer.text
        return accounts.find(acme)

    trial_ends = START + 14 * 86_400
    moment = datetime.fromtimestamp(trial_ends, UTC)
    trialing = {"status": "trialing", "trial_end": trial_ends}
    assert Account(acme, "freemium", trial=Trial("mid-market", None, moment)) == told(
        "created", "price_mid_monthly", **trialing
    )
    assert (
        moment.isoformat()
        == told("trial_will_end", "price_mid_monthly", at=START + 1, **trialing).attributes["trial_ends_soon"]
    )
    account = told("updated", "price_mid_monthly", at=START + 2, trial_end=trial_ends)
    assert ("mid-market", None) == (account.tier, account.trial)
    account = told("updated", at=START + 3, cancel_at_period_end=True, current_period_end=START + MONTH)
    assert ("small-business", (Change("freemium", at=datetime.fromtimestamp(START + MONTH, UTC)),)) == (
        account.tier,
        account.changes,
    )
    assert () == told("updated", at=START + 4).changes
    assert "suspended" == told("updated", at=START + 5, status="unpaid").status
    account = told("deleted", at=START + 6, status="canceled")
    assert ("freemium", (), "active") == (account.tier, account.changes, account.status)


def test_repeated_and_reordered_events_leave_the_newest(site):
    client, accounts = site
    acme = f"acme-{next(numbers)}"
    first = event("created", "price_small_monthly", at=START, customer=acme)
    second = event("updated", "price_mid_monthly", at=START + 60, customer=acme)
    third = event("deleted", "price_mid_monthly", at=START + 120, customer=acme)

    outcomes = [post(client, each).json()["outcome"] for each in (second, first, second, third, first, third)]

    assert ["applied", "outdated", "repeated", "applied", "repeated", "repeated"] == outcomes
    assert "freemium" == accounts.find(acme).tier
    assert [third["id"], second["id"]] == [entry.event for entry in accounts.audit(acme)]


def test_what_an_operator_decided_stays(site):
    client, accounts = site
    post(client, event("created", customer="operated"))
    accounts.override("operated", "leads", 5, reason="promise", author="ann")

    post(client, event("updated", "price_mid_monthly", at=START + 1, customer="operated"))

    found = accounts.find("operated")
    assert ("mid-market", (Override("leads", 5, reason="promise", author="ann"),)) == (found.tier, found.overrides)


@pytest.mark.parametrize(
    ("document", "options", "status", "said"),
    [
        (event(), {"secret": "another"}, 401, "the signature is wrong"),
        (event(), {"header": ""}, 401, "the signature is missing"),
        (event(), {"header": "t=1,v1="}, 401, "the signature is wrong"),
        (event(), {"header": "t=x,v1=é".encode()}, 401, "the signature is missing"),
        (event(), {"at": START - 600}, 401, "more than 300 s old"),
        (b"{", {}, 400, "Expecting property name"),
        (b"[1]", {}, 400, "this is no event of a subscription"),
        (b"\xff", {}, 400, "codec can't decode"),
        (event(customer=""), {}, 400, "it needs id, created, customer and status"),
        (event(customer=7), {}, 400, "it needs id, created, customer and status"),
        (event(at=10**30), {}, 400, "this is no event of a subscription"),
        (event(price="price_unknown"), {}, 422, "price 'price_unknown' is unknown; add it to PRICES"),
        (event(price="price_enterprise_yearly"), {}, 422, "tier 'enterprise' is not in the policy"),
        (event(customer="a\nb"), {}, 422, "control characters"),
        (event(id="e" * 300), {}, 422, "event id"),
        (b" " * 300_000, {}, 413, "a content-length of 256000 at most"),
    ],
    ids=range(16),
)
def test_what_is_no_event_is_refused_with_the_reason_and_changes_nothing(site, document, options, status, said):
    client, accounts = site
    before = accounts.ids()

    answer = post(client, document, **options)

    assert (status, True) == (answer.status_code, said in answer.json()["detail"]), answer.text
    assert before == accounts.ids()
    if isinstance(document, dict) and status == 401:
        assert "applied" == post(client, document).json()["outcome"]


def test_all_accounts_are_listed_with_their_usage(site):
    client, _ = site
    for customer in ("globex", "initech"):
        post(client, event("created", customer=customer))
    client.post("/leads", headers={"x-account": "initech"})

    assert [("globex", {"leads": 0}), ("initech", {"leads": 1})] == [
        (each["account"], each["usage"])
        for each in client.get("/admin/accounts").json()
        if each["account"] in {"globex", "initech"}
    ]


def test_an_event_about_something_else_is_ignored(site):
    client, accounts = site
    before = accounts.ids()

    answer = post(client, {"id": "e", "type": "invoice.paid", "created": START})

    assert (200, "ignored") == (answer.status_code, answer.json()["outcome"])
    assert before == accounts.ids()


@given(st.binary(max_size=60), st.text(max_size=60))
@settings(max_examples=30)
def test_no_signature_passes_but_the_right_one(signatures, body, header):
    right = f"t={START},v1={signatures.signature_of(b'secret', str(START), body)}"

    assert signatures.check_signature(b"secret", right, body, now=START) is None
    assert signatures.check_signature(b"secret", f"{right},v1=00", body, now=START + 300) is None
    for wrong, now in ((header, START), (right, START + 301), (right, START - 301), (right[:-1], START)):
        with pytest.raises(signatures.SignatureError):
            signatures.check_signature(b"secret", wrong, body, now=now)
    with pytest.raises(signatures.SignatureError):
        signatures.check_signature(b"secret", right, body + b" ", now=START)


def test_a_database_that_is_away_is_told_in_time_and_the_event_can_come_again(tmp_path, postgres, valkey):
    with endpoint(tmp_path, postgres.url("asyncpg"), valkey.url, answer_within=5) as (client, accounts):
        assert 200 == deliver(client, event("created")).status_code
        upgrade = event("updated", "price_mid_monthly", at=START + 1)
        for fail, mend in ((postgres.stop, postgres.cont), (postgres.kill, postgres.start)):
            fail()
            answer = post(client, upgrade)
            mend()
            assert (503, "unavailable", "5") == (
                answer.status_code,
                answer.json()["outcome"],
                answer.headers["retry-after"],
            )
        answers = [deliver(client, upgrade) for _ in range(2)]

        assert [200, 200] == [each.status_code for each in answers]
        assert "mid-market" == accounts.find("acme").tier
        assert 2 == accounts.version("acme")


# --- Two workers ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def workers(tmp_path, postgres, valkey):
    """Serve the example with two workers of uvicorn, and yield its URL."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    environment = {
        "BILLING_SECRET": SECRET, "ACCOUNTS": postgres.url("asyncpg"), "ENTITLEMENTS_STORE": valkey.url,
        "POLICY": str(tmp_path / "policy.yaml"), "WEB_CONCURRENCY": "2", "ACCOUNTS_TIMEOUT": "20",
    }  # fmt: skip
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--app-dir", EXAMPLE, "--workers", "2", "--port", str(port), "app:app"],
            env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 300
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/healthz").status_code == 200:
                    break
            assert process.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def test_once_the_webhook_is_answered_no_worker_decides_by_the_old_plan(tmp_path, postgres, valkey):
    charges, plans, over = [], [], threading.Event()

    def charge(url):
        while not over.is_set():
            with httpx.Client(base_url=url, timeout=60) as client:  # another connection may reach the other worker
                for _ in range(10):
                    began = time.monotonic()
                    answer = client.post("/leads", headers={"x-account": "acme"}).json()
                    charges.append((began, time.monotonic(), answer["tier"], answer["worker"]))

    with workers(tmp_path, postgres, valkey) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert 200 == deliver(client, event("created", "price_small_monthly")).status_code
        threads = [threading.Thread(target=charge, args=[url]) for _ in range(4)]
        for each in threads:
            each.start()
        try:
            for number in range(1, 7):
                price, tier = (("price_mid_monthly", "mid-market"), ("price_small_monthly", "small-business"))[
                    number % 2 == 0
                ]
                sent = time.monotonic()
                answer = deliver(client, event("updated", price, at=START + number))
                assert answer.json()["outcome"] in {"applied", "repeated"}, answer.text
                plans.append((sent, time.monotonic(), tier))
                seen = len(charges)
                until = time.monotonic() + 200
                while (len(charges) < seen + 40 or workers_of(charges[seen:]) < 2) and time.monotonic() < until:
                    time.sleep(0.01)  # one worker may start minutes after the other
        finally:
            over.set()
            for each in threads:
                each.join(60)
    assert 2 == workers_of(charges)
    wrong = [(began, tier) for began, ended, tier, _ in charges if tier not in possible(plans, began, ended)]
    assert ([], True) == (wrong, len(charges) > 6 * 40)


def workers_of(charges):
    """Return how many workers have decided these charges."""
    return len({worker for _, _, _, worker in charges})


def possible(plans, began, ended):
    """Return the plans by which a charge may be decided: the last that was answered before it, and those under way."""
    settled = [plan for _, answered, plan in plans if answered <= began]
    return {(settled or ["small-business"])[-1]} | {
        plan for sent, answered, plan in plans if answered > began and sent < ended
    }
