-- The key lives at least until `kept_N`. Its expiry is extended once a window, not with every charge.
--@ take
if idle_N > kept_N then
  local left = call('PTTL', key_N)
  if left == -1 then -- the record holds units: it lives for so long at least once it no longer does (`flush`)
    kept_N = now + 397 * 86400000000
  else
    kept_N = math.min(now + left * 1000, MAX_COUNT)
    if left < 0 or kept_N < idle_N then
      kept_N = math.min(idle_N + window_N, MAX_COUNT)
      life_HOME = math.max(life_HOME or 0, (kept_N - now - (kept_N - now) % 1000) / 1000 + 1)
    end
  end
end
