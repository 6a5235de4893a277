"""`entitlements services`: the services of each tier, their costs, and the accounts that do not pay for theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import find_account
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import accounts_path, open_accounts, open_policy, parse_instant
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.model.display import in_json
from entitlements.presentation.formatting import align_columns, first_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

    from entitlements.model.policy import PolicyData
    from entitlements.tiering.service_costs import AccountServices, BaseServices

SHOWN = 10
"""Accounts and problems that are listed; the rest is counted."""


def services(
    account: Annotated[
        str | None,
        typer.Argument(metavar="[ACCOUNT]", help="The account's id. Default: the catalogue.", show_default=False),
    ] = None,
    *,
    base: Annotated[bool, typer.Option("--base", help="Add up all accounts, by tier.")] = False,
    variant: Annotated[
        str | None,
        typer.Option("--variant", metavar="NAME", help="A variant of the policy other than the one in force."),
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the services of a policy, of an account, or of all accounts.

    The catalogue shows each tier's services: times a year, cost and worth. The costs of an
    account, or of all, are compared with what they pay. Exits with 1 if an account is
    over-serviced, or if that is unknown.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.services import in_variant, services_of

    now, loaded = parse_instant(at), open_policy(policy)
    if account is not None and base:
        raise CommandError("--base is about all accounts; leave ACCOUNT out, or --base")
    with usage_errors():
        services_of(loaded)
        chosen: PolicyData = loaded if variant is None else in_variant(loaded, variant)
    value, lines, code = _answer(chosen, accounts, account, now, id=id, base=base)
    CliConsole().write_answer(value, lines, as_json=as_json)
    return code


def _answer(
    policy: PolicyData, accounts: str | None, account: str | None, now: int, *, id: str, base: bool
) -> tuple[Callable[[], object], Iterator[str], ExitCode]:
    """Return the answer for JSON, its lines and the exit code: of an account, of all, or of the catalogue."""
    from entitlements.cli.console import warn
    from entitlements.tiering.service_costs import serve, serve_base

    if account is None and not base:
        return lambda: _catalogue_json(policy), _catalogue_lines(policy), ExitCode.YES
    path = accounts_path(accounts)
    file = open_accounts(path, policy, id=id)
    if account is None:
        whole = serve_base(policy, (each for each in file if policy.tier(each.tier) is not None), now=now)
        warn(*first_lines([*map(str, file.problems)], SHOWN, "… and {:,} more problems with the file"))
        is_known = not (whole.whole.over or whole.whole.unknown)
        return whole.to_dict, _base_lines(whole), ExitCode.YES if is_known else ExitCode.NO
    customer = find_account(account, path, file)
    if policy.tier(customer.tier) is None:
        raise CommandError(f"account {account!r} has the tier {customer.tier!r}, which the policy does not know")
    found = serve(policy, customer, now=now)
    is_fitting = found.servicing not in {"over-serviced", "unknown"}
    return found.to_dict, _account_lines(found), ExitCode.YES if is_fitting else ExitCode.NO


def _catalogue_lines(policy: PolicyData) -> Iterator[str]:
    from entitlements.tiering.services import services_of, tier_lines

    services = services_of(policy)
    by_tier = {tier: {line.service.id: line for line in tier_lines(policy, tier)} for tier in policy.tiers}
    rows: list[tuple[str, ...]] = [("service", "cost", "margin", *policy.tiers)]
    for id, service in services.catalogue.items():
        times = [_figure(lines[id].times) if id in lines else "-" for lines in by_tier.values()]
        rows.append((service.name, *_figures(service.cost, service.margin), *times))
    for heading, figure in (("cost a year", "cost"), ("worth a year", "value")):
        sums = [sum(getattr(line, figure) or 0 for line in lines.values()) for lines in by_tier.values()]
        rows.append((heading, "", "", *_figures(*sums)))
    yield from align_columns(rows, right=True)
    yield ""
    yield f"times a year; variant {services.variant!r} of {', '.join(services.variants) or 'none'}; in {policy.currency}"


def _catalogue_json(policy: PolicyData) -> dict[str, object]:
    from entitlements.tiering.services import services_of, tier_lines

    services = services_of(policy)
    return {
        "variant": services.variant,
        "variants": list(services.variants),
        "catalogue": {
            id: {name: in_json(getattr(each, name)) for name in ("name", "about", "cost", "margin", "self_service")}
            for id, each in services.catalogue.items()
        },
        "tiers": {tier: [line.to_dict() for line in tier_lines(policy, tier)] for tier in policy.tiers},
    }


def _account_lines(found: AccountServices) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("service", "times a year", "cost", "worth")]
    rows += [(each.service.name, *_figures(each.times, each.cost, each.value)) for each in found.lines]
    rows.append(("together", "", *_figures(found.cost, found.value)))
    yield from align_columns(rows, right=True)
    yield ""
    yield f"{found.account} ({found.tier}): {found.servicing}: {found.because}"
    yield from (f"not known: {text}" for text in found.unknown)


def _base_lines(base: BaseServices) -> Iterator[str]:
    headings = ("tier", "accounts", "pay", "serving costs", "of that", "worth", "over", "under", "unknown")
    rows: list[tuple[str, ...]] = [headings]
    for each in (*base.tiers, base.whole):
        figures = _figures(each.accounts, each.against, each.cost)
        share = "" if each.share is None else f"{each.share} %"
        counts = tuple(str(len(ids)) for ids in (each.over, each.under, each.unknown))
        rows.append((each.tier or "all", *figures, share, _figure(each.value), *counts))
    yield from align_columns(rows, right=True)
    accounts = {each.account: each for each in base.accounts}
    groups = {"over-serviced": base.whole.over, "under-serviced": base.whole.under, "unknown": base.whole.unknown}
    for heading, ids in groups.items():
        if ids:
            yield f"{heading}:"
        lines = [f"  {id}: {accounts[id].because}" for id in ids]
        yield from first_lines(lines, SHOWN, "  … and {:,} more: --json tells all")


def _figures(*values: Decimal | int | None) -> tuple[str, ...]:
    return tuple(map(_figure, values))


def _figure(value: Decimal | int | None) -> str:
    """Return a figure, without a fraction that is zero; `?` if it is unknown."""
    if value is None:
        return "?"
    return f"{int(value):,}" if value == int(value) else f"{value:,}"
