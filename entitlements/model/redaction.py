"""
Redaction of account ids in logs: each id is replaced by a digest.

A log is kept longer and read by more people than an account's data. The lines about one
account still share one digest, so they can be found with the id: the first twelve
hexadecimal digits of the SHA-256 of its UTF-8.

The messages of this package quote each id. In them, and in the lines of code of a traceback, only
what is quoted is replaced: an id such as `a` is a word of theirs as well. A message of any other code
may name an id in any way, so there it is replaced wherever it is a whole word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from traceback import format_exception

from entitlements.errors import AccountsUnavailable, EntitlementsError, StoreError

_OWN = __name__.partition(".")[0]


_FRAME = '  File "'
"""Begins the place of a call, and its line of code, in a traceback."""


def digest(id: str) -> str:
    """Return the digest of an account id for a log: `#` and twelve hexadecimal digits."""
    return "#" + sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def redact(text: str, id: str, *, quoted: bool = False) -> str:
    """
    Return *text* with the digest in place of the account id, wherever it is a whole word.

    Args:
        text: A text.
        id: The account id; empty for none.
        quoted: Replace it only where it is in quotes.
    """
    if not id:
        return text
    for spelt in (repr(id),) if quoted else (repr(id), repr(id)[1:-1], id):
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
    if isinstance(error, StoreError | AccountsUnavailable):
        return redact_error(error, id or "")
    is_own = _is_own(error)
    pieces = (redact(each, id or "", quoted=is_own or each.startswith(_FRAME)) for each in format_exception(error))
    return "".join(pieces).rstrip()


def redact_error(error: BaseException, id: str) -> str:
    """Return the text of an error with the digest in place of the account id."""
    return redact(str(error), id, quoted=_is_own(error))


def _is_own(error: BaseException) -> bool:
    """Return True for an error that this package raised, and that repeats no message of other code."""
    return all(map(_is_raised_here, _chain(error)))


def _is_raised_here(error: BaseException) -> bool:
    trace = error.__traceback__
    if trace is None or not isinstance(error, EntitlementsError | TypeError | ValueError):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == _OWN


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes; one that has come round again ends it, as in a traceback."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
