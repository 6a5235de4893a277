"""`entitlements doctor`: whether a server is fit to keep meters, and what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import JsonOption, checked_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.cli.console import CliConsole
    from entitlements.cli.doctor.facts import StoreFacts, StoreFinding


def doctor(
    url: Annotated[
        str,
        typer.Argument(
            metavar="STORE_URL",
            envvar="ENTITLEMENTS_STORE",
            callback=checked_store,
            show_default=False,
            help="redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, as the application writes it.",
        ),
    ],
    *,
    samples: Annotated[int, typer.Option("--samples", min=1, max=100_000, help="Round trips to measure.")] = 200,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings count as problems.")] = False,
    as_json: JsonOption = False,
) -> int:
    """
    Examine the server that counts.

    Looks at version, topology, persistence, eviction, memory, replicas, rights, clock,
    round trips and TLS, and says of each what to change. It charges an account of its own,
    and deletes it. Exits with 1 for a problem; warnings count with --strict only.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.doctor.facts import FindingSeverity, StoreFinding
    from entitlements.cli.doctor.findings import findings_of
    from entitlements.cli.doctor.queries import facts_of
    from entitlements.cli.exit_codes import ExitCode
    from entitlements.errors import StoreError

    facts, code = None, ExitCode.YES
    try:
        facts = facts_of(url, samples)
        findings: tuple[StoreFinding, ...] = findings_of(facts)
    except StoreError as error:
        found, _, cure = str(error).partition(": ")[2].partition("; ")
        findings, code = (StoreFinding("connection", FindingSeverity.PROBLEM, found, cure),), ExitCode.NO_STORE
    bad = (FindingSeverity.PROBLEM, FindingSeverity.WARNING) if strict else (FindingSeverity.PROBLEM,)
    if code is ExitCode.YES and any(each.severity in bad for each in findings):
        code = ExitCode.NO
    screen = CliConsole()
    if as_json:
        screen.put_json(_plain(url, facts, findings, fine=code is ExitCode.YES))
    else:
        _show(screen, findings)
    return code


def _show(screen: CliConsole, findings: Sequence[StoreFinding]) -> None:
    """Write each finding in a line, its cure in another below it, and count them."""
    from rich.text import Text

    from entitlements.cli.doctor.facts import FindingSeverity

    styles = {
        FindingSeverity.FINE: "green",
        FindingSeverity.UNKNOWN: "dim",
        FindingSeverity.WARNING: "bold yellow",
        FindingSeverity.PROBLEM: "bold red",
    }
    wide = max(len(each.check) for each in findings)
    indent = " " * (9 + wide + 2)
    width = screen.fold and max(30, screen.fold - len(indent))
    arrow = "-> " if screen.is_ascii else "→ "
    for each in findings:
        where = f"{', '.join(each.places)}: " if each.places else ""
        first, *rest = _fitted(where + each.found, width)
        screen.show(
            Text.assemble((f"{each.severity.value:<9}", styles[each.severity]), f"{each.check:<{wide}}  {first}")
        )
        for line in rest:
            screen.show(Text(indent + line))
        for line in _fitted(arrow + each.cure, width, " " * len(arrow)) if each.cure else ():
            screen.show(Text(indent + line, "green"))
    screen.show(Text(_total(findings), "bold"))


def _fitted(text: str, width: int | None, indent: str = "") -> list[str]:
    from entitlements.cli.wrap import folded

    return [text] if width is None else folded(text, width, indent)


def _total(findings: Sequence[StoreFinding]) -> str:
    from entitlements.cli.doctor.facts import FindingSeverity

    counts = [
        (sum(each.severity is severity for each in findings), words)
        for severity, words in (
            (FindingSeverity.PROBLEM, ("problem", "problems")),
            (FindingSeverity.WARNING, ("warning", "warnings")),
            (FindingSeverity.UNKNOWN, ("not to be seen from here",) * 2),
            (FindingSeverity.FINE, ("fine",) * 2),
        )
    ]
    return ", ".join(f"{number} {words[number != 1]}" for number, words in counts if number)


def _plain(url: str, facts: StoreFacts | None, findings: Sequence[StoreFinding], *, fine: bool) -> dict[str, object]:
    from entitlements.cli.doctor.facts import FindingSeverity
    from entitlements.cli.doctor.round_trips import percentiles
    from entitlements.stores.redis.url import redacted

    counts = {f"{each.value}": sum(found.severity is each for found in findings) for each in FindingSeverity}
    seen: dict[str, object] = {}
    if facts:
        seen = {
            "topology": facts.topology,
            "namespace": facts.namespace,
            "charge_us": percentiles(facts.trips),
            "servers": [
                {
                    "place": node.place,
                    **{name: node.hello.get(name) for name in ("server", "version", "mode", "role")},
                    "clock_ahead_us": node.offset and node.offset.ahead,
                    "clock_within_us": node.offset and node.offset.within,
                    "ping_us": percentiles(node.trips),
                }
                for node in facts.nodes
            ],
        }
    return {
        "store": redacted(url),
        "fit": fine,
        **seen,
        "counts": counts,
        "findings": [
            {
                "check": each.check,
                "severity": each.severity.value,
                "found": each.found,
                "cure": each.cure or None,
                "servers": list(each.places),
            }
            for each in findings
        ],
    }
