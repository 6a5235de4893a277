"""What a command ends with: its exit code, and the line for people when it cannot answer."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from entitlements.errors import StoreError, UnknownAccount, UnknownFeature

if TYPE_CHECKING:
    from entitlements.errors import EntitlementsError


class ExitCode(IntEnum):
    """The exit codes; stable, and none is ever used for something else."""

    YES = 0
    NO = 1
    USAGE = 2
    NO_ACCOUNT = 3
    UNREADABLE = 4
    NO_STORE = 5


MEANINGS = {
    ExitCode.YES: "yes; fine; shown",
    ExitCode.NO: "no: denied, not included, or problems found",
    ExitCode.USAGE: "an option, tier, feature, limit or key that there is not",
    ExitCode.NO_ACCOUNT: "there is no such account",
    ExitCode.UNREADABLE: "the policy or the accounts cannot be read",
    ExitCode.NO_STORE: "the store cannot be reached, or refuses to answer",
}


class CommandError(Exception):
    """
    A question that has no answer.

    Args:
        message: One line for people: the thing, the value and the cure.
        code: What to exit with.
    """

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


def ending(error: EntitlementsError) -> CommandError:
    """Return what one of the package's own errors comes to."""
    if isinstance(error, UnknownFeature):
        return CommandError(str(error), ExitCode.USAGE)
    if isinstance(error, UnknownAccount):
        return CommandError(str(error), ExitCode.NO_ACCOUNT)
    if isinstance(error, StoreError):
        return CommandError(str(error), ExitCode.NO_STORE)
    return CommandError(str(error), ExitCode.UNREADABLE)
