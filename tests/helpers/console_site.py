"""A console on a real server, mounted in an application, and a client of it."""

from __future__ import annotations

import contextlib
import re
from contextlib import asynccontextmanager
from html import unescape
from urllib.parse import urlencode

import httpx
from starlette.applications import Starlette
from trade import policy
from webserver import serving

from entitlements import AsyncEnforcer, Enforcer
from entitlements.accounts.sql import AsyncSqlAccounts, SqlAccounts
from entitlements.accounts.sql.tables import SCHEMA, metadata
from entitlements.console import Console, RecentRefusals

SIGNED = {"reason": "signed up", "author": "ops"}
ROOT = "/entitlements"
TIERS = {"frida": "free", "petra": "pro", "maxim": "max"}
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


class ConsoleSite:
    """
    A console over a database with some accounts, and its client, which keeps cookies and follows no redirect.

    Args:
        url: The database, for threads.
        async_url: The database for an event loop; None for `SqlAccounts`.
        is_async: Whether the enforcer is an `AsyncEnforcer`.
        accounts: What the console is given, in place of the database.
        written: The policy; the shared one by default.
        tiers: The accounts, each with its tier.
        options: Of the console.
    """

    def __init__(self, url, async_url=None, *, is_async=False, accounts=None, written=None, tiers=TIERS, **options):
        self.policy = written or policy()
        self.accounts = SqlAccounts(url, policy=self.policy, listen=False)
        self.accounts.create_tables()
        for id, tier in tiers.items():
            self.accounts.create(id, tier, **SIGNED)
        self.refusals = RecentRefusals()
        given = self.accounts if async_url is None else AsyncSqlAccounts(async_url, policy=self.policy, listen=False)
        self.source = given if accounts is None else accounts
        kind = AsyncEnforcer if is_async else Enforcer
        own = tiers if type(given) is AsyncSqlAccounts and not is_async else given
        self.enforcer = kind(self.policy, accounts=own, hooks=[self.refusals])
        self.access = "write"
        options = {"authorise": lambda _: self.access, "refusals": self.refusals} | options
        self.console = Console(self.enforcer, self.source, **options)

        @asynccontextmanager
        async def lifespan(_):
            yield
            if isinstance(given, AsyncSqlAccounts):
                await given.close_engine()
            if is_async:
                await self.enforcer.aclose()

        self.app = Starlette(lifespan=lifespan)
        self.app.mount(ROOT, self.console)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self.origin = self._stack.enter_context(serving(self.app))
        self.url = self.origin + ROOT
        self.client = self._stack.enter_context(httpx.Client(base_url=self.url, timeout=60))
        return self

    def __exit__(self, *error):
        self._stack.close()
        self.accounts.close_engine()
        if isinstance(self.enforcer, Enforcer):
            self.enforcer.close()

    def reset(self):
        """Have the accounts, the counters, the rights and the client as they were at the start."""
        with self.accounts._engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                if table is not SCHEMA:
                    connection.execute(table.delete())
        for id, tier in TIERS.items():
            self.accounts.create(id, tier, **SIGNED)
            self.enforcer.refresh(id)
            self.enforcer.forget(id)
        self.access = "write"
        self.refusals._kept.clear()
        self.client.cookies.clear()

    def get(self, page="", **params):
        """Return the response to a page."""
        return self.client.get(f"/{page}", params=params)

    def post(self, page, fields, **options):
        """Return the response to a form."""
        headers = {"content-type": "application/x-www-form-urlencoded"} | options.pop("headers", {})
        return self.client.post(f"/{page}", content=urlencode(fields), headers=headers, **options)

    def form(self, verb, id="petra", **fields):
        """Open the form of a change; return the fields that it would send."""
        shown = self.get("account/change", id=id, verb=verb)
        assert shown.status_code == 200, shown.text
        return {**hidden(shown), "reason": "promised", "author": "ann", **fields}

    def preview(self, verb, id="petra", **fields):
        """Send the form of a change; return the page that shows what it does."""
        return self.post("account/change/preview", self.form(verb, id, **fields))

    def change(self, verb, id="petra", **fields):
        """Make a change as a visitor does: the form, the preview, the confirmation."""
        shown = self.preview(verb, id, **fields)
        assert shown.status_code == 200, shown.text
        return self.post("account/change/confirm", hidden(shown))

    def row(self, id="petra"):
        """Return the newest audit row of an account."""
        return self.accounts.audit(id)[0]


def hidden(response):
    """Return the hidden fields of a page."""
    return {name: unescape(value) for name, value in HIDDEN.findall(response.text)}


def text_of(response):
    """Return the text of a page, without tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.text.partition("<main")[2])).split())
