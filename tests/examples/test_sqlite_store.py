"""The store over SQLite passes the compliance suite, counts exactly across processes, and fails as a store should."""

from __future__ import annotations

import importlib.util
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from trade import WRITTEN, policy

from entitlements import Enforcer, Reason
from entitlements.stores.errors import Unreachable
from entitlements.stores.records import Record
from entitlements.testing import async_store_compliance, store_compliance

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sqlite_store.py"


def load_example():
    spec = importlib.util.spec_from_file_location("sqlite_store", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE_MODULE = load_example()


@pytest.mark.parametrize(
    ("compliance", "kind"), [(store_compliance, "SqliteStore"), (async_store_compliance, "AsyncSqliteStore")]
)
def test_it_passes_the_compliance_suite(compliance, kind, tmp_path):
    numbers = count()
    case = compliance(lambda clock: getattr(EXAMPLE_MODULE, kind)(tmp_path / f"{next(numbers)}.db", clock))
    case.settings = settings(case.settings, max_examples=max(5, settings().max_examples // 10))

    case().runTest()


PROCESS = f"""
import runpy, sys
example = runpy.run_path({str(EXAMPLE)!r})
from trade import policy
from entitlements import Enforcer
with Enforcer(policy(), accounts={{"acme": "pro"}}, store=example["SqliteStore"](sys.argv[1]), expected_processes=3) as e:
    print(sum(e.consume("acme", "leads").allowed for _ in range(8)))
"""


def test_three_processes_and_their_threads_share_one_limit_exactly(tmp_path):
    path = tmp_path / "counters.db"
    EXAMPLE_MODULE.SqliteStore(path)
    helpers = Path(__file__).resolve().parents[1] / "helpers"

    def run(_):
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, path], env={"PYTHONPATH": str(helpers)}, capture_output=True, check=True
        )
        return int(done.stdout)

    with ThreadPoolExecutor(3) as pool:
        assert 10 == sum(pool.map(run, range(3)))


def enforcer(store):
    return Enforcer(policy(), accounts={"acme": "pro"}, store=store, expected_processes=1)


def test_threads_of_one_enforcer_share_one_limit_exactly(tmp_path):
    with enforcer(EXAMPLE_MODULE.SqliteStore(tmp_path / "counters.db")) as asked, ThreadPoolExecutor(8) as pool:
        assert 10 == sum(pool.map(lambda _: asked.consume("acme", "leads").allowed, range(24)))


def test_a_file_that_another_program_holds_is_a_store_that_is_away(tmp_path):
    path = tmp_path / "counters.db"
    impatient = policy(limits=policy_limits())
    store = EXAMPLE_MODULE.SqliteStore(path)
    with (
        Enforcer(impatient, accounts={"acme": "pro"}, store=store, expected_processes=1) as asked,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("begin immediate")
        refused = asked.consume("acme", "leads")
        other.execute("rollback")

    assert (Reason.STORE_UNAVAILABLE, True) == (refused.reason, refused.degraded)


def policy_limits():
    """Return the limits of the shared policy, with a short deadline for the quota."""
    return WRITTEN["limits"] | {"leads": WRITTEN["limits"]["leads"] | {"deadline": "50 ms"}}


def test_a_file_that_cannot_be_opened_is_an_error_of_the_store(tmp_path):
    store = EXAMPLE_MODULE.SqliteStore(tmp_path / "counters.db")
    store._path = tmp_path / "missing" / "counters.db"

    with pytest.raises(Unreachable, match="unable to open database file"):
        store.execute(EXAMPLE_MODULE.Forget("acme"))


def test_what_is_forgotten_leaves_no_row(tmp_path):
    path = tmp_path / "counters.db"
    with enforcer(EXAMPLE_MODULE.SqliteStore(path)) as asked, closing(sqlite3.connect(path)) as database:
        asked.consume("acme", "leads", 3)
        ((kept,),) = database.execute("select record from records")
        asked.forget("acme")

        assert Record() != EXAMPLE_MODULE.pickle.loads(kept)
        assert [] == list(database.execute("select * from records"))


def test_the_program_counts_in_one_file_for_two_enforcers():
    done = subprocess.run([sys.executable, "-W", "error", EXAMPLE], capture_output=True, encoding="utf-8", check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert ["3 leads so far", "6 leads so far"] == [line.rpartition(", ")[2] for line in done.stdout.splitlines()]
