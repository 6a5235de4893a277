-- Fast path: one charge of one quota without a key or a holder, while its period runs and no
-- reservation has lapsed. It is `charge` of rules/ledger.py with `QuotaMeter.running`, `take_quota` and
-- `record` written out, and comes before the code of other charges, so that it need not set that up.
-- In any other case it writes nothing and leaves the charge to that code.
--
-- KEYS and ARGV are those of ledger.lua; fields those of records.lua, counted_meters.lua and idempotency.lua.
do
local asked, id, part = ARGV[1], ARGV[2], ARGV[4]
local table_unpack, unpack, pack, sub, byte = unpack, struct.unpack, struct.pack, string.sub, string.byte
local verb, keyed, count = byte(asked, 1, 3)
if verb == 2 and keyed == 0 and count == 1 and id ~= '' and ARGV[3] == '' and byte(part) == 4 then
  local key, name, most = KEYS[1], sub(part, 51), 9007199254740991
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local found = redis.call('HMGET', key, 'm', 'q' .. name, 'b1', 'O' .. id, 'K' .. id, 'B' .. id)
  local book, text, lapsing = found[1], found[2], found[3]
  local is_plain = book and #book == 48 and text and #text == 48 and not (found[4] or found[5] or found[6])
  if is_plain and (not lapsing or #lapsing > 8 and unpack('>i8', lapsing) > now) then
    local in_use, open, o_head, o_tail, o_count, k_head, k_tail, k_count = unpack('>I4I4i8i8I4i8i8I4', book)
    local start, ends, sized, used, reserved, denied = unpack('>i8i8i8i8i8i8', text)
    local flags, size, cost, first, second, third, fourth = unpack('>Bi8i8i8i8i8i8', part, 2)
    is_plain = 0 <= o_head and o_head + o_count <= o_tail and 0 <= k_head and k_head + k_count <= k_tail
      and o_tail <= most and k_tail <= most and in_use + open + o_tail + k_tail > 0
      and 0 <= start and start <= now and now < ends and ends <= most and -1 <= sized and sized <= most
      and 0 <= reserved and reserved <= used and used <= most and 0 <= denied and denied <= most
      and first <= now and ends == (now < second and second or now < third and third or fourth)
    local gone = {}
    -- _drop_expired: return the head and the length of a list without up to four expired ids; nil if one is missing
    local function swept(letter, record, head, tail, length)
      for _ = 1, 4 do
        if head == tail then
          break
        end
        local oldest = redis.call('HGET', key, letter .. head)
        local lapses = oldest and #oldest > 8 and unpack('>i8', oldest) or 0
        if lapses < 1 or lapses - 1 > most then
          return nil
        elseif lapses > now then
          break
        end
        gone[#gone + 1] = letter .. head
        gone[#gone + 1] = record .. sub(oldest, 9)
        head, length = head + 1, length - 1
      end
      return head, length
    end
    if is_plain and o_head < o_tail then
      o_head, o_count = swept('o', 'O', o_head, o_tail, o_count)
    end
    if is_plain and k_head < k_tail then
      k_head, k_count = swept('k', 'K', k_head, k_tail, k_count)
    end
    is_plain = is_plain and o_head and k_head and o_count + k_count < 4096
    local is_unlimited = flags % 4 >= 2
    local fits = is_unlimited or cost <= size - used
    if is_plain and (fits or flags % 2 == 0) then
      sized = is_unlimited and -1 or size
      if not fits then
        local waits = cost <= size
        denied = math.min(most, denied + cost)
        redis.call('HSET', key, 'q' .. name, pack('>i8i8i8i8i8i8', start, ends, sized, used, reserved, denied))
        return pack('>Bi8I4BBi8i8i8i8i8i8i8', 1, now, 0, 1,
          waits and 14 or 10, used, reserved, waits and ends or 0, ends, start, 0, 0)
      end
      local taken = math.min(cost, most - used)
      used = used + taken
      local line = pack('>Bi8i8i8i8i8i8i8', 11, used, reserved, 0, ends, start, taken, 0)
      local expires = pack('>i8', now + 600000000)
      redis.call('HSET', key, 'q' .. name, pack('>i8i8i8i8i8i8', start, ends, sized, used, reserved, denied),
        'O' .. id, expires .. pack('>Bi8', 0, o_tail) .. sub(asked, 12) .. pack('>i8B', now, 1) .. line
          .. pack('>i8BBB', sized, 1, 4, #name) .. name,
        'o' .. o_tail, expires .. id,
        'm', pack('>I4I4i8i8I4i8i8I4', in_use, open, o_head, o_tail + 1, o_count + 1, k_head, k_tail, k_count))
      if gone[1] then
        redis.call('HDEL', key, table_unpack(gone))
      end
      return pack('>Bi8I4B', 0, now, 0, 1) .. line
    end
  end
end
end
