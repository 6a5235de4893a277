"""Report of the raw figures in Markdown: medians over the rounds with least and greatest, ratios within a round."""

from __future__ import annotations

from benchmarks.hot.figures import spread
from benchmarks.hot.plan import WORDS

DISTURBED = 0.05
"""Share of a run for which client and server waited for a processor that others used; above it, the row says so."""
HEADS = {
    "times": ("p50 µs", "p99", "p99.9", "x base (min to max)", "client CPU µs", "server CPU µs", "in scripts µs"),
    "open": (
        "p50 µs", "p99", "p99.9", "p99 of the median quarter second", "x base (min to max)", "client CPU µs",
        "server CPU µs",
    ),
    "sustained": ("calls/s", "x base (min to max)", "p50 µs", "p99", "client CPU µs", "server CPU µs"),
    "throughput": (
        "decisions/s", "x base (min to max)", "p50 ms", "p99", "p99.9", "client CPU µs", "server CPU µs",
        "in scripts µs", "commands", "bytes in / out",
    ),
    "bytes": ("bytes per account", "keys", "x base (min to max)"),
    "window": ("most in any window", "÷ limit"),
}  # fmt: skip


def written(raw: dict, sections: list) -> str:
    """Return all tables, one for each section and server."""
    parts = ["# A recorded run", f"{raw['machine']}; {raw['rounds']} rounds. {_versions(raw)}"]
    parts += [f"Left out: {name}: {reason}" for name, reason in raw["left_out"].items()]
    for section in sections:
        for server, version in raw["servers"].items():
            parts.append(f"## {section.title} ({server}, {version})\n\n" + _table(raw, section, server))
    return "\n\n".join(parts)


def _versions(raw):
    found = {}
    for record in raw["records"]:
        for name, version in record["figures"].get("versions", {}).items():
            found.setdefault(name, set()).add(version)
    return ", ".join(f"{name} {' and '.join(sorted(each))}" for name, each in sorted(found.items()))


def _table(raw, section, server):
    of = {case: _rounds(raw, section, server, case) for case in section.cases}
    base = of.get(section.base, {})
    heads = ("", *(_head(each, section) for each in HEADS[section.shape]))
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for case, rounds in of.items():
        good = {number: each for number, each in rounds.items() if "error" not in each}
        if good:
            cells = _CELLS[section.shape](good, {n: each for n, each in base.items() if "error" not in each})
        else:
            why = next((each["error"] for each in rounds.values()), "left out")
            cells = [why[:80]] + [""] * (len(heads) - 2)
        lines.append("| " + " | ".join((WORDS[case] + _marks(rounds, section), *cells)) + " |")
    return "\n".join(lines)


def _head(head, section):
    return head.replace("x base", f"x {section.base}") if section.base else head.replace("x base (min to max)", "")


def _rounds(raw, section, server, case):
    wanted = (section.name, server, case)
    return {
        each["round"]: each["figures"]
        for each in raw["records"]
        if (each["section"], each["server"], each["case"]) == wanted
    }


def _marks(rounds, section):
    """Return the remarks of a row: rounds that failed or were disturbed, decisions made without the server."""
    failed = sum("error" in each for each in rounds.values())
    degraded = sum(each.get("degraded", 0) for each in rounds.values())
    unanswered = sum(each.get("unanswered", 0) for each in rounds.values())
    said = [f"failed in {failed} of {len(rounds)} rounds"] if failed else []
    said += [f"{degraded:,} decisions without the server"] if degraded else []
    said += [f"{unanswered:,} unanswered"] if unanswered else []
    behind = sum(each.get("meant", 0) > 1.05 * each.get("decided_in_time", 0) for each in rounds.values())
    disturbed = section.trip is None and sum(each.get("waited", 0) > DISTURBED for each in rounds.values())
    said += [f"disturbed in {disturbed} of {len(rounds)} rounds"] if disturbed else []
    said += [f"fell behind in {behind} of {len(rounds)} rounds"] if behind else []
    return f" ({', '.join(said)})" if said else ""


def _median(rounds, *path):
    values = []
    for each in rounds.values():
        for name in path:
            each = each[name]  # noqa: PLW2901
        values.append(each)
    return spread(values)


def _range(rounds, *path, scale=1.0, digits=0):
    middle, low, high = (scale * each for each in _median(rounds, *path))
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def _one(rounds, *path, scale=1.0, digits=1):
    return f"{scale * _median(rounds, *path)[0]:,.{digits}f}"


def _ratio(rounds, base, *path):
    both = [number for number in rounds if number in base]
    if not both:
        return ""
    each = [_at(rounds[number], path) / _at(base[number], path) for number in both]
    return "{:.2f} ({:.2f}–{:.2f})".format(*spread(each))


def _at(figures, path):
    for name in path:
        figures = figures[name]
    return figures


def _times(rounds, base):
    digits = 0 if _median(rounds, "us", "p50")[0] >= 10 else 2
    return [
        _range(rounds, "us", "p50", digits=digits),
        _range(rounds, "us", "p99", digits=digits),
        _range(rounds, "us", "p999", digits=digits),
        _ratio(rounds, base, "us", "p50"),
        _one(rounds, "client_cpu_us"),
        _one(rounds, "server_cpu_us"),
        _one(rounds, "server_command_us"),
    ]


def _open(rounds, base):
    return [
        _range(rounds, "us", "p50"),
        _range(rounds, "us", "p99"),
        _range(rounds, "us", "p999"),
        _range(rounds, "quarter", "p99"),
        _ratio(rounds, base, "quarter", "p99"),
        _one(rounds, "client_cpu_us"),
        _one(rounds, "server_cpu_us"),
    ]


def _sustained(rounds, base):
    return [
        _range(rounds, "rate"),
        _ratio(rounds, base, "rate"),
        _one(rounds, "us", "p50", digits=0),
        _one(rounds, "us", "p99", digits=0),
        _one(rounds, "client_cpu_us"),
        _one(rounds, "server_cpu_us"),
    ]


def _throughput(rounds, base):
    return [
        _range(rounds, "rate"),
        _ratio(rounds, base, "rate"),
        _one(rounds, "us", "p50", scale=0.001, digits=2),
        _one(rounds, "us", "p99", scale=0.001, digits=2),
        _one(rounds, "us", "p999", scale=0.001, digits=2),
        _one(rounds, "client_cpu_us"),
        _one(rounds, "server_cpu_us"),
        _one(rounds, "server_command_us"),
        _one(rounds, "commands"),
        f"{_one(rounds, 'bytes_in', digits=0)} / {_one(rounds, 'bytes_out', digits=0)}",
    ]


def _bytes(rounds, base):
    return [_range(rounds, "bytes"), _one(rounds, "keys"), _ratio(rounds, base, "bytes")]


def _window(rounds, base):
    return [_range(rounds, "most"), _range(rounds, "ratio", digits=2)]


_CELLS = {
    "times": _times, "open": _open, "sustained": _sustained, "throughput": _throughput, "bytes": _bytes,
    "window": _window,
}  # fmt: skip
