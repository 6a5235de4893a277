-- The record of an account whose charge counts in that of a scope alone lives for as long as its sequences are needed:
-- `settle_number` of lua/sequence.lua. Its expiry is extended by the first order in 10 minutes.
--@ take
if now - now % 600000000 ~= last - last % 600000000 then
  local left = call('PTTL', KEYS[1])
  if left >= 0 and left < 1200000 then
    life_1 = math.max(life_1 or 0, 1200001)
  end
end
