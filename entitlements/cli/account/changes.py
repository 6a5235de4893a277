"""Commands that change an account: one for each verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from entitlements.cli.account.context import change
from entitlements.cli.account.options import CHANGE_OPTIONS, EndOption, FromOption, UntilOption
from entitlements.cli.account.signature import with_options
from entitlements.cli.exit_codes import CommandError, usage_errors
from entitlements.cli.loading import parse_datetime
from entitlements.cli.options import AccountArgument

Verb = Callable[..., Any]
"""A call of a verb of `SqlAccounts`, with the options that all verbs take."""

TierArgument = Annotated[str, typer.Argument(metavar="TIER", help="A tier, or one of its aliases.", show_default=False)]

_done = with_options(CHANGE_OPTIONS, change)
_begun = with_options(CHANGE_OPTIONS | {"at": (FromOption, None)}, change)


@_done
def create(account: AccountArgument, tier: TierArgument) -> Verb:
    """Create an account in a database."""
    return lambda source, options: source.create(account, tier, **options)


@_begun
def set_tier(
    account: AccountArgument,
    tier: TierArgument,
    *,
    waive_notice: Annotated[
        bool, typer.Option("--waive-notice", help="Let a downgrade begin before the end of its notice.")
    ] = False,
) -> Verb:
    """
    Move an account to another tier, now or at a time.

    A downgrade before the end of its notice is refused, unless --waive-notice is given.
    """
    return lambda source, options: source.set_tier(account, tier, waive_notice=waive_notice, **options)


@_begun
def override(
    account: AccountArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature, a limit or a value key.", show_default=False)],
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="As in a policy: true, 50, unlimited.", show_default=False)
    ] = None,
    *,
    expires: UntilOption = None,
    end: EndOption = False,
) -> Verb:
    """
    Set a final value for one name of an account, or take it away (--end).

    Refused where the account has that value without it.
    """
    from entitlements.accounts.csv.cells import read_value

    if (value is None) != end:
        raise CommandError(f"override of {name!r}: give a VALUE, or --end to take the override away")
    if value is None:
        return lambda source, options: source.end_override(account, name, **options)
    until = parse_datetime(expires, "--expires")
    with usage_errors(f"override of {name!r}: "):
        read = read_value(value)
    return lambda source, options: source.override(account, name, read, expires=until, **options)


@_begun
def grant(
    account: AccountArgument,
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="A limit.", show_default=False)],
    amount: Annotated[int | None, typer.Argument(metavar="[AMOUNT]", help="Units.", show_default=False)] = None,
    *,
    expires: UntilOption = None,
    end: EndOption = False,
) -> Verb:
    """Add units of a limit to an account, or take its grants away (--end)."""
    if (amount is None) != end:
        raise CommandError(f"grant of {limit!r}: give an AMOUNT, or --end to take the grants away")
    if amount is None:
        return lambda source, options: source.end_grants(account, limit, **options)
    until = parse_datetime(expires, "--expires")
    return lambda source, options: source.grant(account, limit, amount, expires=until, **options)


@_done
def add_on(
    account: AccountArgument,
    name: Annotated[str, typer.Argument(metavar="ADD-ON", help="An add-on of the policy.", show_default=False)],
    quantity: Annotated[int, typer.Argument(metavar="[QUANTITY]", help="The number; 0 takes it away.")] = 1,
) -> Verb:
    """Set the quantity of an add-on of an account; 0 takes it away."""
    return lambda source, options: source.add_on(account, name, quantity, **options)


@_begun
def trial(
    account: AccountArgument,
    tier: Annotated[str | None, typer.Argument(metavar="[TIER]", help="The tier on trial.", show_default=False)] = None,
    *,
    ends: Annotated[
        str | None, typer.Option("--ends", metavar="TIME", help="The first instant after the trial.")
    ] = None,
    end: EndOption = False,
) -> Verb:
    """
    Start a trial of an account, or end it (--end).

    A trial plan has a length of its own; another tier needs --ends.
    """
    if (tier is None) != end:
        raise CommandError("give a TIER, or --end to end the trial")
    until = parse_datetime(ends, "--ends")
    return lambda source, options: source.set_trial(account, tier, until, **options)


@_done
def suspend(account: AccountArgument) -> Verb:
    """Suspend an account: it is refused everything."""
    return lambda source, options: source.suspend(account, **options)


@_done
def resume(account: AccountArgument) -> Verb:
    """End the suspension of an account."""
    return lambda source, options: source.resume(account, **options)


@_done
def close(account: AccountArgument) -> Verb:
    """
    Close an account: it is unknown from then on.

    Its audit stays, and so do its counters.
    """
    return lambda source, options: source.close(account, **options)
