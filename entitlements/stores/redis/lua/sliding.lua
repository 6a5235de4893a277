-- Hot path: one charge of one sliding rate. It is `charge_rate` of rules/ledger.py with
-- `Sliding.try_take` of rules/meters.py written out. It reads one field and writes one field.
--
-- KEYS[1]  key of the account, or of the scope
-- ARGV[1]  field of the rate
-- ARGV[2]  window, width, size, cost, mode (1: shadow)
-- meters.lua has the layout of the field.
local key, field, asked = KEYS[1], ARGV[1], ARGV[2]
local unpack, pack, sub = struct.unpack, struct.pack, string.sub
local window, width, size, cost, mode = unpack('>i8i8i8i8B', asked)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('HGET', key, field)
local kept, head, total = 0, -61, 0
if stored then
  if #stored ~= 264 then
    error('CORRUPT ' .. field)
  end
  kept, head, total = unpack('>i8i8I4', stored)
  if kept < 0 or head < 0 or kept > 9007199254740991 or head > 9007199254740991 then
    error('CORRUPT ' .. field)
  end
end

-- Sliding._look
local bucket = (now - now % width) / width
local used, ahead = total, bucket - head
if ahead < 0 then
  if head * width - now > window then used = 0 else bucket = head end
elseif ahead >= 61 then
  used = 0
elseif ahead > 0 then
  for at = head + 1, bucket do
    used = used - unpack('>I4', stored, 21 + at % 61 * 4)
  end
end

if cost > size - used then
  -- Sliding._fits_at, Sliding._empty_at
  local left, retry_at, resets_at = used, -1, now
  if cost <= size then
    for at = bucket - 60, head do
      left = left - unpack('>I4', stored, 21 + at % 61 * 4)
      if cost <= size - left then
        retry_at = (at + 61) * width
        break
      end
    end
  end
  if used > 0 then
    for at = head, head - 60, -1 do
      if unpack('>I4', stored, 21 + at % 61 * 4) > 0 then
        resets_at = (at + 61) * width
        break
      end
    end
  end
  return pack('>Bi8i8I4i8i8', mode == 1 and 0 or 1, now, bucket, used, retry_at, resets_at)
end

-- Sliding._add, Sliding._advance
used = used + cost
local slot, count, counts = bucket % 61 * 4, cost, nil
if bucket == head then
  count = cost + unpack('>I4', stored, 21 + slot)
elseif not stored or ahead < 0 or ahead >= 61 then
  counts = string.rep('\0', 244)
else
  local first = (head + 1) % 61 * 4
  if first <= slot then
    counts = sub(stored, 21, 20 + first) .. string.rep('\0', slot - first + 4) .. sub(stored, 25 + slot)
  else
    counts = string.rep('\0', slot + 4) .. sub(stored, 25 + slot, 20 + first) .. string.rep('\0', 244 - first)
  end
end

-- The key lives at least until `kept`; its expiry is extended once a window, not with every charge.
local life
local idle_at = (bucket + 61) * width
if idle_at > kept then
  local left = redis.call('PTTL', key)
  if left == -1 then -- the record holds units: it lives for so long at least once it no longer does (`flush`)
    kept = now + 397 * 86400000000
  else
    kept = math.min(now + left * 1000, 9007199254740991)
    if left < 0 or kept < idle_at then
      kept = idle_at + window
      life = (kept - now - (kept - now) % 1000) / 1000 + 1
    end
  end
end
if counts then
  counts = sub(counts, 1, slot) .. pack('>I4', count) .. sub(counts, slot + 5)
else
  counts = sub(stored, 21, 20 + slot) .. pack('>I4', count) .. sub(stored, 25 + slot)
end
redis.call('HSET', key, field, pack('>i8i8I4', kept, bucket, used) .. counts)
if life then
  redis.call('PEXPIRE', key, life)
end
return pack('>Bi8i8I4', 0, now, bucket, used)
