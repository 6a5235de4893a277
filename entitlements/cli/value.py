"""`entitlements value`: a configuration value of an account, or a tree of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import check_key, open_context
from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    AtOption,
    IdOption,
    JsonOption,
    PolicyOption,
    TierOption,
)
from entitlements.model.display import in_json, in_words
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.resolution import resolution_of
from entitlements.presentation.formatting import format_named, format_no_commitment

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements

TreeCharacters = tuple[str, str, str, str]
"""A branch, the last branch, and the indents below each."""
TREE: TreeCharacters = ("├── ", "└── ", "│   ", "    ")
ASCII_TREE: TreeCharacters = ("|-- ", "`-- ", "|   ", "    ")


def value(
    account: AccountArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key, or a node above several keys.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show a configuration value of an account.

    A node above several keys is shown as a tree, a list with one item per line. Exits with
    1 if the value is not included.
    """
    from entitlements.cli.console import CliConsole

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, at=at, key=id)
    check_key(context.policy, key, account)
    entitlements = context.enforcer.entitlements(context.account)
    found = entitlements.value(key)
    console = CliConsole()
    console.write_answer(
        lambda: {"account": account, "tier": entitlements.tier, "key": key, "value": in_json(found)},
        _lines(entitlements, key, found, ASCII_TREE if console.is_ascii else TREE),
        as_json=as_json,
    )
    return ExitCode.NO if found is NOT_INCLUDED else ExitCode.YES


def _lines(entitlements: Entitlements, key: str, found: object, characters: TreeCharacters) -> Iterator[str]:
    """Yield the lines of a value: a tree for a node, one line for each item of a list."""
    if key in resolution_of(entitlements).values and found is None:
        yield format_no_commitment(resolution_of(entitlements).values.get(f"{key}.label"))
    elif key in resolution_of(entitlements).values and isinstance(found, tuple):
        yield from map(in_words, found)
    elif key not in resolution_of(entitlements).values and isinstance(found, Mapping):
        yield key
        yield from _tree(found, "", characters)
    else:
        yield format_named(entitlements.policy, key, found)


def _tree(node: Mapping[str, object], indent: str, characters: TreeCharacters) -> Iterator[str]:
    """Yield one line for each key below *node*; sibling names are padded to the same width."""
    shown = {word: item for word, item in node.items() if not _is_label(word, node)}
    width = max((len(word) for word, item in shown.items() if not isinstance(item, Mapping)), default=0)
    branch, last_branch, below, last_below = characters
    for at, (word, item) in enumerate(shown.items(), start=1):
        if at == len(shown):
            branch, below = last_branch, last_below
        if isinstance(item, Mapping):
            yield f"{indent}{branch}{word}"
            yield from _tree(item, indent + below, characters)
        else:
            text = format_no_commitment(node.get(f"{word}.label")) if item is None else in_words(item)
            yield f"{indent}{branch}{word:<{width}}  {text}"


def _is_label(word: str, node: Mapping[str, object]) -> bool:
    """Return True if *word* is the label of a sibling without a commitment."""
    base, dot, last = word.rpartition(".")
    return bool(dot) and last == "label" and base in node and node[base] is None
