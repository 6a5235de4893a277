-- The sequence of a charge that is new, and whose producer is known: `enter` and `settle_number` of lua/sequence.lua.
--@ evaluate
local lapsing, known = found_1[1], found_1[2]
if lapsing and (#lapsing < 9 or unpack('>i8', lapsing) <= now) then break end
local number, floor, attempt, seen = unpack('>i8i8Bi8', ARGV[ID], 9)
if not known or #known < 24 or #known % 12 ~= 0 or #known > 12000 or attempt > 1 then break end
local born, last, least = unpack('>i8i8i8', known)
if born < 0 or (seen + 600000000 <= born and seen + 600000000 <= now) or number < least or least < 0 or born > MAX_COUNT then break end
local entry = pack('>I4', number % 4294967296)
if string.find(known, entry, 25, true) then break end
if least > floor then floor = least end
--@ take
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
