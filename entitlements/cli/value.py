"""`entitlements value`: what a tier promises under one key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, JsonOption, PolicyOption, TierOption

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements

TreeCharacters = tuple[str, str, str, str]
TREE: TreeCharacters = ("├── ", "└── ", "│   ", "    ")
ASCII_TREE: TreeCharacters = ("|-- ", "`-- ", "|   ", "    ")


def value(
    account: AccountArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key of the values, or a node above some.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show what an account is promised under a key.

    A node above several keys is shown as a tree, a list with one line for each item.
    Exits with 1 where the value is not included.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask, check_key
    from entitlements.cli.exit_codes import ExitCode
    from entitlements.model.display import in_json
    from entitlements.model.limits import NOT_INCLUDED

    asked = ask(account, policy=policy, accounts=accounts, tier=tier, at=at)
    check_key(asked.policy, key, account)
    entitlements = asked.enforcer.entitlements(asked.account)
    found = entitlements.value(key)
    screen = CliConsole()
    if as_json:
        screen.put_json({"account": account, "tier": entitlements.tier, "key": key, "value": in_json(found)})
    else:
        screen.put("\n".join(_lines(entitlements, key, found, ASCII_TREE if screen.is_ascii else TREE)))
    return ExitCode.NO if found is NOT_INCLUDED else ExitCode.YES


def _lines(entitlements: Entitlements, key: str, found: object, signs: TreeCharacters) -> list[str]:
    """Return the lines that show a value: a tree below a node, one line for each item of a list."""
    from entitlements.cli.formatting import of_name, promised
    from entitlements.model.display import in_words

    if key in entitlements.values:
        if found is None:
            return [promised(entitlements.values.get(f"{key}.label"))]
        if isinstance(found, tuple):
            return [in_words(item) for item in found]
    elif isinstance(found, Mapping):
        return [key, *_tree(found, "", signs)]
    return [of_name(entitlements.policy, key, found)]


def _tree(node: Mapping[str, object], indent: str, signs: TreeCharacters) -> Iterator[str]:
    """Return one line for each key below *node*; names beside each other are padded alike."""
    from entitlements.cli.formatting import promised
    from entitlements.model.display import in_words

    shown = {word: item for word, item in node.items() if not _is_label(word, node)}
    width = max((len(word) for word, item in shown.items() if not isinstance(item, Mapping)), default=0)
    for at, (word, item) in enumerate(shown.items(), start=1):
        branch, below = (signs[1], signs[3]) if at == len(shown) else (signs[0], signs[2])
        if isinstance(item, Mapping):
            yield f"{indent}{branch}{word}"
            yield from _tree(item, indent + below, signs)
        else:
            text = promised(node.get(f"{word}.label")) if item is None else in_words(item)
            yield f"{indent}{branch}{word:<{width}}  {text}"


def _is_label(word: str, node: Mapping[str, object]) -> bool:
    """Say whether *word* is the text of a missing commitment beside it."""
    base, dot, last = word.rpartition(".")
    return bool(dot) and last == "label" and base in node and node[base] is None
