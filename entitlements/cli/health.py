"""`entitlements health`: the health score of an account, by its tier's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, JsonOption, PolicyOption, TierOption
from entitlements.errors import AccountError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.tiering.health import Health


def health(
    account: AccountArgument,
    *,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="COMPONENT=N", help="A measured component, 0 to 100; may be repeated."),
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show an account's health score, and its components.

    Components are columns of the accounts' file, or given with --score. A missing one is
    named, not guessed: then there is no score, and the command exits with 1.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.health import scores_in

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, at=at)
    attributes = {} if isinstance(context.account, str) else context.account.attributes
    given = dict(map(_parse_score, score or ()))
    try:
        entitlements = context.enforcer.entitlements(context.account)
        found = context.enforcer.health(context.account, scores_in(entitlements, attributes) | given)
    except AccountError as error:
        raise CommandError(str(error), ExitCode.USAGE if given else ExitCode.UNREADABLE) from None
    CliConsole().write_answer(found.to_dict, _lines(found), as_json=as_json)
    return ExitCode.NO if found.score is None else ExitCode.YES


def _parse_score(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not equals:
        raise CommandError(f"--score {option!r} has no number; write --score engagement=80")
    return name.strip(), value.strip()


def _lines(found: Health) -> Iterator[str]:
    """Yield the score, a line for each component, and the figures that are tracked besides."""
    account = f"{found.account}, on tier {found.tier}" if found.tier else f"{found.account}, of no tier"
    if not found.components:
        yield f"{account}: no health score, the tier has none"
        return
    if found.score is not None:
        yield f"{account}: health {found.score} of 100"
    else:
        so_far = "" if found.so_far is None else f"; {found.so_far} over what is there"
        yield f"{account}: no health score, {', '.join(found.missing)} not measured{so_far}"
    width = max(len(each.name) for each in found.components)
    for each in found.components:
        score = "missing" if each.score is None else str(each.score)
        yield f"  {each.name:<{width}}  {each.weight:>3} %  {score:>7}  {', '.join(each.measures)}".rstrip()
    if found.kpis:
        yield f"  tracked: {', '.join(found.kpis)}"
