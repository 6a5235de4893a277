"""Rights in the console: what the application's `authorise` says about a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entitlements.model.names import shown

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Access:
    """
    The rights of the sender of a request.

    Args:
        author: The name that stands in the audit of changes; None if the form asks for it.
        write: Whether accounts may be changed.
        accounts: Returns whether an account may be seen; None for all of them.

    Raises:
        ValueError: For an author that is empty or no text.
    """

    author: str | None = None
    write: bool = True
    accounts: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        if self.author is not None and (not isinstance(self.author, str) or not self.author.strip()):
            raise ValueError(f"author {shown(self.author)} is empty or no text; give the name for the audit, or None")

    def sees(self, id: str) -> bool:
        """Return whether the account may be seen."""
        return self.accounts is None or self.accounts(id) is True


READ = Access(write=False)
_WORDS = {"read": READ, "write": Access()}

Authorise = Callable[["Request"], Any]
"""Returns None, "read", "write", an `Access`, or an object with a str `author`, for a request; or an awaitable of it."""


def read_only(_request: Request) -> str:
    """Return `read`, for every request."""
    return "read"


def access_of(said: object) -> Access | None:
    """
    Return the rights that *said*, the result of `authorise`, stands for; None if the request is refused.

    Raises:
        TypeError: For anything else than the contract names.
    """
    if said is None or isinstance(said, Access):
        return said
    if isinstance(said, str) and said in _WORDS:
        return _WORDS[said]
    author = getattr(said, "author", None)
    if isinstance(author, str):
        return Access(author)
    raise TypeError(
        f"authorise returned {shown(said)}; return None to refuse, 'read', 'write', an Access, or an object with an author"
    )
