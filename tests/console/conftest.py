"""Consoles over databases: blocking and async, on SQLite and PostgreSQL."""

import pytest
from console_site import ConsoleSite

KINDS = ("sqlite", "psycopg", "aiosqlite", "asyncpg", "blocking-enforcer", "async-enforcer")


@pytest.fixture(params=KINDS)
def any_site(request, tmp_path):
    """A console of each kind: the last two have an enforcer of the other kind than their accounts."""
    kind = request.param
    file = tmp_path / "accounts.db"
    if kind == "psycopg":
        site = ConsoleSite(request.getfixturevalue("postgres").url())
    elif kind == "asyncpg":
        postgres = request.getfixturevalue("postgres")
        site = ConsoleSite(postgres.url(), postgres.url("asyncpg"), is_async=True)
    elif kind == "sqlite":
        site = ConsoleSite(f"sqlite:///{file}")
    elif kind == "async-enforcer":
        site = ConsoleSite(f"sqlite:///{file}", is_async=True)
    else:
        site = ConsoleSite(f"sqlite:///{file}", f"sqlite+aiosqlite:///{file}", is_async=kind == "aiosqlite")
    with site:
        yield site


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    with ConsoleSite(f"sqlite:///{tmp_path_factory.mktemp('site') / 'accounts.db'}") as found:
        yield found


@pytest.fixture
def site(shared_site):
    """A console over SQLite, whose visitor may change accounts."""
    shared_site.reset()
    return shared_site


@pytest.fixture(params=["sqlite", "psycopg"])
def sql_site(request, tmp_path):
    """A console over SQLite, and one over PostgreSQL."""
    file = f"sqlite:///{tmp_path / 'accounts.db'}"
    with ConsoleSite(file if request.param == "sqlite" else request.getfixturevalue("postgres").url()) as found:
        yield found
