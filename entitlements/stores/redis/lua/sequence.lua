-- Sequence and acknowledgement: the orders of one producer, the process that sends them. docs/exactly-once.md has
-- the rules, and why they count each order once.
--
-- An order names its producer (8 bytes), its number, the floor (the lowest number of the account that the producer
-- has not settled), the attempt (1 byte), and the store's time that the producer had seen when it made the order.
-- The field s<producer> holds the times of its birth and of its last order, the floor, and for each number at or
-- above the floor that was carried out or made void (4 bytes, modulo 2^32) the time, or 0. S lists the producers.
local KEPT, SWEPT_PRODUCERS, ENTRY = 600000000, 64, 12
local read_sequence, enter, settle_number
do
local pack, unpack, sub, get, put, account, now = pack, unpack, sub, get, put, account, now

-- Return the position of a number among the entries, or nil.
local function find(text, number)
  local wanted = pack('>I4', number % 4294967296)
  for at = 25, #text, ENTRY do
    if sub(text, at, at + 3) == wanted then
      return at
    end
  end
end

local function check(text)
  if #text < 24 or (#text - 24) % ENTRY ~= 0 then
    corrupt('s')
  end
  local born, last, floor = unpack('>i8i8i8', text)
  check_numbers('s', born, last, floor)
  return born, last, floor
end

-- Drop the fields of producers whose last order is long ago, and list a new one.
local function sweep_producers(producer)
  local ids, kept = get(account, 'S') or '', {}
  if #ids % 8 ~= 0 then
    corrupt('S')
  end
  for at = 1, math.min(#ids, SWEPT_PRODUCERS * 8), 8 do
    local id = sub(ids, at, at + 7)
    local text = get(account, 's' .. id)
    local _, last = 0, 0
    if text then
      _, last = check(text)
    end
    if text and now - last < KEPT then
      kept[#kept + 1] = id
    elseif text then
      put(account, 's' .. id, false)
    end
  end
  put(account, 'S', sub(ids, SWEPT_PRODUCERS * 8 + 1) .. table.concat(kept) .. producer)
end

function read_sequence(text)
  local sequence = { producer = sub(text, 1, 8) }
  sequence.number, sequence.floor, sequence.attempt, sequence.seen = unpack('>i8i8Bi8', text, 9)
  return sequence
end

-- Return false for an order that is new, LATE for one that must not be carried out, or the time at which it was.
function enter(sequence)
  local text = get(account, 's' .. sequence.producer)
  local born, floor, _ = now, 0, nil
  if text then
    born, _, floor = check(text)
  end
  -- A field that was born in the future shows that the clock was set back: orders seen since then are not late.
  if sequence.seen + KEPT <= math.min(born, now) or sequence.number < floor then
    return LATE
  end
  local at = text and find(text, sequence.number)
  if not at then
    return false
  end
  local moment = unpack('>i8', text, at + 4)
  check_numbers('s', moment)
  return moment
end

-- Record that a number was carried out now, or is void (0); what lies below the floor goes.
function settle_number(sequence, moment)
  local field = 's' .. sequence.producer
  local text = get(account, field)
  local born, floor, kept = now, sequence.floor, {}
  if text then
    local _, least
    born, _, least = check(text)
    floor = math.max(floor, least)
    local own = find(text, sequence.number)
    for at = 25, #text, ENTRY do
      local ahead = (unpack('>I4', text, at) - floor) % 4294967296
      if ahead < 2147483648 and at ~= own then
        kept[#kept + 1] = sub(text, at, at + ENTRY - 1)
      end
    end
  else
    sweep_producers(sequence.producer)
  end
  put(account, field, pack('>i8i8i8', born, now, floor) .. table.concat(kept)
    .. pack('>I4i8', sequence.number % 4294967296, moment))
  keep_until(account, now + 2 * KEPT, now + 2 * KEPT) -- shapes/sequence_expiry.lua extends it once in KEPT
end
end
