-- The sequence of a charge that is new: `enter`, `settle_number` and `sweep_producers` of lua/sequence.lua. A producer
-- that is new to the record is listed with the others, if the general code would drop none of those.
--@ evaluate
local lapsing, known = found_1[1], found_1[2]
if lapsing and (#lapsing < 9 or unpack('>i8', lapsing) <= now) then break end
local number, floor, attempt, seen = unpack('>i8i8Bi8', ARGV[ID], 9)
local listed
if not known then
  listed = call('HGET', KEYS[1], 'S')
  if not listed or #listed % 8 ~= 0 or #listed > 128 then break end
  local has_idle = false
  for at = 1, #listed, 8 do
    local text = call('HGET', KEYS[1], 's' .. sub(listed, at, at + 7))
    local first, latest, lowest = -1, -1, -1
    if text and #text >= 24 and #text % 12 == 0 then first, latest, lowest = unpack('>i8i8i8', text) end
    has_idle = has_idle or first < 0 or first > MAX_COUNT or lowest < 0 or lowest > MAX_COUNT or latest > MAX_COUNT
      or now - latest >= 600000000
  end
  if has_idle then break end
  known = pack('>i8i8i8', now, 0, 0)
end
if #known < 24 or #known % 12 ~= 0 or #known > 12000 or attempt > 1 then break end
local born, last, least = unpack('>i8i8i8', known)
if born < 0 or (seen + 600000000 <= born and seen + 600000000 <= now) or number < least or least < 0 or born > MAX_COUNT then break end
local entry = pack('>I4', number % 4294967296)
if string.find(known, entry, 25, true) then break end
if least > floor then floor = least end
--@ take
if listed then call('HSET', KEYS[1], 'S', listed .. sub(producer, 2)) end
if #known < 168 and floor < number then
  known = sub(known, 25)
else -- what lies below the floor goes
  local kept = ''
  for at = 25, #known, 12 do
    if (unpack('>I4', known, at) - floor) % 4294967296 < 2147483648 then
      kept = kept .. sub(known, at, at + 11)
    end
  end
  known = kept
end
--@ value
producer, pack('>i8i8i8', born, now, floor) .. known .. pack('>I4i8', number % 4294967296, now)
