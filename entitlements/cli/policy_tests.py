"""`entitlements test`: the tests of a policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import open_policy, parse_instant
from entitlements.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.text import Text

    from entitlements.policy_tests import Mismatch


def run_policy_tests(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="A policy file, or a folder of them.")],
    tests: Annotated[
        str | None,
        typer.Argument(
            metavar="TESTS", help="A tests file, or a folder of them. Default: tests/ in the policy's folder."
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """
    Compare the answers of a policy with tables of expected ones.

    Each answer that differs is shown as a diff, with the line of the expected one. Exits with 1 if there are any.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.policy_tests import InvalidTables, evaluate, read_tables

    loaded = open_policy(policy)
    path = tests or _default(policy)
    try:
        cases = read_tables(path, loaded, parse_instant(None))
    except InvalidTables as error:
        raise CommandError(str(error)) from None
    found = list(evaluate(loaded, cases))
    console = CliConsole()
    console.write_answer(
        lambda: {"asked": len(cases), "failed": len(found), "failures": [each.to_dict() for each in found]},
        _lines(path, len(cases), found),
        as_json=as_json,
    )
    return ExitCode.NO if found else ExitCode.YES


def _default(policy: str) -> str:
    folder = Path(policy) / "tests"
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder of tests; name a tests file: entitlements test {policy} TESTS.yaml")
    return str(folder)


def _lines(path: str, asked: int, found: Sequence[Mismatch]) -> Iterator[str | Text]:
    from rich.text import Text

    for each in found:
        name = each.name or "the account"
        yield Text.assemble(
            (f"{each.file}:{each.line}", "cyan"), f": {each.subject}, {name}, at {each.at:%Y-%m-%dT%H:%M:%SZ}"
        )
        yield Text(f"  - {each.expected}", "green")
        yield Text(f"  + {each.answer}{f'   {each.source}' if each.source else ''}", "red")
    total = f"{len(found)} of {asked} answers differ" if found else f"{asked} answers as expected"
    yield Text.assemble((path, "bold"), ": ", (total, "bold red" if found else "bold green"))
