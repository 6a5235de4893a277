"""
The command line: `entitlements COMMAND`, also `python -m entitlements COMMAND`.

| exit code | means |
|---|---|
| 0 | yes; fine; shown |
| 1 | no: denied, not included, or problems found |
| 2 | the command cannot be meant: an option, tier, feature, limit or key that there is not |
| 3 | there is no such account |
| 4 | the policy or the accounts cannot be read |
| 5 | the store cannot be reached, or refuses to answer |

Answers go to stdout, what is wrong with the question goes to stderr in one line. On a
terminal an answer is coloured (not with `NO_COLOR`) and fits its width; in a pipe it is
plain and no line is broken. One file per command; the rest of the package is imported
when a command runs, so that `--help` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command, and return its exit code.

    Args:
        argv: The words after the program's name; None takes the process's own.
    """
    from entitlements.cli.app import run

    return run(argv)
