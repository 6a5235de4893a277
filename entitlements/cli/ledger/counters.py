"""Commands that compare counters with the ledger, and set them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.ledger.context import LedgerOption, SettleOption, SomeAccountArgument, opened_ledger
from entitlements.cli.loading import store_url
from entitlements.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.ledger import Rebuilt, Tail

_SETTLE = 3.0


def rebuild(
    account: SomeAccountArgument = None,
    *,
    ledger: LedgerOption = None,
    store: StoreOption = None,
    settle: SettleOption = _SETTLE,
    as_json: JsonOption = False,
) -> int:
    """
    Set the counters of a store to what the ledger adds up to.

    For counters that were lost: quotas, allocations, holders and open reservations. Charges may go on meanwhile. It
    shows what was set, and the processes whose last entries may be missing. Exits with 1 if something could not be set.
    """
    from entitlements.cli.console import CliConsole

    with opened_ledger(ledger) as opened:
        done = opened.rebuild(account, store_url(store), settle=settle)
    CliConsole().write_answer(done.to_dict, _rebuilt(done), as_json=as_json)
    return ExitCode.NO if done.left else ExitCode.YES


def _rebuilt(done: Rebuilt) -> Iterable[str]:
    for each in done.restored:
        yield f"set: {each}"
    for each in done.left:
        yield f"left: {each}"
    yield f"{done.accounts} accounts compared, {len(done.restored)} counters set, {done.units} units restored"
    yield from _tails(done.tails)


def _tails(tails: tuple[Tail, ...]) -> Iterable[str]:
    for each in tails:
        yield f"not in the ledger: {each}"


def drift(
    account: SomeAccountArgument = None,
    *,
    ledger: LedgerOption = None,
    store: StoreOption = None,
    count: Annotated[
        list[str] | None,
        typer.Option(
            "--count",
            metavar="LIMIT=MODULE:FUNCTION",
            help="A function of yours that takes an account's id and returns the units that it holds.",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="LIMIT=KIND",
            help="A limit that the ledger has no entry of, and whether it is a quota or an allocation.",
        ),
    ] = None,
    settle: SettleOption = _SETTLE,
    as_json: JsonOption = False,
) -> int:
    """
    Show counters that differ from the ledger, or from counts of your own; change nothing.

    Exits with 1 if there are any.
    """
    from entitlements.cli.console import CliConsole

    counts = dict(_counter(each) for each in count or ())
    limits = {name: kind for name, _, kind in (each.partition("=") for each in limit or ())}
    with opened_ledger(ledger) as opened:
        found = opened.drift(account, store=store_url(store), counts=counts, limits=limits, settle=settle)
    lines = [str(each) for each in found] or ["no counter differs"]
    CliConsole().write_answer(lambda: [each.to_dict() for each in found], lines, as_json=as_json)
    return ExitCode.NO if found else ExitCode.YES


def _counter(given: str) -> tuple[str, Callable[[str], Any]]:
    limit, _, path = given.partition("=")
    module, _, name = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules of the working folder
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CommandError(f"--count {given}: {error}; write LIMIT=MODULE:FUNCTION") from None
    if not callable(function):
        raise CommandError(f"--count {given}: {name} is not callable; name a function that takes an account's id")
    return limit, function


def writers(*, ledger: LedgerOption = None, as_json: JsonOption = False) -> int:
    """Show the processes that write to the ledger or ended without closing it, and what they have lost."""
    from entitlements.cli.console import CliConsole

    with opened_ledger(ledger) as opened:
        found = opened.tails()
    lines = [str(each) for each in found] or ["every writer has ended in order"]
    CliConsole().write_answer(lambda: [each.to_dict() for each in found], lines, as_json=as_json)
    return ExitCode.YES
