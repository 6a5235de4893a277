"""
Key names of accounts and scopes in a networked store; `lua/records.lua` lists the fields.

An account has one hash, `<namespace>1:{<account>}`. Each of its scopes has another,
`<namespace>1:{<account>}:<scope>`, in the same slot, and the index of the scopes is `<namespace>1:{<account>}::scopes`. The channel `<namespace>1:invalidated` has the messages about
accounts that were invalidated.

The `1` after the namespace is the version of the layout, one character. A later layout takes
the next version and needs three releases. The first reads both layouts and writes the old one.
The second moves an account to the new key at its first write: both keys have the same
hash tag, so one script can. The third no longer reads the old layout. Records of rates alone
need no move, because they expire.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

LAYOUT = "1"
MAX_ID_LENGTH = 64
"""Longest encoded id in a key; a longer one is replaced by its digest."""

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


def check_namespace(namespace: str) -> str:
    """
    Return *namespace* if it is valid.

    Raises:
        ValueError: For anything but 1 to 64 of `[A-Za-z0-9_.-]`.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"namespace {namespace!r} must be 1 to 64 of A-Z a-z 0-9 _ . - ; write ?namespace=ent")
    return namespace


@lru_cache(maxsize=65_536)
def encode_id(id: str) -> str:
    """
    Return *id* percent-encoded, with `[A-Za-z0-9_.-]` as they are; above 64 bytes its digest.

    The result is unique: only a digest begins with `~`. The cache takes 20 to 80 MB when full.
    """
    raw = id.encode()
    text = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)
    return text if len(text) <= MAX_ID_LENGTH else "~" + sha256(raw).hexdigest()


def account_key(namespace: str, account: str) -> bytes:
    """Return the key of an account's hash."""
    return f"{namespace}{LAYOUT}:{{{encode_id(account)}}}".encode()


def channel_name(namespace: str) -> bytes:
    """Return the channel of the messages about accounts that were invalidated."""
    return f"{namespace}{LAYOUT}:invalidated".encode()


def index_key(namespace: str, account: str) -> bytes:
    """Return the key of the index of an account's scopes, which is no key of a scope: an encoded id has no colon."""
    return f"{namespace}{LAYOUT}:{{{encode_id(account)}}}::scopes".encode()


def scope_key(namespace: str, account: str, scope: str) -> bytes:
    """Return the key of a scope's hash, which is in the slot of its account."""
    return f"{namespace}{LAYOUT}:{{{encode_id(account)}}}:{encode_id(scope)}".encode()
