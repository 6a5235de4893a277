"""`entitlements explain`: a decision with every source that was considered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import check_feature, open_context
from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    AtOption,
    IdOption,
    JsonOption,
    PolicyOption,
    TierOption,
)
from entitlements.model.decision_fields import facts_of
from entitlements.presentation.formatting import align_columns, format_amount, format_named, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from entitlements.cli.console import CliConsole
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.facts import Considered
    from entitlements.model.policy import PolicyData

TraceRow = tuple[str, str, str, str, str]
"""A mark, the source, its value, the verdict, a note."""


def explain(
    account: AccountArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature, a feature:level, or a limit.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show why an account has a feature, or does not.

    Lists every tier, add-on, grant and override that was considered: its value, and why it
    won or lost. Exits with 0, whatever the decision is.
    """
    from entitlements.cli.console import CliConsole

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, at=at, key=id)
    check_feature(context.policy, name, account)
    decision = context.enforcer.decide(context.account, name)
    console = CliConsole()
    lines = _lines(console, decision, context.enforcer.entitlements(context.account))
    console.write_answer(decision.to_dict, lines, as_json=as_json)
    return ExitCode.YES


def _lines(console: CliConsole, decision: Decision, entitlements: Entitlements) -> Iterator[str | Text]:
    from rich.text import Text

    from entitlements.cli.sentences import decision_sentence

    yield decision_sentence(decision, entitlements)
    yield ""
    facts = dict(_facts(decision, entitlements.policy))
    width = max(map(len, facts))
    for word, text in facts.items():
        yield Text.assemble((f"{word:<{width}}", "dim"), f"  {text}")
    if decision.trace:
        yield ""
        yield from _trace_lines(console, decision, entitlements.policy)


def _facts(decision: Decision, policy: PolicyData) -> Iterator[tuple[str, str]]:
    """Yield the facts of the decision that the sentence leaves out."""
    from entitlements.presentation.sentences import remedy_text

    yield "reason", decision.reason.value
    if facts_of(decision).size is not None:
        yield "limit", format_named(policy, decision.feature, facts_of(decision).size)
        limit = facts_of(decision).limit
        if limit is not None and limit.per:
            yield "per", f"{limit.per}: each has a meter of its own"
        if limit is not None and limit.lease is not None:
            yield "lease", f"{format_amount(limit, limit.lease)} at most, spent without asking the store"
    yield "tier", decision.tier or "none"
    yield "source", decision.source
    if not decision.allowed:
        yield "remedy", remedy_text(decision.remedy) if decision.remedy else "none"
    yield "policy", decision.policy
    yield "valid until", format_time(decision.valid_until) if decision.valid_until else "nothing is due to change"


def _trace_lines(console: CliConsole, decision: Decision, policy: PolicyData) -> Iterator[Text]:
    """Yield the trace as a table; if it is too wide, each note follows in lines of its own."""
    from rich.text import Text

    from entitlements.cli.wrap import wrap_text
    from entitlements.model.reasons import Verdict

    mark = ">" if console.is_ascii else "▸"
    rows = [("", "considered", "says", "", ""), *(_row(decision, each, policy, mark) for each in decision.trace)]
    heading, *lines = align_columns(rows)
    width = console.wrap_width
    is_narrow = width is not None and max(map(len, [heading, *lines])) > width
    if is_narrow:
        heading, *lines = align_columns([row[:4] for row in rows])
    styles = {Verdict.WON: "bold green", Verdict.BASE: "", Verdict.RAISED: ""}
    indent = max(len(row[0]) for row in rows) + 4
    yield Text(heading, "dim")
    for line, row, considered in zip(lines, rows[1:], decision.trace, strict=True):
        style = styles.get(considered.verdict, "dim")
        yield Text(line, style)
        if is_narrow and row[4]:
            for part in wrap_text(row[4], max(20, (width or 80) - indent)):
                yield Text(" " * indent + part, style)


def _row(decision: Decision, considered: Considered, policy: PolicyData, mark: str) -> TraceRow:
    from entitlements.model.reasons import Verdict
    from entitlements.presentation.sentences import considered_text

    value = considered_text(policy, decision.feature.partition(":")[0], considered)
    has_won = considered.verdict is Verdict.WON
    return mark if has_won else "", considered.source, value, considered.verdict.value, considered.note
