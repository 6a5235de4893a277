"""`entitlements init`: the files of a small project that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.starter import COMMANDS, files_of


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; it is made if it does not exist.")],
    *,
    framework: Annotated[
        str, typer.Option("--framework", metavar="NAME", help=f"One of {', '.join(COMMANDS)}.")
    ] = "fastapi",
) -> int:
    """
    Write a policy, accounts and a program that serves a gated and a limited route.

    Three files are written, and none is overwritten: policy.yaml, accounts.csv and main.py.
    Example: entitlements init shop --framework flask
    """
    from entitlements.cli.console import CliConsole

    if framework not in COMMANDS:
        raise CommandError(f"--framework {framework!r} is not one of {', '.join(COMMANDS)}", ExitCode.USAGE)
    files = files_of(framework)
    present = [name for name in files if (folder / name).exists()]
    if present:
        raise CommandError(f"{folder / present[0]} exists, and is not overwritten; name another folder", ExitCode.USAGE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{folder}: {error.strerror}; name a folder that can be written", ExitCode.UNREADABLE
        ) from None
    lines = [f"Wrote {', '.join(files)} to {folder}.", "", f"  cd {folder}", f"  {COMMANDS[framework]}"]
    lines.append("  curl -i -H 'X-API-Key: demo' http://127.0.0.1:8000/leads")
    CliConsole().write("\n".join(lines) + "\n")
    return ExitCode.YES
