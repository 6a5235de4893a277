"""`entitlements diff`: what another policy changes, for the tiers and for real accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AtOption, JsonOption, checked_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.accounts import CsvAccounts
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.policy import Policy
    from entitlements.tiering.differences import Difference
    from entitlements.tiering.policy_diff import AccountDiff, LimitDiff, PolicyDiff, TierDiff

SHOWN = 20
"""Accounts told of one by one; the last line counts them all, and JSON has them all."""


def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="The policy in force: a file or a folder.", show_default=False)
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The policy that will be.", show_default=False)],
    *,
    accounts: Annotated[
        str | None,
        typer.Option("--accounts", metavar="CSV", help="Show what each account of this file gains and loses, too."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            callback=checked_store,
            help="Where the accounts' usage stands; without it, columns named like a limit are taken for its usage.",
        ),
    ] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show what a new policy changes.

    For each tier, what it has more of and less of; for each limit, whether its meters
    start anew; with --accounts, who gains, who loses, who lands over a limit, and which
    overrides are no longer needed. Exits with 1 where anybody loses anything, so that a
    build can stop for a second look.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import instant, open_accounts, open_policy
    from entitlements.tiering.policy_diff import diff as policies

    if store and not accounts:
        raise CommandError("--store says what accounts use; add --accounts CSV", ExitCode.USAGE)
    before, after, now = open_policy(old), open_policy(new), instant(at)
    whole = policies(before, after)
    screen = CliConsole()
    if accounts is None:
        told: list[AccountDiff] | None = None
    else:
        told = list(_accounts(before, after, open_accounts(accounts, before), store, now))
    if as_json:
        screen.put_json(whole.to_dict() | ({} if told is None else {"accounts": [each.to_dict() for each in told]}))
    else:
        screen.put("\n".join([*_policy_lines(whole, before, after), *_account_lines(told, before, after)]))
    loses = whole.takes_away or any(each.loses or each.over for each in told or ())
    return ExitCode.NO if loses else ExitCode.YES


def _accounts(before: Policy, after: Policy, file: CsvAccounts, store: str | None, now: int) -> Iterator[AccountDiff]:
    """Return what changes for each account, those for whom nothing does left out."""
    from entitlements.cli.console import tracked
    from entitlements.enforcer import Enforcer
    from entitlements.policy.accounts import bind
    from entitlements.rules.resolve import resolve
    from entitlements.tiering.policy_diff import diff_account

    enforcer = Enforcer(before, store=store) if store else None
    try:
        for account in tracked(file, len(file), "accounts"):
            used = _stored(enforcer, account) if enforcer else _written(before, account)
            found = diff_account(
                before, after, account, lambda policy, each: resolve(policy, bind(policy, each), now), used
            )
            if found:
                yield found
    finally:
        if enforcer:
            enforcer.close()


def _stored(enforcer: Enforcer, account: Account) -> dict[str, int]:
    return {name: each.used for name, each in enforcer.usage(account).items() if each.used is not None}


def _written(policy: Policy, account: Account) -> dict[str, int]:
    """Return the columns that are named like a quota or an allocation and hold a whole number."""
    from entitlements.model.limits import Rate

    limits = (name for name, limit in policy.limits.items() if not isinstance(limit, Rate))
    cells = {name: str(account.attributes.get(name, "")).replace(",", "").replace("_", "") for name in limits}
    return {name: int(cell) for name, cell in cells.items() if cell.isascii() and cell.isdigit()}


def _policy_lines(whole: PolicyDiff, before: Policy, after: Policy) -> Iterator[str]:
    if not whole:
        yield f"policies {whole.before} and {whole.after} say the same of every tier and limit"
    for limit in whole.limits:
        yield _limit_line(limit)
    for tier in whole.tiers:
        yield from _tier_lines(tier, before, after)


def _limit_line(limit: LimitDiff) -> str:
    from entitlements.model.display import in_words

    if limit.presence != "changed":
        return f"limit {limit.limit}: {limit.presence}"
    parts = (f"{name} {in_words(was)} -> {in_words(is_)}" for name, (was, is_) in limit.changes.items())
    anew = "; its meters start anew" if limit.restarts else ""
    return f"limit {limit.limit}: {', '.join(parts)}{anew}"


def _tier_lines(tier: TierDiff, before: Policy, after: Policy) -> Iterator[str]:
    yield f"tier {tier.tier}{'' if tier.differences else f': {tier.presence}'}"
    for each in tier.differences:
        yield f"  {_difference(each, before, after)}"


def _difference(each: Difference, before: Policy, after: Policy) -> str:
    """Return one line: a sign for more, less or otherwise, the name, and what becomes of it."""
    from entitlements.cli.formatting import of_name
    from entitlements.tiering.differences import ChangeDirection

    sign = {ChangeDirection.GAINED: "+", ChangeDirection.LOST: "-", ChangeDirection.CHANGED: "~"}[each.direction]
    was, is_ = of_name(before, each.name, each.before), of_name(after, each.name, each.after)
    return f"{sign} {each.name}: {was} -> {is_}"


def _account_lines(told: list[AccountDiff] | None, before: Policy, after: Policy) -> Iterator[str]:
    from entitlements.cli.formatting import counted

    if told is None:
        return
    for each in told[:SHOWN]:
        moved = "" if each.tier_before == each.tier_after else f" ({each.tier_before} -> {each.tier_after})"
        yield f"account {each.account}{moved}"
        yield from (f"  {line}" for line in _of_account(each, before, after))
    if len(told) > SHOWN:
        yield f"... and {counted(len(told) - SHOWN, 'account')} more: --json shows them all"
    yield (
        f"{counted(sum(each.gains for each in told), 'account')} gain, {sum(each.loses for each in told)} lose,"
        f" {sum(bool(each.over) for each in told)} land over a limit,"
        f" {sum(bool(each.redundant) for each in told)} have an override that is no longer needed"
    )


def _of_account(each: AccountDiff, before: Policy, after: Policy) -> Iterator[str]:
    from entitlements.cli.formatting import of_name

    if each.problem:
        yield f"! {each.problem}"
    for one in each.differences:
        yield _difference(one, before, after)
    for over in each.over:
        used, size = of_name(after, over.limit, over.used), of_name(after, over.limit, over.size)
        yield f"! {over.limit}: {used} used of {size}; keeps them, and can add none"
    for name in each.redundant:
        yield f"= override of {name} says what the policy now says by itself"
