"""`entitlements health`: the health of an account, or of the whole base, by the weights and scales of its tier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.base.loading import UsageFileOption
from entitlements.cli.context import CommandContext, open_context
from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption, TierOption
from entitlements.cli.usage_source import UsageColumnOption, open_usage
from entitlements.errors import AccountError
from entitlements.model.display import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from decimal import Decimal

    from entitlements.tiering.health import Health
    from entitlements.tiering.health_scales import MeasureScore
    from entitlements.usage_files import UsageMonth


def health(
    account: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="The account's id. Default: all.", show_default=False)
    ] = None,
    *,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="COMPONENT=N", help="A measured component, 0 to 100; may be repeated."),
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageFileOption = None,
    usage_column: UsageColumnOption = None,
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show an account's health score and its components, or the health of all accounts.

    Components are columns of the accounts' file, given with --score, or computed from
    measures (columns of the accounts, or the newest month of --usage) by the scales of the
    policy. A missing one is named, not guessed: then there is no score, and the command
    exits with 1. All accounts are listed with their trend and risk, the highest risk first.
    """
    if account is None:
        if score or tier:
            raise CommandError("--score and --tier are about one account; name it")
        from entitlements.cli.base.health import base_health

        return base_health(policy, accounts, id=id, at=at, usage=usage, usage_columns=usage_column, as_json=as_json)
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.health import measure_names

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, at=at, key=id)
    given = dict(map(_parse_score, score or ()))
    source = open_usage(
        context.policy,
        context.now,
        usage=usage,
        store=None,
        columns=usage_column,
        measures=measure_names(context.policy),
    )
    file = source.file if source is not None else None
    try:
        found, measures = _measured(context, file.months.get(account, ()) if file is not None else (), given)
    except AccountError as error:
        raise CommandError(str(error), ExitCode.USAGE if given else ExitCode.UNREADABLE) from None
    CliConsole().write_answer(
        lambda: found.to_dict() | {"measures": [each.to_dict() for each in measures]},
        _lines(found, measures),
        as_json=as_json,
    )
    return ExitCode.NO if found.score is None else ExitCode.YES


def _measured(
    context: CommandContext, months: Sequence[UsageMonth], given: Mapping[str, str]
) -> tuple[Health, Sequence[MeasureScore]]:
    """Return the health of the account, from scores that are given, its attributes, and measures."""
    from entitlements.model.resolution import resolution_of
    from entitlements.tiering.base.health import measure_names
    from entitlements.tiering.base.rows import read_base
    from entitlements.tiering.health import scores_in
    from entitlements.tiering.health_scales import component_scores, scale_scores, scales_of
    from entitlements.usage_files import measures_at

    entitlements = context.enforcer.entitlements(context.account)
    attributes = {} if isinstance(context.account, str) else context.account.attributes
    own = {**scores_in(entitlements, attributes), **given}
    figures: Mapping[str, Decimal] = measures_at(months)
    if not isinstance(context.account, str):
        names = measure_names(context.policy)
        base = read_base(
            context.policy,
            [context.customer()],
            now=context.now,
            measures=names,
            measured={context.account.id: figures},
        )
        figures = base.rows[0].figures
    scales = scales_of(resolution_of(entitlements).values)
    scored = scale_scores(scales, figures)
    return context.enforcer.health(context.account, component_scores(scales, scored) | own), scored


def _parse_score(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not equals:
        raise CommandError(f"--score {option!r} has no number; write --score engagement=80")
    return name.strip(), value.strip()


def _lines(found: Health, measures: Sequence[MeasureScore]) -> Iterator[str]:
    """Yield the score, a line for each component and measure, and the figures that are tracked besides."""
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
        for measure in measures:
            if measure.component == each.name and measure.figure is not None:
                yield f"  {'':<{width}}         {measure.score:>7}  {measure.measure} {in_words(measure.figure)}"
    if found.kpis:
        yield f"  tracked: {', '.join(found.kpis)}"
