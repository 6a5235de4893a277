"""`entitlements quote`: the price of add-ons, services and another tier for one account, and what they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.presentation.formatting import align_columns, format_named
from entitlements.tiering.differences import EntitlementKind
from entitlements.tiering.numbers import as_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from entitlements.policy import Policy
    from entitlements.tiering.differences import Difference
    from entitlements.tiering.quotes import Quote, QuoteLine


def quote(
    account: AccountArgument,
    items: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ITEM[=N]]...",
            help="Add-ons of the policy, and services as service.NAME, such as phone-support training=3.",
            show_default=False,
        ),
    ] = None,
    *,
    to: Annotated[str | None, typer.Option("--to", metavar="TIER", help="Quote for a move to this tier too.")] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show what add-ons, services or another tier would cost an account, and what they change.

    Percentages are of the account's own annual fee. Exits with 1 if an amount is not known.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.quotes import quote as quoted

    if not items and to is None:
        raise CommandError("a quote needs an item or --to TIER; entitlements tiers shows the add-ons")
    context = open_context(account, policy=policy, accounts=accounts, at=at, key=id)
    with usage_errors():
        found = quoted(context.policy, context.customer(), _items(items or []), now=context.now, to=to)
    CliConsole().write_answer(found.to_dict, _lines(found, context.policy), as_json=as_json)
    return ExitCode.NO if found.unknown else ExitCode.YES


def _items(texts: list[str]) -> dict[str, int]:
    items: dict[str, int] = {}
    for text in texts:
        name, equals, count = text.partition("=")
        number = as_whole(count) if equals else 1
        if number is None:
            raise CommandError(f"{text!r}: {count!r} is no quantity; write {name}=1")
        if name in items:
            raise CommandError(f"{name} is given twice; write {name}={items[name] + 1}")
        items[name] = number
    return items


def _lines(found: Quote, policy: Policy) -> Iterator[str]:
    move = f" to {found.to}" if found.to != found.tier else ""
    pays = "an unknown amount" if found.pays is None else _money(found.pays)
    yield f"{found.account} ({found.tier}{move}) pays {pays} a year; amounts in {found.currency}"
    yield ""
    if found.lines:
        yield from align_columns([("item", "quantity", "price", "yearly", "once", "note"), *map(_row, found.lines)])
    yield f"together: {_money(found.yearly)} a year, {_money(found.once)} once"
    if found.changes:
        yield ""
        rows = [
            ("changes", "before", "after"),
            *(_change(policy, each) for each in found.changes if not each.name.startswith(_UNSHOWN)),
        ]
        yield from align_columns(rows)
    yield from (f"it has {text}" for text in found.notes)
    yield from (f"not known: {text}" for text in found.unknown)


def _row(line: QuoteLine) -> tuple[str, ...]:
    price = "" if line.price is None else f"{_money(line.price)}{f' per {line.per}' if line.per else ''}"
    amount = "?" if line.amount is None else _money(line.amount)
    yearly, once = (amount, "") if line.due == "yearly" else ("", amount)
    return (
        line.item,
        str(line.quantity),
        price or (f"{line.percent} %" if line.percent else ""),
        yearly,
        once,
        line.note,
    )


def _change(policy: Policy, each: Difference) -> tuple[str, str, str]:
    if each.kind is EntitlementKind.FEATURE:
        return each.name, _yes(each.before), _yes(each.after)
    return each.name, format_named(policy, each.name, each.before), format_named(policy, each.name, each.after)


def _yes(value: object) -> str:
    return "yes" if value is True else "no"


_UNSHOWN = ("touchpoints", "uptime.credits")
"""Values that are too long for a table; `--json` has them."""


def _money(amount: Decimal) -> str:
    return f"{amount:,.0f}" if amount == amount.to_integral_value() else f"{amount:,.2f}"
