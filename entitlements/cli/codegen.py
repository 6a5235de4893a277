"""`entitlements codegen`: the names of a policy as a Python module for type checkers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.files import write_atomically
from entitlements.cli.loading import open_policy

if TYPE_CHECKING:
    from entitlements.model.policy import PolicyData

HEAD = '''\
"""Names of the policy; written by `entitlements codegen`, which writes it again after a change of the policy."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, {imports}, TypeAlias, cast, overload

import entitlements
from entitlements.typed import (
    TypedAsyncBoundAccount,
    TypedAsyncEnforcer,
    TypedBoundAccount,
    TypedCan,
    TypedEnforcer,
)

if TYPE_CHECKING:
    from entitlements import AsyncEnforcer, Enforcer
    from entitlements.handles import AsyncBoundAccount, BoundAccount
'''

TAIL = '''
Asked: TypeAlias = "FeatureName | LimitName | Feature | Limit"
"""Names that `can` and `decide` know."""
Counted: TypeAlias = "LimitName | Limit"
"""Names that `consume` knows."""

can = cast("TypedCan[Asked]", entitlements.can)
"""The module-level `can`."""


@overload
def typed(enforcer: Enforcer) -> TypedEnforcer[Asked, Counted, ValueKey]: ...
@overload
def typed(enforcer: AsyncEnforcer) -> TypedAsyncEnforcer[Asked, Counted, ValueKey]: ...
@overload
def typed(enforcer: BoundAccount) -> TypedBoundAccount[Asked, Counted, ValueKey]: ...
@overload
def typed(enforcer: AsyncBoundAccount) -> TypedAsyncBoundAccount[Asked, Counted, ValueKey]: ...
def typed(enforcer: object) -> object:
    """Return the same enforcer, or the same handle of an account; a type checker knows the names that it takes."""
    return enforcer
'''


def codegen(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="A policy file, or a folder of them.", show_default=False)
    ],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The module to write. Default: stdout.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if --output is not up to date.")
    ] = False,
) -> int:
    """
    Write the names of a policy as types, so that a type checker finds a misspelt one.

    The module has Literal types and enums of the names, and typed(enforcer), which takes no others; typed(account)
    does the same for the handle of an account.
    Example: entitlements codegen policy.yaml -o names.py
    """
    from entitlements.cli.console import CliConsole

    text = names_module(open_policy(policy))
    if check:
        if output is None:
            raise CommandError("--check compares a file; name it: --output FILE")
        path = Path(output)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return ExitCode.YES
        CliConsole().write(f"{output} is not up to date: entitlements codegen {policy} -o {output}\n")
        return ExitCode.NO
    if output is None:
        CliConsole().write(text)
    else:
        write_atomically(output, [text.encode("utf-8")])
    return ExitCode.YES


def names_module(policy: PolicyData) -> str:
    """Return the source text of the module; the same for every policy with the same names."""
    levels = [f"{each.name}:{level}" for each in policy.features.values() for level in each.levels]
    asked = [*policy.features, *levels]
    keys = sorted({*policy.keys, *policy.nodes, *(each.name for each in policy.features.values() if each.levels)})
    literals = {
        "FeatureName": ("Features, and `feature:level`.", asked),
        "LimitName": ("Limits.", list(policy.limits)),
        "ValueKey": ("Configuration values, the nodes above them, and features with levels.", keys),
        "TierName": ("Tiers.", list(policy.tiers)),
        "AddOnName": ("Add-ons.", list(policy.add_ons)),
    }
    empty = any(not names for _, names in literals.values())
    parts = [HEAD.format(imports="Literal, Never" if empty else "Literal")]
    parts += ["".join(_literal(name, about, names)) for name, (about, names) in literals.items()]
    parts += ["", "".join(_enum("Feature", "Features and their levels.", asked))]
    parts += ["", "".join(_enum("Limit", "Limits.", policy.limits)), TAIL]
    return "\n".join(parts)


def _literal(name: str, about: str, names: list[str]) -> Iterator[str]:
    if names:
        yield f"{name}: TypeAlias = Literal[\n"
        yield from (f'    "{each}",\n' for each in names)
        yield f']\n"""{about}"""\n'
    else:
        yield f'{name}: TypeAlias = Never\n"""{about} The policy has none."""\n'


def _enum(name: str, about: str, names: Iterable[str]) -> Iterator[str]:
    yield f'class {name}(StrEnum):\n    """{about}"""\n\n'
    taken: set[str] = set()
    for each in names:
        yield f'    {_member(each, taken)} = "{each}"\n'


def _member(name: str, taken: set[str]) -> str:
    """Return the member of a name, different from those in *taken*: `lead-scoring:basic` becomes `LEAD_SCORING_BASIC`."""
    plain = re.sub(r"\W", "_", name).upper().strip("_") or "NAME"
    member = first = f"_{plain}" if plain[0].isdigit() else plain
    number = 2
    while member in taken:
        member, number = f"{first}_{number}", number + 1
    taken.add(member)
    return member
