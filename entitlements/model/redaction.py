"""
Account ids in logs: a digest stands for each, so that lines about one account still belong together.

A log is kept longer and read by more people than an account's data. Whoever has an id
finds its lines by the same digest: the first twelve hexadecimal digits of the SHA-256
of its UTF-8.
"""

from __future__ import annotations

import re
from hashlib import sha256
from traceback import format_exception

from entitlements.errors import AccountsUnavailable, StoreError


def digest(id: str) -> str:
    """Return what stands for an account's id in a log: `#` and twelve hexadecimal digits."""
    return "#" + sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def redact(text: str, id: str) -> str:
    """Return *text* with the digest wherever an account's id stands in it as a word, in quotes or not."""
    if not id:
        return text
    for spelt in (repr(id), repr(id)[1:-1], id):
        if spelt not in text:  # an expression for an id is compiled anew for each
            continue
        text = re.sub(rf"(?<!\w){re.escape(spelt)}(?!\w)", digest(id), text)
    return text


def redacted_traceback(error: BaseException, id: str | None) -> str:
    """
    Return an error's traceback, with what it came from, without the id of the account that it is about.

    Of a store's error, and of a directory that is down, only the text, which says where, why and what to do:
    every request may meet it.
    """
    text = (
        str(error) if isinstance(error, StoreError | AccountsUnavailable) else "".join(format_exception(error)).rstrip()
    )
    return text if id is None else redact(text, id)
