"""`entitlements conversion`: the conversion metrics of a file of journeys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import open_policy
from entitlements.cli.options import JsonOption, PolicyOption
from entitlements.cli.usage_source import parse_pairs
from entitlements.errors import AccountError
from entitlements.model.display import in_words
from entitlements.model.names import nearest_or_all
from entitlements.presentation.formatting import first_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from entitlements.tiering.conversion import ConversionMetrics, Journey

_NEEDED = ("account", "plan", "started")
_MOMENTS = ("activated", "converted", "last_seen")
_OTHERS = ("features", "left_at")
SHOWN = 10


def conversion(
    journeys: Annotated[
        str, typer.Argument(metavar="JOURNEYS", help="A CSV file with a row for each account.", show_default=False)
    ],
    *,
    policy: PolicyOption = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", metavar="NAME=HEADING", help="The column of a name, such as started; may be repeated."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show how many trials and free accounts became customers, and where the others stopped.

    The file has the columns account, plan and started, and may have activated, converted,
    last-seen, features (separated by `;`) and left-at. Exits with 1 if a row cannot be read.
    """
    from entitlements.cli.console import CliConsole, warn
    from entitlements.tiering.conversion import conversion_metrics

    loaded = open_policy(policy)
    problems: list[str] = []
    remarks: list[str] = []
    found = list(_journeys(journeys, parse_pairs("--column", column, "started=HEADING"), problems, remarks))
    known = [each for each in found if loaded.tier(each.plan) is not None]
    problems += [
        f"{journeys}: account {each.account!r}: plan {each.plan!r} is no tier{nearest_or_all(each.plan, loaded.ids)}"
        for each in found
        if loaded.tier(each.plan) is None
    ]
    metrics = conversion_metrics(loaded, known)
    CliConsole().write_answer(
        lambda: metrics.to_dict() | {"accounts": len(known), "problems": problems, "remarks": remarks},
        _lines(metrics, len(known)),
        as_json=as_json,
    )
    warn(*remarks)
    warn(*first_lines(problems, SHOWN, "… and {:,} more problems: --json tells all"), style="red")
    return ExitCode.NO if problems else ExitCode.YES


def _journeys(path: str, given: Mapping[str, str], problems: list[str], remarks: list[str]) -> Iterator[Journey]:
    """Yield the journey of each row that can be read; the others become problems."""
    from entitlements.accounts.csv.table import read_table

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise AccountError(f"{path}: the file cannot be read ({error.strerror}); name a CSV file") from None
    table = read_table(path, data, ())
    columns = _columns(path, table.names, given, remarks)
    for line, cells in table.rows:
        fields = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
        try:
            yield _journey(fields)
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")


def _columns(path: str, names: tuple[str, ...], given: Mapping[str, str], remarks: list[str]) -> dict[str, int]:
    """Return the index of each column."""
    from entitlements.accounts.csv.dialect import normalize_heading

    chosen = {normalize_heading(name): normalize_heading(heading) for name, heading in given.items()}
    known = (*_NEEDED, *_MOMENTS, *_OTHERS)
    for name, heading in chosen.items():
        if name not in known:
            raise CommandError(f"--column: {name!r} is no part of a journey{nearest_or_all(name, known)}")
        if heading not in names:
            raise AccountError(f"{path}: no column {given.get(name, heading)!r}{nearest_or_all(heading, names)}")
    columns = {name: names.index(chosen.get(name, name)) for name in known if chosen.get(name, name) in names}
    for name in known:
        if name not in columns and name in _NEEDED:
            has = ", ".join(map(repr, names))
            raise AccountError(f"{path}: no column {name!r}; there are {has}; name it: --column {name}=HEADING")
        if name not in columns:
            text = f"{path}: no column of {name}, so it counts as never; name it: --column {name}=HEADING"
            remarks.append(text)
    return columns


def _journey(fields: Mapping[str, str]) -> Journey:
    """
    Return the journey of a row.

    Raises:
        ValueError: For a cell that cannot be read, naming it.
    """
    from entitlements.accounts.csv.cells import read_moment
    from entitlements.tiering.conversion import Journey

    moments = {}
    for name in ("started", *_MOMENTS):
        try:
            moments[name] = read_moment(fields[name]) if fields.get(name) else None
        except ValueError as error:
            raise AccountError(f"{name}: {error}") from None
    empty = next((name for name in _NEEDED if not fields.get(name)), None)
    started = moments.pop("started")
    if empty is not None or started is None:
        raise AccountError(f"{empty}: the cell is empty; fill it in")
    features = tuple(name.strip() for name in fields.get("features", "").split(";") if name.strip())
    return Journey(
        fields["account"], fields["plan"], started, **moments, features=features, left_at=fields.get("left_at") or None
    )


def _lines(metrics: ConversionMetrics, count: int) -> Iterator[str]:
    rates = (metrics.trial_to_paid, metrics.free_to_paid, metrics.activation)
    trial, free, active = ("not known" if rate is None else f"{rate} %" for rate in rates)
    yield f"accounts              {count:,}"
    yield f"trial sign-ups        {metrics.trial_sign_ups:,}"
    yield f"trial to paid         {trial}"
    yield f"freemium to paid      {free}"
    yield f"activation            {active}"
    engagement = "not known" if metrics.engagement is None else in_words(metrics.engagement)
    yield f"engagement (median)   {engagement}"
    for heading, figures, unit in (
        ("features used", metrics.feature_usage, " %"),
        ("stopped at", metrics.drop_offs, ""),
    ):
        for at, (name, figure) in enumerate(figures.items()):
            yield f"{heading if at == 0 else '':<20}  {name}: {figure}{unit}"
