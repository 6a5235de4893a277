"""
The command line: `entitlements COMMAND`, also `python -m entitlements COMMAND`.

| exit code | means |
|---|---|
| 0 | yes; fine; shown |
| 1 | no: denied, not included, or problems found |
| 2 | a wrong option, or an unknown tier, feature, limit or key; typer or rich is not installed |
| 3 | an unknown account |
| 4 | the policy or the accounts cannot be read |
| 5 | the store cannot be reached, or refuses to answer |

Answers go to stdout, errors go to stderr in one line. A terminal gets colours (not with
`NO_COLOR`) and lines that fit its width; a pipe gets plain text, and no line is wrapped.

Begin with `app.py`. Each command has a file of its own, or a folder: `doctor/`, `matrix/`
(for `tiers`) and `crm/`. A command imports the rest of the package when it runs, so that
`--help` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command, and return its exit code.

    Args:
        argv: The words after the program's name; None for those of the process.
    """
    if find_spec("typer") is None or find_spec("rich") is None:  # rich is imported only by commands that need it
        sys.stderr.write("error: the command line needs typer and rich: pip install 'entitlements[cli]'\n")
        return 2

    from entitlements.cli.app import run

    return run(argv)
