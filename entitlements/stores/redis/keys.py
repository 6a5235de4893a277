"""
The names of an account's and a scope's records in a networked store; what they hold stands in `lua/`.

One hash per account, `<namespace>1:{<account>}`, and one beside it per scope,
`<namespace>1:{<account>}:<scope>`, which shares its slot.

The `1` after the namespace is the layout's version, one character. A later layout
takes the next one and rolls out in three releases: one that reads both and still writes
the old (its scripts find no key of the new layout, and translate nothing), one that moves
an account to the new key at its first write (both keys share the hash tag, so one script
does it), and one that has forgotten the old. Rates alone need none of this: they expire.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

LAYOUT = "1"
LONGEST_ID = 64
"""Longest encoded id that stands in a key as it is; a longer one stands as its digest."""

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


def check_namespace(namespace: str) -> str:
    """
    Return *namespace* if it may stand before every key.

    Raises:
        ValueError: For anything but 1 to 64 of `[A-Za-z0-9_.-]`.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"namespace {namespace!r} must be 1 to 64 of A-Z a-z 0-9 _ . - ; write ?namespace=ent")
    return namespace


@lru_cache(maxsize=65_536)
def encoded(id: str) -> str:
    """
    Return *id* in `[A-Za-z0-9_.-]` and `%XX`, no two ids alike; above 64 bytes its digest.

    A digest begins with `~`, which nothing else does. What is remembered takes 20 to 80 MB.
    """
    raw = id.encode()
    text = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)
    return text if len(text) <= LONGEST_ID else "~" + sha256(raw).hexdigest()


def account_key(namespace: str, account: str) -> bytes:
    """Return the key of an account's hash."""
    return f"{namespace}{LAYOUT}:{{{encoded(account)}}}".encode()


def scope_key(namespace: str, account: str, scope: str) -> bytes:
    """Return the key of a scope's hash, in the slot of its account's."""
    return f"{namespace}{LAYOUT}:{{{encoded(account)}}}:{encoded(scope)}".encode()
