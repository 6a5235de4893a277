"""`entitlements explain`: a decision with everything that was considered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, JsonOption, PolicyOption, TierOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.cli.console import CliConsole
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.facts import Considered
    from entitlements.model.policy import Policy

TraceRow = tuple[str, str, str, str, str]
"""A mark, the source, what it says, what became of it, a note."""


def explain(
    account: AccountArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature, a feature:level, or a limit.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show why an account has a feature, or has not.

    Shows every tier, add-on, grant and override that was considered: what each says,
    which won, and why the others did not. Exits with 0 whatever the answer is.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask, check_feature
    from entitlements.cli.exit_codes import ExitCode

    asked = ask(account, policy=policy, accounts=accounts, tier=tier, at=at)
    check_feature(asked.policy, name, account)
    decision = asked.enforcer.decide(asked.account, name)
    screen = CliConsole()
    if as_json:
        screen.put_json(decision.to_dict())
    else:
        _show(screen, decision, asked.enforcer.entitlements(asked.account))
    return ExitCode.YES


def _show(screen: CliConsole, decision: Decision, entitlements: Entitlements) -> None:
    from rich.text import Text

    from entitlements.cli.sentences import answer

    screen.show(answer(decision, entitlements))
    screen.print()
    facts = dict(_facts(decision, entitlements.policy))
    width = max(map(len, facts))
    for word, text in facts.items():
        screen.show(Text.assemble((f"{word:<{width}}", "dim"), f"  {text}"))
    if decision.trace:
        screen.print()
        _show_trace(screen, decision, entitlements.policy)


def _facts(decision: Decision, policy: Policy) -> Iterator[tuple[str, str]]:
    """Return what is known beside the sentence, in words."""
    from entitlements.cli.formatting import moment, of_name
    from entitlements.cli.sentences import remedy_words

    yield "reason", decision.reason.value
    if decision.facts.size is not None:
        yield "limit", of_name(policy, decision.feature, decision.facts.size)
    yield "tier", decision.tier or "none"
    yield "source", decision.source
    if not decision.allowed:
        yield "remedy", remedy_words(decision.remedy, policy) if decision.remedy else "none"
    yield "policy", decision.policy
    yield "valid until", moment(decision.valid_until) if decision.valid_until else "nothing is due to change"


def _show_trace(screen: CliConsole, decision: Decision, policy: Policy) -> None:
    """Write what was considered as a table; notes stand in a line of their own where the table gets too wide."""
    from rich.text import Text

    from entitlements.model.facts import Verdict

    mark = ">" if screen.is_ascii else "▸"
    rows = [_row(decision, each, policy, mark) for each in decision.trace]
    head: TraceRow = ("", "considered", "says", "", "")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(5)]
    beside = screen.fold is None or sum(widths) + 2 * 4 <= screen.fold
    styles = {Verdict.WON: "bold green", Verdict.BASE: "", Verdict.RAISED: ""}
    screen.show(Text(_joined(head, widths), "dim"))
    for row, considered in zip(rows, decision.trace, strict=True):
        style = styles.get(considered.verdict, "dim")
        screen.show(Text(_joined(row if beside else (*row[:4], ""), widths), style))
        if not beside and row[4]:
            _show_note(screen, row[4], style, indent=widths[0] + 4)


def _show_note(screen: CliConsole, note: str, style: str, *, indent: int) -> None:
    from rich.text import Text

    from entitlements.cli.wrap import folded

    for line in folded(note, max(20, (screen.fold or 80) - indent)):
        screen.show(Text(" " * indent + line, style))


def _row(decision: Decision, considered: Considered, policy: Policy, mark: str) -> TraceRow:
    from entitlements.cli.formatting import more_of, of_name
    from entitlements.model.facts import Verdict

    name = decision.feature.partition(":")[0]
    says = of_name(policy, name, considered.value)
    if considered.source.startswith(("grant:", "add-on:")) and name in policy.limits:
        number = considered.value
        says = f"+{more_of(policy.limits[name], number) if isinstance(number, int) else says}"
    won = considered.verdict is Verdict.WON
    return mark if won else "", considered.source, says, considered.verdict.value, considered.note


def _joined(row: TraceRow, widths: list[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
