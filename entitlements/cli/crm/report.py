"""The report about an assignment: its segments, the accounts that moved, and the problems."""

from __future__ import annotations

from collections.abc import Iterator

from entitlements.cli.console import CliConsole, warn
from entitlements.crm import Assigned, Moves
from entitlements.model.display import in_words
from entitlements.model.problem import Severity
from entitlements.policy import Policy
from entitlements.presentation.formatting import align_columns, first_lines

SHOWN = 20
"""Names and problems that are listed; JSON lists all of them."""


def write_report(
    policy: Policy, assigned: Assigned, moves: Moves | None, measure: str, *, output: str | None, as_json: bool
) -> None:
    """
    Write the report to stdout; without `--json`, also the problems to stderr.

    Args:
        policy: The policy.
        assigned: The rows with their tiers.
        moves: The differences from an older file, if one was given.
        measure: The criterion that the segments add up.
        output: The file that was written, if any.
        as_json: The option `--json`.
    """
    lines = [*_segment_lines(policy, assigned, measure), *_move_lines(moves)]
    lines += [] if output is None else [f"written: {output}"]
    CliConsole().write_answer(lambda: _to_json(assigned, moves), lines, as_json=as_json)
    if as_json:
        return
    for problem in assigned.problems[:SHOWN]:
        warn(str(problem), style="red" if problem.severity is Severity.ERROR else "yellow")
    if len(assigned.problems) > SHOWN:
        warn(f"… and {len(assigned.problems) - SHOWN:,} more problems: --json tells all", style="red")


def _segment_lines(policy: Policy, assigned: Assigned, measure: str) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("tier", "accounts", f"total {measure}", "share", "least", "most")]
    for each in assigned.segments:
        share = "" if each.share is None else f"{each.share} %"
        ends = ("" if end is None else in_words(end) for end in (each.least, each.most))
        rows.append((each.tier or "(no tier)", in_words(each.accounts), in_words(each.total), share, *ends))
    yield from align_columns(rows, right=True)
    kept = sum(result.kept for result in assigned.results.values())
    if kept:
        yield f"{kept} of these keep a tier that policy {policy.version} does not know"


def _to_json(assigned: Assigned, moves: Moves | None) -> dict[str, object]:
    """Return the report with every row and problem."""
    rows = [
        {"line": each.line, "account": each.account, "tier": each.tier, "kept": each.before if each.kept else None}
        | {"reason": each.reason}
        for each in assigned.results.values()
    ]
    problems = [
        {"line": each.line, "field": each.path, "problem": each.problem, "cure": each.cure, "severity": each.severity}
        for each in assigned.problems
    ]
    whole: dict[str, object] = {"segments": [each.to_dict() for each in assigned.segments]}
    whole |= {} if moves is None else {"moves": moves.to_dict()}
    return whole | {"rows": rows, "problems": problems}


def _move_lines(moves: Moves | None) -> Iterator[str]:
    if moves is None:
        return
    yield ""
    yield f"{len(moves.moved)} moved, {moves.same} stayed, {len(moves.new)} new, {len(moves.gone)} gone"
    for word, up in (("up", True), ("down", False), ("other", None)):
        yield from (f"  {word:<5}  {move}" for move in moves.moved if move.up is up)
    for word, names in (("new", moves.new), ("gone", moves.gone), ("twice", moves.doubtful)):
        lines = [f"  {word:<5}  {name}" for name in names]
        yield from first_lines(lines, SHOWN, f"  {word:<5}  … and {{:,}} more")
