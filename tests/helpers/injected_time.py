"""Variants of the store's scripts whose clock is an argument."""

from __future__ import annotations

from entitlements.stores.redis.scripts import Script, make_script

_INJECTED = """\
-- The last argument is the time. Keys also expire on that clock, as PTTL reports it; on the
-- server's clock they live centuries longer.
local injected, server, far = tonumber(table.remove(ARGV)), redis, 10000000000000
local injected_ms = (injected - injected % 1000) / 1000
local redis = { pcall = redis.pcall, call = function(command, ...)
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
    """Return a variant of *script* whose last argument is the time, in microseconds."""
    return make_script(f"{script.name} on injected time", _INJECTED + script.text.decode())
