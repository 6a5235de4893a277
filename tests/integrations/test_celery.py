"""Tasks of Celery: charged once under their id, retried when the limit says, refunded when they fail; a real worker on Redis."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta

import celery
import pytest
from trade import policy

from entitlements import Denied, Enforcer, use
from entitlements.integrations.celery import consume, require

ACCOUNTS = {"pro": "pro", "free": "free", "max": "max"}


def enforcer(**options):
    return Enforcer(policy(), accounts=ACCOUNTS, **options)


def used(counting, account="pro"):
    return counting.usage(account)["leads"].used


@pytest.fixture
def app():
    found = celery.Celery("shop")
    found.conf.task_always_eager = True
    return found


def test_a_task_is_charged_by_its_arguments_and_a_failed_one_is_refunded(app):
    counting = enforcer()

    @app.task(bind=True)
    @consume("leads", lambda *args, rows=(), **_: len(rows or args[2]), enforcer=counting)
    def load(self, account, rows, *, fails=False):
        if fails:
            raise RuntimeError("broken")
        return account

    assert "pro" == load.delay("pro", [1, 2, 3]).get()
    assert "pro" == load.delay("pro", []).get()
    assert 3 == used(counting)
    with pytest.raises(RuntimeError, match="broken"):
        load.delay("pro", [1], fails=True).get()
    assert 3 == used(counting)
    assert "pro" == load.run("pro", [1])  # called as a function it has no id
    assert 4 == used(counting)


def test_a_task_that_retries_itself_is_charged_once(app):
    counting, tries = enforcer(), []

    @app.task(bind=True, max_retries=5)
    @consume("leads", account="customer", enforcer=counting)
    def load(self, customer):
        tries.append(used(counting))
        if len(tries) < 3:
            raise self.retry(countdown=0)

    load.delay("pro").get()

    assert ([1, 1, 1], 1) == (tries, used(counting))


def test_a_task_that_is_delivered_twice_is_charged_once(app):
    counting = enforcer()

    @app.task
    @consume("leads", account=lambda customer: customer, enforcer=counting)
    def load(customer):
        return used(counting)

    assert [1, 1] == [load.apply(("pro",), task_id="one").get() for _ in range(2)]
    assert 2 == load.apply(("pro",), task_id="two").get()


def test_two_charges_of_one_task_are_two(app):
    counting = enforcer()

    @app.task
    @consume("agents", enforcer=counting)
    @consume({"leads": 2}, enforcer=counting)
    @require("chat", enforcer=counting)
    def load(account):
        return used(counting)

    assert 2 == load.delay("pro").get()
    assert 1 == counting.usage("pro")["agents"].used


def test_a_refusal_that_waiting_does_not_help_or_helps_too_late_is_raised(app):
    counting = enforcer()

    @app.task
    @consume("leads", 3, enforcer=counting, longest_retry=timedelta(minutes=1))
    def load(account):
        return None

    @app.task
    @require("sso", enforcer=counting)
    def sign_in(account):
        return None

    load.delay("free").get()
    with pytest.raises(Denied, match="leads"):  # until the month is over
        load.delay("free").get()
    with pytest.raises(Denied, match="sso"):
        sign_in.delay("free").get()
    assert 3 == used(counting, "free")


def test_the_enforcer_is_that_of_the_process_by_default(app):
    @app.task
    @consume("leads")
    def load(account):
        return None

    with use(enforcer()) as counting:
        load.delay("pro").get()
        assert 1 == used(counting)


def test_what_is_wrong_is_named_where_it_is_written():
    def load(customer):
        """Take no account."""

    with pytest.raises(ValueError, match=r"task load has no parameter 'account' \(it has customer\)"):
        consume("leads")(load)
    with pytest.raises(ValueError, match="task load has no parameter 'account'"):
        require("sso")(load)
    with pytest.raises(ValueError, match="cost of 'leads'"):
        consume("leads", 0)
    with pytest.raises(ValueError, match=r"require\(\) needs names"):
        require()


TASKS = """
import json, os, time
import celery
from entitlements import Enforcer, Policy
from entitlements.integrations.celery import consume

policy = Policy.parse(json.loads(os.environ["POLICY"]))
enforcer = Enforcer(policy, accounts={"pro": "one"}, store=os.environ["STORE"])
app = celery.Celery("tasks", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)

@app.task(bind=True)
@consume({"calls": 1, "leads": 1}, enforcer=enforcer)
def load(self, account, fails=False):
    if fails:
        raise RuntimeError("broken")
    return self.request.retries, time.time()
"""
POLICY = """{"policy": {"version": "c"},
 "limits": {"calls": {"kind": "rate", "algorithm": "fixed", "deadline": "30 seconds"}, "leads": {"kind": "quota", "deadline": "30 seconds"}},
 "tiers": {"one": {"rank": 1, "limits": {"calls": "2 per 2 seconds", "leads": 100}}}}"""


@pytest.mark.parametrize("kind", ["valkey-9", "redis-8.2"])
def test_a_worker_retries_what_the_rate_refuses_until_all_of_it_is_done(kind, rack, tmp_path, monkeypatch):
    server = rack.shared(kind, lambda: rack.start(kind))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "tasks.py").write_text(TASKS)
    environment = {"POLICY": POLICY, "STORE": f"{server.url}?namespace=celery", "BROKER": server.url}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sys.modules.pop("tasks", None)
    import tasks

    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tasks",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        "2",
        "-l",
        "ERROR",
    ]
    worker = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        results = [tasks.load.delay("pro") for _ in range(5)]
        failed = tasks.load.delay("pro", fails=True)
        answers = [each.get(timeout=120) for each in results]
        with pytest.raises(RuntimeError, match="broken"):
            failed.get(timeout=120)
    finally:
        worker.terminate()
        worker.wait(60)
        worker.stderr.close()

    assert any(retries for retries, _ in answers)
    until = time.monotonic() + 60
    while tasks.enforcer.usage("pro")["leads"].used != 5 and time.monotonic() < until:
        time.sleep(0.05)
    assert 5 == tasks.enforcer.usage("pro")["leads"].used
    tasks.enforcer.close()
    tasks.app.close()
    sys.modules.pop("tasks", None)
