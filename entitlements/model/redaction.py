"""
Redaction of account ids in logs: each id is replaced by a digest.

A log is kept longer and read by more people than an account's data. The lines about one
account still share one digest, so they can be found with the id: the first twelve
hexadecimal digits of the SHA-256 of its UTF-8.
"""

from __future__ import annotations

import re
from hashlib import sha256
from traceback import format_exception

from entitlements.errors import AccountsUnavailable, StoreError


def digest(id: str) -> str:
    """Return the digest of an account id for a log: `#` and twelve hexadecimal digits."""
    return "#" + sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def redact(text: str, id: str) -> str:
    """Return *text* with the digest in place of the account id, quoted or not, wherever it is a whole word."""
    if not id:
        return text
    for spelt in (repr(id), repr(id)[1:-1], id):
        if spelt not in text:  # saves compiling an expression for the id
            continue
        text = re.sub(rf"(?<!\w){re.escape(spelt)}(?!\w)", digest(id), text)
    return text


def redacted_traceback(error: BaseException, id: str | None) -> str:
    """
    Return an error's traceback, including its causes, with the account id redacted.

    A `StoreError` and an `AccountsUnavailable` give only their text, because every request may raise
    one and the text has the place, the reason and the cure.
    """
    text = (
        str(error) if isinstance(error, StoreError | AccountsUnavailable) else "".join(format_exception(error)).rstrip()
    )
    return text if id is None else redact(text, id)
