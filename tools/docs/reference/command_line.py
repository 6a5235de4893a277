"""The command line, from the commands of typer."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from entitlements.cli.app import _program
from entitlements.cli.examples import EXAMPLES
from entitlements.cli.exit_codes import MEANINGS
from tools.docs.reference.markdown import table

INTRO = """# Command line

`entitlements COMMAND --help` shows what this page lists. The [environment](environment.md) sets defaults.
The package needs its extra `cli`; `entitlements --install-completion` adds completion to a shell.

"""
HELP = {"help", "install_completion", "show_completion"}


PICTURES = Path(__file__).resolve().parents[3] / "docs" / "pictures"
SHARED = 6
"""An option that means the same in as many commands stands in one table for all of them."""


def pages() -> dict[str, str]:
    """Return the page of the command line."""
    found = sorted(_commands(_program(is_styled=False)))
    many = Counter(record for name, each in found for record in _records(name, each, "option"))
    shared = {record for record, count in many.items() if count >= SHARED}
    index = table(("command", "does"), ((f"[`{name}`](#{_anchor(name)})", _sentence(each)) for name, each in found))
    codes = table(("exit code", "meaning"), ((f"`{code.value}`", meaning) for code, meaning in MEANINGS.items()))
    codes = f"\n## Exit codes\n\nNo code ever changes its meaning.\n\n{codes}"
    options = f"\n## Shared options\n\n{table(('option', 'meaning'), sorted(shared))}"
    texts = (text for name, each in found for text in _command(name, each, shared))
    return {"command-line.md": INTRO + index + codes + options + "".join(texts)}


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _sentence(command: Any) -> str:
    return inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " ")


def _anchor(name: str) -> str:
    return f"entitlements-{name.replace(' ', '-')}"


def _records(name: str, command: Any, kind: str) -> list[tuple[str, str]]:
    """Return the spelling and the meaning of each argument, or of each option."""
    context = command.make_context(name, [], resilient_parsing=True)
    params = [each for each in command.params if each.param_type_name == kind and each.name not in HELP]
    records = [each.get_help_record(context) for each in params]
    return [(f"`{record[0]}`", " ".join(record[1].split())) for record in records if record]


def _command(name: str, command: Any, shared: set[tuple[str, str]]) -> Iterator[str]:
    yield f"\n## entitlements {name}\n\n{inspect.cleandoc(command.help or '').strip()}\n"
    examples = EXAMPLES.get(name, EXAMPLES.get(name.removesuffix(" show"), ()))
    if examples:
        yield "\n```console\n" + "".join(f"$ entitlements {each}\n" for each in examples) + "```\n"
    if (PICTURES / f"{name}.svg").exists():
        yield f"\n![What a terminal shows of entitlements {name}](../pictures/{name}.svg)\n"
    if taken := _records(name, command, "argument"):
        yield "\n" + table(("argument", "meaning"), taken)
    options = _records(name, command, "option")
    if own := [each for each in options if each not in shared]:
        yield "\n" + table(("option", "meaning"), own)
    if common := [record[0].split()[0].strip("`,") for record in options if record in shared]:
        also = "Also takes" if own or taken else "Takes"
        yield f"\n{also} {', '.join(f'`{each}`' for each in common)} ([shared options](#shared-options)).\n"
