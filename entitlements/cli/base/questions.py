"""`entitlements base questions`: the most and least successful, difficult and easy accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.base.loading import ColumnOption, UsageFileOption, load_base
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.cli.usage_source import UsageColumnOption
from entitlements.model.display import in_words
from entitlements.presentation.formatting import align_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entitlements.tiering.base.ranking import RankedGroup


def questions(
    *,
    top: Annotated[int, typer.Option("--top", metavar="N", help="Accounts in each group.", min=1)] = 10,
    success: Annotated[
        list[str] | None,
        typer.Option("--success", metavar="NAME", help="A column that is higher for success; may be repeated."),
    ] = None,
    effort: Annotated[
        list[str] | None,
        typer.Option("--effort", metavar="NAME", help="A column that is higher for effort; may be repeated."),
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageFileOption = None,
    usage_column: UsageColumnOption = None,
    column: ColumnOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the most and least successful accounts, the most difficult and the easiest.

    Success is ranked by health, adoption, NPS and CSAT, effort by open cases, requests,
    follow-ups and days of onboarding, as far as the accounts have these columns. Each group
    is compared with the rest of the base. Exits with 1 if a cell cannot be read.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.health import measure_names
    from entitlements.tiering.base.ranking import EFFORT, SUCCESS, ranked_groups

    loaded = load_base(
        policy, accounts, id=id, at=at, columns=column, usage=usage, usage_columns=usage_column, measures=measure_names
    )
    figures = {"success": tuple(success or SUCCESS), "effort": tuple(effort or EFFORT)}
    base = loaded.base((*figures["success"], *figures["effort"]))
    known = {name for row in base.rows for name in row.figures}
    for option, names in figures.items():
        for name in names:
            if name not in known:
                consequence = f"{option} is ranked without it"
                loaded.remarks.append(
                    f"{loaded.path}: no column of {name}, so {consequence}; name it: --column {name}=HEADING"
                )
    found = ranked_groups(base, top=top, **figures)
    CliConsole().write_answer(
        lambda: {"groups": [each.to_dict() for each in found]} | loaded.told(), _lines(found), as_json=as_json
    )
    return loaded.report()


def _lines(found: Sequence[RankedGroup]) -> Iterator[str]:
    for group in found:
        yield f"{group.title}:"
        rows = [
            (f"  {each.account}", each.name, each.tier, str(each.score), _figures(each.figures))
            for each in group.accounts
        ]
        yield from align_columns([("  account", "name", "tier", "score", "figures"), *rows])
        yield from (f"  {trait.text}" for trait in group.traits)
        if group.unknown:
            yield f"  {group.unknown:,} accounts have none of these figures"
        yield ""


def _figures(figures: object) -> str:
    return in_words(figures)
