"""What a command ends with: its exit code, and the line for people when it cannot answer."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from entitlements.errors import StoreError, UnknownAccount, UnknownFeature

if TYPE_CHECKING:
    from entitlements.errors import EntitlementsError


class Code(IntEnum):
    """The exit codes; stable, and none is ever used for something else."""

    YES = 0
    NO = 1
    USAGE = 2
    NO_ACCOUNT = 3
    UNREADABLE = 4
    NO_STORE = 5


MEANINGS = {
    Code.YES: "yes; fine; shown",
    Code.NO: "no: denied, not included, or problems found",
    Code.USAGE: "an option, tier, feature, limit or key that there is not",
    Code.NO_ACCOUNT: "there is no such account",
    Code.UNREADABLE: "the policy or the accounts cannot be read",
    Code.NO_STORE: "the store cannot be reached, or refuses to answer",
}


class CannotAnswer(Exception):
    """
    A question that has no answer.

    Args:
        message: One line for people: the thing, the value and the cure.
        code: What to exit with.
    """

    def __init__(self, message: str, code: Code) -> None:
        super().__init__(message)
        self.code = code


def ending(error: EntitlementsError) -> CannotAnswer:
    """Return what one of the package's own errors comes to."""
    if isinstance(error, UnknownFeature):
        return CannotAnswer(str(error), Code.USAGE)
    if isinstance(error, UnknownAccount):
        return CannotAnswer(str(error), Code.NO_ACCOUNT)
    if isinstance(error, StoreError):
        return CannotAnswer(str(error), Code.NO_STORE)
    return CannotAnswer(str(error), Code.UNREADABLE)
