"""The report about an assignment: its segments, the accounts that moved, and the problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.cli.formatting import align_columns
from entitlements.model.display import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.crm import Assigned, Moves
    from entitlements.policy import Policy

SHOWN = 20
"""Names and problems that are listed; JSON lists all of them."""


def report_lines(
    policy: Policy, assigned: Assigned, moves: Moves | None, measure: str, output: str | None
) -> Iterator[str]:
    """
    Yield the report.

    Args:
        policy: The policy.
        assigned: The rows with their tiers.
        moves: The differences from an older file, if one was given.
        measure: The criterion that the segments add up.
        output: The file that was written, if any.
    """
    rows: list[tuple[str, ...]] = [("tier", "accounts", f"total {measure}", "share", "least", "most")]
    for each in assigned.segments:
        share = "" if each.share is None else f"{each.share} %"
        ends = ("" if end is None else in_words(end) for end in (each.least, each.most))
        rows.append((each.tier or "(no tier)", in_words(each.accounts), in_words(each.total), share, *ends))
    yield from align_columns(rows, right=True)
    kept = sum(result.kept for result in assigned.results.values())
    if kept:
        yield f"{kept} of these keep a tier that policy {policy.version} does not know"
    if moves is not None:
        yield ""
        yield from _move_lines(moves)
    if output is not None:
        yield f"written: {output}"


def report_json(assigned: Assigned, moves: Moves | None) -> dict[str, object]:
    """Return the report, with every row and problem, for JSON."""
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


def warn_of_problems(assigned: Assigned) -> None:
    """Write the first problems to stderr, and the number of the others."""
    from entitlements.cli.console import warn
    from entitlements.model.problem import Severity

    for problem in assigned.problems[:SHOWN]:
        warn(str(problem), style="red" if problem.severity is Severity.ERROR else "yellow")
    if len(assigned.problems) > SHOWN:
        warn(f"… and {len(assigned.problems) - SHOWN:,} more problems: --json tells all", style="red")


def _move_lines(moves: Moves) -> Iterator[str]:
    yield f"{len(moves.moved)} moved, {moves.same} stayed, {len(moves.new)} new, {len(moves.gone)} gone"
    for word, up in (("up", True), ("down", False), ("other", None)):
        yield from (f"  {word:<5}  {move}" for move in moves.moved if move.up is up)
    for word, names in (("new", moves.new), ("gone", moves.gone), ("twice", moves.doubtful)):
        yield from (f"  {word:<5}  {name}" for name in names[:SHOWN])
        if len(names) > SHOWN:
            yield f"  {word:<5}  … and {len(names) - SHOWN:,} more"
