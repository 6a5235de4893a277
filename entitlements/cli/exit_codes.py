"""Exit codes, and the error that ends a command with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from entitlements.errors import EntitlementsError, StoreError, UnknownAccount, UnknownFeature


class ExitCode(IntEnum):
    """The exit codes. They are stable: no code ever changes its meaning."""

    YES = 0
    NO = 1
    USAGE = 2
    NO_ACCOUNT = 3
    UNREADABLE = 4
    NO_STORE = 5


MEANINGS = {
    ExitCode.YES: "yes; fine; shown",
    ExitCode.NO: "no: denied, not included, or problems found",
    ExitCode.USAGE: "a wrong option, or an unknown tier, feature, limit or key",
    ExitCode.NO_ACCOUNT: "an unknown account",
    ExitCode.UNREADABLE: "the policy or the accounts cannot be read",
    ExitCode.NO_STORE: "the store cannot be reached, or refuses to answer",
}

_CODES: dict[type[EntitlementsError], ExitCode] = {
    UnknownFeature: ExitCode.USAGE,
    UnknownAccount: ExitCode.NO_ACCOUNT,
    StoreError: ExitCode.NO_STORE,
}


class CommandError(Exception):
    """
    A command cannot answer.

    Args:
        message: One line for people: the thing, the value and the cure.
        code: The exit code.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


def exit_code_of(error: CommandError | EntitlementsError) -> ExitCode:
    """Return the exit code of an error; one that is not listed comes from a file that cannot be read."""
    if isinstance(error, CommandError):
        return error.code
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.UNREADABLE)


@contextmanager
def usage_errors(prefix: str = "") -> Iterator[None]:
    """
    Turn a `ValueError` of the block into a usage error; errors of the package pass through.

    Args:
        prefix: Precedes the message, such as the name of an option.
    """
    try:
        yield
    except EntitlementsError:
        raise
    except ValueError as error:
        raise CommandError(f"{prefix}{error}") from None
