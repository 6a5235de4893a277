"""`entitlements base compare`: medians of figures by tier, industry, region or channel."""

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

    from entitlements.tiering.base.comparison import ComparedGroup

FIGURES = ("nps", "csat", "adoption", "open-cases", "requests")
WORDS = ("tier", "industry", "region", "channel")


def compare(
    *,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="NAME",
            help="`tier`, or a column; may be repeated. Default: tier, industry, region, channel.",
        ),
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            "--figure", metavar="NAME", help="A column with numbers; may be repeated. Default: NPS, adoption, cases …"
        ),
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
    Compare the accounts by tier, industry, region and channel: medians of NPS, adoption and cases.

    Exits with 1 if a cell cannot be read.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.comparison import compare_by
    from entitlements.tiering.base.health import measure_names
    from entitlements.tiering.criterion_values import attribute_name

    loaded = load_base(
        policy, accounts, id=id, at=at, columns=column, usage=usage, usage_columns=usage_column, measures=measure_names
    )
    figures = tuple(map(attribute_name, figure or FIGURES))
    base = loaded.base(figures)
    known = {name for row in base.rows for name in row.figures}
    shown = tuple(name for name in figures if name in known)
    loaded.remarks += (
        f"{loaded.path}: no column of {name}, so it is not compared; name it: --column {name}=HEADING"
        for name in figures
        if name not in known
    )
    groups: dict[str, Sequence[ComparedGroup]] = {}
    for word in map(attribute_name, by or WORDS):
        if word != "tier" and word not in base.columns:
            loaded.remarks.append(
                f"{loaded.path}: no column of {word}, so nothing is compared by it; name it: --column {word}=HEADING"
            )
            continue
        groups[word] = compare_by(loaded.policy, base, word, shown)
    CliConsole().write_answer(
        lambda: {"by": {word: [each.to_dict() for each in found] for word, found in groups.items()}} | loaded.told(),
        _lines(groups, shown),
        as_json=as_json,
    )
    return loaded.report()


def _lines(groups: dict[str, Sequence[ComparedGroup]], figures: Sequence[str]) -> Iterator[str]:
    for word, found in groups.items():
        rows: list[tuple[str, ...]] = [(word, "accounts", "pay", *(f"median {name}" for name in figures))]
        for each in found:
            medians = ("?" if each.medians.get(name) is None else in_words(each.medians[name]) for name in figures)
            rows.append((each.value or "(none)", in_words(each.accounts), in_words(each.pays), *medians))
        yield from align_columns(rows, right=True)
        yield ""
