"""`entitlements diff`: the changes that a new policy makes to tiers, and to real accounts."""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import check_store, open_accounts, open_policy, parse_instant
from entitlements.cli.options import AtOption, IdOption, JsonOption
from entitlements.model.display import in_words
from entitlements.presentation.formatting import format_count, format_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from entitlements.cli.directory import Directory
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.policy import Policy
    from entitlements.tiering.differences import Difference
    from entitlements.tiering.policy_diff import AccountDiff, LimitDiff, PolicyDiff

SHOWN = 20
"""Accounts that are listed; the last line counts all of them, and JSON lists all of them."""


def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="The policy in force: a file or a folder.", show_default=False)
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The policy that replaces it.", show_default=False)],
    *,
    accounts: Annotated[
        str | None,
        typer.Option("--accounts", metavar="CSV", help="Also show the gains and losses of each account of this file."),
    ] = None,
    id: IdOption = "id",
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            callback=check_store,
            help="The store that counts the accounts' usage. Default: the columns named like a limit.",
        ),
    ] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the changes that a new policy makes.

    For each tier, what it gains and loses; for each limit, whether its meters restart; with
    --accounts, the accounts that gain, lose or exceed a limit, and the overrides that are no
    longer needed. Exits with 1 if anything is lost, so that a build can stop.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.styles import style_by_sign, styled
    from entitlements.tiering.policy_diff import diff as policies

    if store and not accounts:
        raise CommandError("--store says what accounts use; add --accounts CSV")
    before, after, now = open_policy(old), open_policy(new), parse_instant(at)
    whole = policies(before, after)
    file = open_accounts(accounts, before, id=id) if accounts else None
    changed = [] if file is None else list(_account_diffs(before, after, file, store, now))
    lines = _policy_lines(whole, before, after)
    CliConsole().write_answer(
        lambda: whole.to_dict() | ({} if file is None else {"accounts": [each.to_dict() for each in changed]}),
        styled(lines if file is None else chain(lines, _account_lines(changed, before, after)), style_by_sign),
        as_json=as_json,
    )
    loses = whole.takes_away or any(each.loses or each.over for each in changed)
    return ExitCode.NO if loses else ExitCode.YES


def _account_diffs(
    before: Policy, after: Policy, file: Directory, store: str | None, now: int
) -> Iterator[AccountDiff]:
    """Yield the differences of each account that has any."""
    from entitlements.cli.console import with_progress
    from entitlements.enforcer import Enforcer
    from entitlements.policy.accounts import bind
    from entitlements.rules.resolve import resolve
    from entitlements.tiering.policy_diff import diff_account

    with Enforcer(before, store=store) if store else nullcontext() as enforcer:
        for account in with_progress(file, len(file), "accounts"):
            used = _stored_usage(enforcer, account) if enforcer else _written_usage(before, account)
            found = diff_account(
                before, after, account, lambda policy, each: resolve(policy, bind(policy, each), now), used
            )
            if found:
                yield found


def _stored_usage(enforcer: Enforcer, account: Account) -> dict[str, int]:
    return {name: each.used for name, each in enforcer.usage(account).items() if each.used is not None}


def _written_usage(policy: Policy, account: Account) -> dict[str, int]:
    """Return the columns that are named like a quota or an allocation and hold a whole number."""
    from entitlements.cli.console import warn
    from entitlements.model.criteria import Criterion, CriterionKind
    from entitlements.model.policy import counted_limits
    from entitlements.tiering.criterion_values import attribute_name, read_attributes

    names = counted_limits(policy)
    counts = {name: Criterion(name, CriterionKind.COUNT, (attribute_name(name),), Decimal(0)) for name in names}
    known, misfits = read_attributes(counts, account.attributes, account.id)
    warn(*map(str, misfits))
    return {name: used for name, used in known.items() if isinstance(used, int)}


def _policy_lines(whole: PolicyDiff, before: Policy, after: Policy) -> Iterator[str]:
    if not whole:
        yield f"policies {whole.before} and {whole.after} say the same of every tier and limit"
    if whole.time_zone:
        yield "time zone: {} -> {}; running periods end at another midnight".format(*whole.time_zone)
    yield from map(_limit_line, whole.limits)
    for add_on in whole.add_ons:
        yield f"add-on {add_on.add_on}: {_changes_text(add_on.changes) or add_on.presence}"
    for tier in whole.tiers:
        sale = _changes_text(tier.sale) if tier.presence == "changed" else tier.presence
        yield f"tier {tier.tier}{f': {sale}' if sale else ''}"
        yield from (f"  {_difference_line(each, before, after)}" for each in tier.differences)


def _limit_line(limit: LimitDiff) -> str:
    if limit.presence != "changed":
        return f"limit {limit.limit}: {limit.presence}"
    return f"limit {limit.limit}: {_changes_text(limit.changes)}{f'; {limit.meters}' if limit.meters else ''}"


def _changes_text(changes: Mapping[str, tuple[object, object]]) -> str:
    return ", ".join(f"{name} {_text(old)} -> {_text(new)}" for name, (old, new) in changes.items())


def _text(value: object) -> str:
    return "none" if value in ((), "", None) or value == {} else in_words(value)


def _difference_line(each: Difference, before: Policy, after: Policy) -> str:
    """Return one line: a sign for gained, lost or changed, the name, the old and the new value."""
    from entitlements.tiering.differences import ChangeDirection

    sign = {ChangeDirection.GAINED: "+", ChangeDirection.LOST: "-", ChangeDirection.CHANGED: "~"}[each.direction]
    old, new = format_named(before, each.name, each.before), format_named(after, each.name, each.after)
    return f"{sign} {each.name}: {old} -> {new}"


def _account_lines(changed: list[AccountDiff], before: Policy, after: Policy) -> Iterator[str]:
    for each in changed[:SHOWN]:
        move = (
            "" if each.problem or each.tier_before == each.tier_after else f" ({each.tier_before} -> {each.tier_after})"
        )
        yield f"account {each.account}{move}"
        yield from (f"  {line}" for line in _lines_of_account(each, before, after))
    if len(changed) > SHOWN:
        yield f"... and {format_count(len(changed) - SHOWN, 'account')} more: --json shows them all"
    yield (
        f"{format_count(sum(each.gains for each in changed), 'account')} gain, {sum(each.loses for each in changed)} lose,"
        f" {sum(bool(each.over) for each in changed)} land over a limit,"
        f" {sum(bool(each.redundant) for each in changed)} have an override that is no longer needed"
    )


def _lines_of_account(each: AccountDiff, before: Policy, after: Policy) -> Iterator[str]:
    if each.problem:
        yield f"! {each.problem}"
    yield from (_difference_line(difference, before, after) for difference in each.differences)
    for over in each.over:
        used, size = format_named(after, over.limit, over.used), format_named(after, over.limit, over.size)
        yield f"! {over.limit}: {used} used of {size}; keeps them, and can add none"
    yield from (f"= override of {name} says what the policy now says by itself" for name in each.redundant)
