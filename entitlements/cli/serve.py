"""`entitlements serve`: an emulator of a policy over HTTP, for tests."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import open_accounts, open_policy, parse_instant
from entitlements.cli.options import AccountsOption, IdOption


def serve(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="A policy file, or a folder of them.", show_default=False)
    ],
    *,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 for any that is free.")
    ] = 8080,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Freeze the clock at this time. Default: it runs.")
    ] = None,
) -> int:
    """
    Answer checks and charges over HTTP, for tests of programs in other languages.

    Counts in its own memory. Tests set accounts, move the clock and let the store fail.
    Example: entitlements serve policy.yaml --accounts accounts.csv
    """
    from entitlements.cli.console import CliConsole
    from entitlements.extras import extra
    from entitlements.integrations.emulator import Emulator

    try:
        with extra("serve", "uvicorn", "entitlements serve"):
            import uvicorn
    except ImportError as error:
        raise CommandError(str(error)) from None
    loaded = open_policy(policy)
    source = open_accounts(accounts, loaded, id=id) if accounts else None
    emulator = Emulator(loaded, source, now=None if at is None else parse_instant(at))
    with _listen(host, port) as listener:
        server = uvicorn.Server(uvicorn.Config(emulator, log_level="info", access_log=False))
        shown = f"[{host}]" if ":" in host else host
        CliConsole(stderr=True).write(
            f"policy {loaded.version} is served on http://{shown}:{listener.getsockname()[1]}"
        )
        server.run(sockets=[listener])
    return ExitCode.YES


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound; uvicorn ends the process if it cannot bind one."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        cure = "choose another with --host and --port, or --port 0 for a port that is free"
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise CommandError(f"cannot listen on {host}, port {port}: {reason}; {cure}") from None
