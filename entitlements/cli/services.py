"""`entitlements services`: who is given which service, what that costs, and whether it is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AccountsOption, AtOption, JsonOption, PolicyOption

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from entitlements.accounts import CsvAccounts
    from entitlements.cli.console import CliConsole
    from entitlements.model.account import Account
    from entitlements.model.policy import Policy
    from entitlements.tiering.service_costs import AccountServices, BaseServices

SHOWN = 10


def services(
    account: Annotated[
        str | None,
        typer.Argument(metavar="[ACCOUNT]", help="The account's id; left out, the catalogue.", show_default=False),
    ] = None,
    *,
    base: Annotated[bool, typer.Option("--base", help="Add up all accounts, by tier.")] = False,
    variant: Annotated[
        str | None, typer.Option("--variant", metavar="NAME", help="Another variant of the policy than that in force.")
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: Annotated[str, typer.Option("--id", metavar="HEADING", help="Which column of the file names them.")] = "id",
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the services of a policy, of an account, or of a whole base.

    The catalogue says how often a year each tier is given what, what that costs and what it
    is worth. An account and a base are held against what they pay. Exits with 1 where an
    account is over-serviced, or it cannot be told.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import accounts_path, instant, open_accounts, open_policy
    from entitlements.tiering.service_costs import serve, serve_base
    from entitlements.tiering.services import in_variant, services_of

    now, loaded = instant(at), open_policy(policy)
    if account is not None and base:
        raise CommandError("--base is about all accounts; leave ACCOUNT out, or --base", ExitCode.USAGE)
    try:
        services_of(loaded)
        chosen: Policy = loaded if variant is None else in_variant(loaded, variant)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    screen = CliConsole()
    if account is None and not base:
        _show(screen, _catalogue_json(chosen) if as_json else None, _catalogue(chosen))
        return ExitCode.YES
    path = accounts_path(accounts)
    file = open_accounts(path, loaded, id=id)
    if account is None:
        whole = serve_base(chosen, (each for each in file if chosen.tier(each.tier) is not None), now=now)
        _put_problems(file)
        _show(screen, whole.to_dict() if as_json else None, _base_lines(whole))
        return ExitCode.NO if whole.whole.over or whole.whole.unknown else ExitCode.YES
    served = serve(chosen, _found(chosen, file, path, account), now=now)
    _show(screen, served.to_dict() if as_json else None, _account_lines(served))
    return ExitCode.NO if served.servicing in {"over-serviced", "unknown"} else ExitCode.YES


def _put_problems(file: CsvAccounts) -> None:
    """Tell which rows are not among the accounts."""
    from rich.text import Text

    from entitlements.cli.console import CliConsole

    screen = CliConsole(stderr=True)
    for problem in file.problems[:SHOWN]:
        screen.show(Text(str(problem), "yellow"))
    if len(file.problems) > SHOWN:
        screen.show(Text(f"… and {len(file.problems) - SHOWN:,} more problems with the file", "yellow"))


def _show(screen: CliConsole, value: object | None, lines: Iterator[str]) -> None:
    if value is not None:
        screen.put_json(value)
        return
    for line in lines:
        screen.put(line)


def _found(policy: Policy, file: CsvAccounts, path: str, id: str) -> Account:
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.model.names import nearest

    found = file.find(id)
    if found is None:
        told = [str(each) for each in file.problems if each.problem.startswith(repr(id))]
        why = f": {told[0]}" if told else nearest(id, file.ids())
        raise CommandError(f"account {id!r} is not in {path}{why}", ExitCode.NO_ACCOUNT)
    if policy.tier(found.tier) is None:
        raise CommandError(
            f"account {id!r} has the tier {found.tier!r}, which the policy does not know", ExitCode.USAGE
        )
    return found


def _catalogue(policy: Policy) -> Iterator[str]:
    from entitlements.cli.tables import aligned
    from entitlements.tiering.services import services_of, tier_lines

    services = services_of(policy)
    given = {tier: {line.service.id: line for line in tier_lines(policy, tier)} for tier in policy.tiers}
    rows: list[tuple[str, ...]] = [("service", "cost", "margin", *policy.tiers)]
    for id, service in services.catalogue.items():
        often = [_figure(given[tier][id].times) if id in given[tier] else "-" for tier in policy.tiers]
        rows.append((service.name, _figure(service.cost), _figure(service.margin), *often))
    for head, figure in (("cost a year", "cost"), ("worth a year", "value")):
        sums = [sum(getattr(line, figure) or 0 for line in given[tier].values()) for tier in policy.tiers]
        rows.append((head, "", "", *map(_figure, sums)))
    yield from aligned(rows)
    yield ""
    yield f"times a year; variant {services.variant!r} of {', '.join(services.variants) or 'none'}; in {policy.currency}"


def _catalogue_json(policy: Policy) -> dict[str, object]:
    from entitlements.model.display import in_json
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


def _account_lines(served: AccountServices) -> Iterator[str]:
    from entitlements.cli.tables import aligned

    rows: list[tuple[str, ...]] = [("service", "times a year", "cost", "worth")]
    rows += [(each.service.name, *_figures(each.times, each.cost, each.value)) for each in served.lines]
    rows.append(("together", "", *_figures(served.cost, served.value)))
    yield from aligned(rows)
    yield ""
    yield f"{served.account} ({served.tier}): {served.servicing}: {served.because}"
    yield from (f"not known: {text}" for text in served.unknown)


def _base_lines(base: BaseServices) -> Iterator[str]:
    from entitlements.cli.tables import aligned

    heads = ("tier", "accounts", "pay", "serving costs", "of that", "worth", "over", "under", "unknown")
    rows: list[tuple[str, ...]] = [heads]
    for each in (*base.tiers, base.whole):
        figures = _figures(each.accounts, each.against, each.cost)
        share = "" if each.share is None else f"{each.share} %"
        counts = tuple(str(len(ids)) for ids in (each.over, each.under, each.unknown))
        rows.append((each.tier or "all", *figures, share, _figure(each.value), *counts))
    yield from aligned(rows)
    told = {each.account: each for each in base.accounts}
    groups = {"over-serviced": base.whole.over, "under-serviced": base.whole.under, "unknown": base.whole.unknown}
    for head, ids in groups.items():
        if ids:
            yield f"{head}:"
        yield from (f"  {id}: {told[id].because}" for id in ids[:SHOWN])
        if len(ids) > SHOWN:
            yield f"  … and {len(ids) - SHOWN:,} more: --json tells all"


def _figures(*values: Decimal | int | None) -> tuple[str, ...]:
    return tuple(_figure(value) for value in values)


def _figure(value: Decimal | int | None) -> str:
    """Return a figure without a fraction that is nothing."""
    if value is None:
        return "?"
    return f"{int(value):,}" if value == int(value) else f"{value:,}"
