"""Adapter for a blocking source on an event loop: each `find` runs in a thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from entitlements.accounts.sources import is_async, refresh_source, repr_of_wrapper, with_policy

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.ports import Accounts


class ThreadedAccounts:
    """
    A blocking source, made async by `asyncio.to_thread`.

    Args:
        source: The blocking source; it must be safe to use from several threads.

    Raises:
        TypeError: For a source that is async already.
    """

    def __init__(self, source: Accounts) -> None:
        if is_async(source):
            raise TypeError(f"{source!r} is async already; use it as it is")
        self._source = source

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return await asyncio.to_thread(self._source.find, id)

    refresh = recheck = refresh_source
    with_policy = with_policy
    __repr__ = repr_of_wrapper
