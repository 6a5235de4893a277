"""`entitlements console`: the console in the browser, for the person at this machine."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import accounts_path, open_accounts, open_policy
from entitlements.cli.options import AccountsOption, IdOption, PolicyOption, StoreOption

if TYPE_CHECKING:
    from entitlements.http.types import App, Receive, Scope, Send
    from entitlements.policy import Policy


def console(
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    store: StoreOption = None,
    id: IdOption = "id",
    write: Annotated[
        bool, typer.Option("--write", help="Let accounts be changed; needs a database, and --author.")
    ] = False,
    author: Annotated[
        str | None,
        typer.Option(
            "--author", metavar="NAME", envvar="ENTITLEMENTS_AUTHOR", help="The author of changes; stands in the audit."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="The address of this machine to listen on.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="The port; 0 for any that is free.")] = 8081,
) -> int:
    """
    Show accounts, what they may do and why, their usage and the tiers in the browser.

    Reads only, unless --write is given. It has no login, so it listens on this machine alone; to serve others, mount
    entitlements.console.Console in an application that knows its users.
    Example: entitlements console --accounts accounts.csv
    """
    from entitlements.extras import extra

    name = "entitlements console"
    try:
        with extra("serve", "uvicorn", name):
            import uvicorn
        with extra("console", "Starlette and Jinja", name):
            from entitlements.console import Access, Console
    except ImportError as error:
        raise CommandError(str(error)) from None
    if not _is_here(host):
        cure = "leave --host out, or mount entitlements.console.Console in an application of yours"
        raise CommandError(f"--host {host}: others could reach it, and it has no login; {cure}")
    if write and not (author and author.strip()):
        raise CommandError("--write needs the author of the changes; add --author NAME, or set ENTITLEMENTS_AUTHOR")
    loaded = open_policy(policy)
    source = _source(accounts_path(accounts), loaded, id)
    access = Access(author, write=write)
    app = Console(_enforcer(loaded, store), source, authorise=lambda _request: access)
    if write and (reason := app.unchangeable):
        raise CommandError(f"--write: {reason[:1].lower()}{reason[1:]}")
    uvicorn.run(OwnHostOnly(app), host=host, port=port, log_level="info", access_log=False, proxy_headers=False)
    return ExitCode.YES


class OwnHostOnly:
    """
    ASGI middleware that answers requests to a loopback address only.

    A page from elsewhere whose name leads to this machine (DNS rebinding) reads nothing.

    Args:
        app: The application.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if len(named) != 1 or not _is_here(_without_port(named[0])):
                start = {"type": "http.response.start", "status": 421, "headers": [(b"content-type", b"text/plain")]}
                await send(start)
                await send({"type": "http.response.body", "body": b"This console answers to localhost only.\n"})
                return
        await self._app(scope, receive, send)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_here(host: str) -> bool:
    """Return whether a host is this machine, and no other can reach it by that name."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _source(path: str, policy: Policy, id: str) -> Any:
    from entitlements.cli.directory import ObjectDirectory, SqlDirectory

    directory = open_accounts(path, policy, id=id)
    if isinstance(directory, SqlDirectory):
        return directory.accounts
    return directory.source if isinstance(directory, ObjectDirectory) else directory


def _enforcer(policy: Policy, store: str | None) -> Any:
    from entitlements.cli.directory import OPENED
    from entitlements.enforcer import Enforcer

    return OPENED.enter_context(Enforcer(policy, accounts={}, store=store or "memory://"))
