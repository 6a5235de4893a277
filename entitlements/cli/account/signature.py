"""Signatures of commands that take the same options: typer reads the options of a command from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from entitlements.cli.options import AccountArgument


def with_options(options: Mapping[str, tuple[Any, Any]], run: Callable[..., int]) -> Callable[..., Callable[..., int]]:
    """
    Return a decorator that turns a function into a command about an account.

    Args:
        options: Options that the command takes as well as the arguments of the function, each with type and default
            (`inspect.Parameter.empty` if it must be given).
        run: Runs the command: it takes the account, the result of the function, and the options.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., int]:
        own = inspect.signature(function, eval_str=True).parameters
        named = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter(name, named, annotation=kind, default=each) for name, (kind, each) in options.items()
        ]

        @wraps(function)
        def command(**given: Any) -> int:
            found = function(**{name: given[name] for name in own})
            return run(given["account"], found, **{name: given[name] for name in options})

        account = inspect.Parameter("account", named, annotation=AccountArgument)
        parameters = [account, *(each.replace(kind=named) for name, each in own.items() if name != "account"), *shared]
        command.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": int}
        return command

    return decorate
