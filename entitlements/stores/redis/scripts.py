"""
The scripts that run inside the server, put together from the files in `lua/`.

Each is a translation of `rules/`, part by part; one order is one script and one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files

MAX_LOADS = 10
"""Times that one call brings the server its script, which somebody may flush in between."""

_LEDGER = ("records", "codec", "meters", "counts", "idempotency", "ledger")


@dataclass(frozen=True, slots=True)
class Script:
    """
    A script as the server knows it.

    Args:
        name: What it is for, in messages.
        text: Its source, sent once.
        sha: What it is called by: the SHA-1 of the source.
    """

    name: str
    text: bytes
    sha: bytes


def make_script(name: str, text: str) -> Script:
    """Return the script *name* with the source *text*."""
    source = text.encode()
    return Script(name, source, sha1(source, usedforsecurity=False).hexdigest().encode())


@cache
def _part(name: str) -> str:
    return files("entitlements.stores.redis").joinpath("lua", f"{name}.lua").read_text("utf-8")


def _joined(name: str, *parts: str) -> Script:
    return make_script(name, "\n".join(_part(part) for part in (*parts, name)))


SLIDING = _joined("sliding")
"""One charge of one sliding rate."""
RATE = _joined("rate", "records", "codec", "meters")
"""One charge of one rate of another law."""
CHARGE = _joined("charge", "quota", *_LEDGER)
"""Every other charge, a look at meters, a look for a record."""
COMMANDS = _joined("commands", *_LEDGER, "settlement")
"""Every other order."""

SCRIPTS = (SLIDING, RATE, CHARGE, COMMANDS)

_INJECTED = """\
-- Only for tests: the time is the last argument. Keys expire on that clock too, as far as
-- anybody asks; on the server's they live centuries longer.
local injected, server, far = tonumber(table.remove(ARGV)), redis, 10000000000000
local injected_ms = (injected - injected % 1000) / 1000
local redis = { call = function(command, ...)
  if command == 'TIME' then
    return { (injected - injected % 1000000) / 1000000, injected % 1000000 }
  elseif command == 'PTTL' then
    local left = server.call('PTTL', ...)
    if left >= 0 then
      local time = server.call('TIME')
      left = time[1] * 1000 + math.floor(time[2] / 1000) + left - far - injected_ms
      return left > 0 and left or -2
    end
    return left
  elseif command == 'PEXPIRE' then
    local key, life = ...
    return server.call('PEXPIREAT', key, far + injected_ms + life)
  end
  return server.call(command, ...)
end }
"""


def with_injected_time(script: Script) -> Script:
    """
    Return a variant of *script* for tests: its last argument is the time, in microseconds.

    Nothing in the package calls this; a store always runs the scripts above, whose only
    clock is the server's.
    """
    return make_script(f"{script.name} on injected time", _INJECTED + script.text.decode())
