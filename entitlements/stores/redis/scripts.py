"""
Lua scripts that run inside the server, assembled from the files in `lua/`.

They translate `rules/` part by part. One order is one call of one script.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files

MAX_LOADS = 10
"""Most times that one call loads its script: another client may flush it before it runs."""

_LEDGER = ("scope_index", "records", "codec", "meters", "counted_meters", "idempotency", "sequence", "ledger")


@dataclass(frozen=True, slots=True)
class Script:
    """
    Source and digest of a script.

    Args:
        name: Name in messages.
        text: Source, sent once to each server.
        sha: SHA-1 of the source in hexadecimal, by which EVALSHA calls it.
    """

    name: str
    text: bytes
    sha: bytes


def make_script(name: str, text: str) -> Script:
    """Return a script with its digest."""
    source = text.encode()
    return Script(name, source, sha1(source, usedforsecurity=False).hexdigest().encode())


@cache
def read_text(name: str) -> str:
    """Return the text of a file in `lua/`."""
    return files("entitlements.stores.redis").joinpath(f"lua/{name}.lua").read_text("utf-8")


def _assemble(name: str, *parts: str) -> Script:
    return make_script(name, "\n".join(read_text(part) for part in (*parts, name)))


CHARGE = _assemble("charge", *_LEDGER)
"""Any charge, `Read` and `Recall`; `shapes.py` puts scripts for common charges in front of it."""
COMMANDS = _assemble("commands", *_LEDGER, "settlement")
"""Every other order."""

SCRIPTS = (CHARGE, COMMANDS)
