"""The example API while its database is locked, or its store does not take writes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest
from leads import asking, example

LEAD = {"name": "Ada", "email": "ada@example.com"}
WHO = "cedar-quay"


@contextlib.contextmanager
def locked(folder):
    """Keep the database to ourselves."""
    with contextlib.closing(sqlite3.connect(folder / "leads.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def place(tmp_path):
    """Return what asks the API, which is not patient with its database, and its folder."""
    with example(tmp_path) as (module, url), asking(url) as client:
        module.database.patience = 0.05
        yield client, tmp_path


@pytest.mark.parametrize(
    ("method", "path", "body", "meter"),
    [
        ("POST", "/v1/imports", {"json": [LEAD, LEAD]}, "leads"),
        ("POST", "/v1/leads", {"json": LEAD}, "leads"),
        ("POST", "/v1/invitations", {}, "agents"),
        ("PUT", "/v1/files/a", {"content": b"x" * 500}, "storage"),
    ],
)
def test_a_locked_database_is_503_and_takes_no_units_and_all_goes_on_once_it_is_free(place, method, path, body, meter):
    client, folder = place
    usage = client("GET", "/v1/usage", WHO).json()
    with locked(folder):
        answers = [client(method, path, WHO, **body) for _ in range(2)]
    assert [(503, "application/problem+json", "1")] * 2 == [
        (each.status_code, each.headers["content-type"], each.headers["retry-after"]) for each in answers
    ]
    assert usage[meter] == client("GET", "/v1/usage", WHO).json()[meter]

    assert 201 == client(method, path, WHO, **body).status_code


def test_an_import_that_fails_midway_keeps_nothing_and_takes_nothing(tmp_path):
    with example(tmp_path) as (module, url):
        module.database.run(
            "CREATE TRIGGER odd BEFORE INSERT ON leads WHEN NEW.name = 'Bob'"
            " BEGIN SELECT RAISE(ABORT, 'the table does not take it'); END"
        )
        with asking(url) as client:  # a server closes the connection of an application that raised
            assert 500 == client("POST", "/v1/imports", WHO, json=[LEAD, LEAD | {"name": "Bob"}]).status_code
        with asking(url) as client:
            assert 201 == client("POST", "/v1/imports", WHO, json=[LEAD, LEAD]).status_code
            assert 2 == client("GET", "/v1/usage", WHO).json()["leads"]["used"]
            assert 2 == len(client("GET", "/v1/leads", WHO).json())


@pytest.mark.parametrize(
    ("method", "body", "done", "left"), [("DELETE", {}, 204, 0), ("PUT", {"content": b"x" * 400}, 201, 400)]
)
@pytest.mark.parametrize("other", [False, True])
def test_bytes_that_could_not_be_freed_are_freed_by_the_next_request(tmp_path, valkey, method, body, done, left, other):
    with example(tmp_path, valkey.url) as (_, url), asking(url) as client, valkey.client() as admin:
        assert 201 == client("PUT", "/v1/files/a", WHO, content=b"x" * 1000).status_code
        admin.config_set("min-replicas-to-write", 1)  # there is none, so it takes no write
        assert 503 == client(method, "/v1/files/a", WHO, **body).status_code
        admin.config_set("min-replicas-to-write", 0)

        if other:
            assert 404 == client("DELETE", "/v1/files/b", WHO).status_code
        else:
            assert done == client(method, "/v1/files/a", WHO, **body).status_code
        assert left == client("GET", "/v1/usage", WHO).json()["storage"]["used"]


def test_bytes_that_are_still_owed_do_not_stand_in_the_way_of_a_file(tmp_path):
    with example(tmp_path) as (module, url), asking(url) as client:
        size = client("GET", "/v1/usage", WHO).json()["storage"]["limit"]
        asyncio.run(module.enforcer.set_usage(WHO, "storage", size))
        module.database.owe(WHO, "gone", 500)

        assert [201, 403] == [client("PUT", f"/v1/files/{name}", WHO, content=b"x" * 500).status_code for name in "ab"]
