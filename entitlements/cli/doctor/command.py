"""`entitlements doctor`: findings about the servers of a store, each with its cure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.loading import check_store
from entitlements.cli.options import JsonOption, StrictOption
from entitlements.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from entitlements.cli.doctor.facts import StoreFacts, StoreFinding

STYLES = {"fine": "green", "unknown": "dim", "warning": "bold yellow", "problem": "bold red"}
NOUNS = {
    "fine": ("fine", "fine"),
    "unknown": ("not to be seen from here", "not to be seen from here"),
    "warning": ("warning", "warnings"),
    "problem": ("problem", "problems"),
}
"""The singular and plural of each severity in the total."""


def doctor(
    url: Annotated[
        str,
        typer.Argument(
            metavar="STORE_URL",
            envvar="ENTITLEMENTS_STORE",
            callback=check_store,
            show_default=False,
            help="redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, as the application writes it.",
        ),
    ],
    *,
    samples: Annotated[int, typer.Option("--samples", min=1, max=100_000, help="Round trips to measure.")] = 200,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> int:
    """
    Check the servers of a store.

    Checks version, topology, persistence, eviction, memory, replicas, rights, clock, round
    trips and TLS, and names the cure of each problem. It charges an account of its own, and
    deletes it. Exits with 1 for a problem; warnings count with --strict only.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.doctor.facts import FindingSeverity, StoreFinding
    from entitlements.cli.doctor.findings import findings_of
    from entitlements.cli.doctor.queries import facts_of

    facts, code = None, ExitCode.YES
    try:
        facts = facts_of(url, samples)
        findings = findings_of(facts)
    except StoreError as error:
        found, _, cure = str(error).partition(": ")[2].partition("; ")
        findings, code = (StoreFinding("connection", FindingSeverity.PROBLEM, found, cure),), ExitCode.NO_STORE
    failing = {"problem", "warning"} if strict else {"problem"}
    if code is ExitCode.YES and any(each.severity in failing for each in findings):
        code = ExitCode.NO
    console = CliConsole()
    console.write_answer(
        lambda: _to_json(url, facts, findings, is_fit=code is ExitCode.YES),
        _lines(findings, console.wrap_width, is_ascii=console.is_ascii),
        as_json=as_json,
    )
    return code


def _lines(findings: Sequence[StoreFinding], width: int | None, *, is_ascii: bool) -> Iterator[Text]:
    """Yield each finding, its cure in lines of its own, and the total."""
    from rich.text import Text

    from entitlements.cli.wrap import wrap_text

    check_width = max(len(each.check) for each in findings)
    indent = " " * (9 + check_width + 2)
    room = width and max(30, width - len(indent))
    arrow = "-> " if is_ascii else "→ "
    for each in findings:
        servers = f"{', '.join(each.servers)}: " if each.servers else ""
        first, *rest = wrap_text(servers + each.found, room)
        severity = (f"{each.severity.value:<9}", STYLES[each.severity])
        yield Text.assemble(severity, f"{each.check:<{check_width}}  {first}")
        yield from (Text(indent + line) for line in rest)
        if each.cure:
            cure = wrap_text(arrow + each.cure, room, " " * len(arrow))
            yield from (Text(indent + line, "green") for line in cure)
    counts = _counts(findings)
    totals = [f"{count} {NOUNS[severity][count != 1]}" for severity, count in reversed(counts.items()) if count]
    yield Text(", ".join(totals), "bold")


def _counts(findings: Sequence[StoreFinding]) -> dict[str, int]:
    """Return the number of findings by severity."""
    return {severity: sum(each.severity == severity for each in findings) for severity in STYLES}


def _to_json(
    url: str, facts: StoreFacts | None, findings: Sequence[StoreFinding], *, is_fit: bool
) -> dict[str, object]:
    from entitlements.cli.doctor.round_trips import percentiles
    from entitlements.stores.redis.url import redacted

    read: dict[str, object] = {}
    if facts:
        read = {
            "topology": facts.topology,
            "namespace": facts.namespace,
            "charge_us": percentiles(facts.round_trips),
            "servers": [
                {
                    "place": server.address,
                    **{name: server.hello.get(name) for name in ("server", "version", "mode", "role")},
                    "clock_ahead_us": server.offset and server.offset.ahead,
                    "clock_within_us": server.offset and server.offset.within,
                    "ping_us": percentiles(server.round_trips),
                }
                for server in facts.servers
            ],
        }
    return {
        "store": redacted(url),
        "fit": is_fit,
        **read,
        "counts": _counts(findings),
        "findings": [asdict(each) | {"cure": each.cure or None} for each in findings],
    }
