"""`entitlements health`: how well an account does, by its tier's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, JsonOption, PolicyOption, TierOption

if TYPE_CHECKING:
    from entitlements.tiering.health import Health


def health(
    account: AccountArgument,
    *,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="COMPONENT=N", help="What was measured, 0 to 100; may be given several times."),
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show an account's health score, and what it is made of.

    Components are columns of the accounts' file, or given with --score. One that is
    missing is named, not guessed: without it there is no score. Exits with 1 then.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.errors import AccountError
    from entitlements.model.account import Account
    from entitlements.tiering.health import scores_in

    asked = ask(account, policy=policy, accounts=accounts, tier=tier, at=at)
    attributes = asked.account.attributes if isinstance(asked.account, Account) else {}
    given = dict(_score(each) for each in score or ())
    try:
        found = asked.enforcer.health(
            asked.account, scores_in(asked.enforcer.entitlements(asked.account), attributes) | given
        )
    except AccountError as error:
        raise CommandError(str(error), ExitCode.USAGE if given else ExitCode.UNREADABLE) from None
    screen = CliConsole()
    if as_json:
        screen.put_json(found.to_dict())
    else:
        screen.put("\n".join(_lines(found)))
    return ExitCode.NO if found.score is None else ExitCode.YES


def _score(written: str) -> tuple[str, str]:
    from entitlements.cli.exit_codes import CommandError, ExitCode

    name, sign, value = written.partition("=")
    if not sign:
        raise CommandError(f"--score {written!r} has no number; write --score engagement=80", ExitCode.USAGE)
    return name.strip(), value.strip()


def _lines(found: Health) -> list[str]:
    """Return the score, then a line for each component, then what else is tracked."""
    tier = f"on tier {found.tier}" if found.tier else "of no tier"
    if not found.components:
        return [f"{found.account}, {tier}: no health score, the tier has none"]
    if found.score is not None:
        lines = [f"{found.account}, {tier}: health {found.score} of 100"]
    else:
        so_far = "" if found.so_far is None else f"; {found.so_far} over what is there"
        lines = [f"{found.account}, {tier}: no health score, {', '.join(found.missing)} not measured{so_far}"]
    width = max(len(each.name) for each in found.components)
    for each in found.components:
        score = "missing" if each.score is None else str(each.score)
        lines.append(f"  {each.name:<{width}}  {each.weight:>3} %  {score:>7}  {', '.join(each.measures)}".rstrip())
    if found.kpis:
        lines.append(f"  tracked: {', '.join(found.kpis)}")
    return lines
