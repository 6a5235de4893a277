-- Operations and reservations of rules/ledger.py, in fields of one hash.
--
-- An operation: time of expiry, 1 if it was refunded, or the further callers of a reservation (1 byte), number in its list, fingerprint (16 bytes);
-- the outcome: time, count of parts (1 byte), lines, sizes (8 bytes each, as recorded);
-- the debits: count (1 byte), then of each the kind (1 byte, 64 more if the record of the scope counts it), length of
-- the name (1 byte) and name;
-- the holder, up to the end.
-- A reservation: time of expiry, then of each part the kind, amount, mark, length of the name and name, and of a rate
-- the window and the size, 0 if it has no meter. Its units of the scope are in the scope's record, under the same id.
-- The operation of a settled reservation has the lines of what was kept, and in place of sizes the units.
local OPERATION_TTL, KEYED_OPERATION_TTL = 600000000, 86400000000
local HEAD = 33
local operation, is_refunded, set_refunded, callers, add_callers, drop_operation, record_operation, add_booking, booking,
  remove_booking, end_booking, settle_units, sweep, sweep_both
do
local pack, unpack, sub, get, put, account, now = pack, unpack, sub, get, put, account, now

local MAX_OPERATIONS, MAX_SWEPT_OPERATIONS, SKIPPED_HOLES = 4096, 4, 64
local MAX_SWEPT_AT_ONCE, MAX_SWEPT_RESERVATIONS, FEW = 1024, 64, 8

-- Ledger.operation: return the record of an operation that has not expired, and its field
function operation(id)
  local field = 'O' .. id
  local text = get(account, field)
  if not text then
    field = 'K' .. id
    text = get(account, field)
  end
  if not text then
    return nil
  end
  if #text < HEAD + 9 or #text < HEAD + 9 + string.byte(text, HEAD + 9) * (LINE + 8) then
    corrupt(sub(field, 1, 1))
  end
  local expires, _, number = unpack('>i8Bi8', text)
  check_numbers(sub(field, 1, 1), expires - 1, number)
  if now >= expires then
    return nil
  end
  return text, field
end

-- Operation.ended: return whether a refund has given back what was taken
function is_refunded(text)
  return string.byte(text, 9) == 1
end

function set_refunded(text, field)
  put(account, field, sub(text, 1, 8) .. '\1' .. sub(text, 10))
end

-- Operation.callers: of a reservation, the callers that were given it by its key after the first
function callers(text)
  return string.byte(text, 9)
end

function add_callers(text, field, more)
  put(account, field, sub(text, 1, 8) .. string.char(math.min(callers(text) + more, 255)) .. sub(text, 10))
end

-- The dictionaries `operations` and `keyed_operations`, each a list of fields o<n> or k<n> from
-- head to tail. An id that is dropped or recorded again leaves a hole at its former place, unless it was the last.
local LISTS = {
  o = { record = 'O', head = 'o_head', tail = 'o_tail', count = 'o_count' },
  k = { record = 'K', head = 'k_head', tail = 'k_tail', count = 'k_count' },
}

-- Return the oldest entry; move the head past holes, but not past many in one call. Return nil if no entry is found.
local function oldest(letter)
  local list, book = LISTS[letter], load_book(account)
  for _ = 0, SKIPPED_HOLES do
    if book[list.head] >= book[list.tail] then
      return nil
    end
    local entry = get(account, letter .. book[list.head])
    if entry then
      return entry
    end
    book[list.head] = book[list.head] + 1
    book.changed = true
  end
  return nil
end

-- Remove an entry from its list.
local function remove_entry(letter, number)
  local list, book = LISTS[letter], load_book(account)
  put(account, letter .. number, false)
  if number == book[list.tail] - 1 then
    book[list.tail] = number
  end
  book[list.count] = book[list.count] - 1
  book.changed = true
end

local function drop_oldest(letter)
  local list, book = LISTS[letter], load_book(account)
  local field = letter .. book[list.head]
  put(account, list.record .. sub(get(account, field), 9), false)
  put(account, field, false)
  book[list.head] = book[list.head] + 1
  book[list.count] = book[list.count] - 1
end

-- _drop_expired
local function drop_expired(letter)
  for _ = 1, MAX_SWEPT_OPERATIONS do
    local entry = oldest(letter)
    if not entry then
      return
    end
    local expires = parse(letter, '>i8', entry)
    check_numbers(letter, expires - 1)
    if expires > now then
      return
    end
    drop_oldest(letter)
  end
end

-- record: keep an operation; return how many ids were dropped before they expired
function record_operation(id, keyed, expires, rest)
  local book = load_book(account)
  drop_expired('o')
  drop_expired('k')
  local letter = keyed and 'k' or 'o'
  local list = LISTS[letter]
  local field = list.record .. id
  local before = get(account, field)
  if before then
    local _, _, last = parse(list.record, '>i8Bi8', before)
    remove_entry(letter, last)
  end
  local number = book[list.tail]
  put(account, field, pack('>i8Bi8', expires, 0, number) .. rest)
  put(account, letter .. number, pack('>i8', expires) .. id)
  book[list.tail] = number + 1
  book[list.count] = book[list.count] + 1
  local forgotten = 0
  for _ = 1, MAX_SWEPT_OPERATIONS do -- of numbers that others wrote, no loop takes its end
    if book.o_count + book.k_count <= MAX_OPERATIONS then
      break
    end
    local victim = book.o_count > (keyed and 0 or 1) and 'o' or 'k' -- never the one just added
    if not oldest(victim) then -- behind many holes: a later call finds it
      break
    end
    drop_oldest(victim)
    forgotten = forgotten + 1
  end
  book.changed = true
  keep_until(account, expires)
  return forgotten
end

-- Ledger.drop
function drop_operation(id)
  for letter, list in pairs(LISTS) do
    local text = get(account, list.record .. id)
    if text then
      local _, _, number = parse(list.record, '>i8Bi8', text)
      put(account, list.record .. id, false)
      remove_entry(letter, number)
    end
  end
end

-- A heap of reservations: the field b1 lapses first. An entry is the time of expiry and the id.
-- Entries compare by bytes: Lua's own comparison depends on the server's locale.
local function before(one, other)
  for at = 1, math.min(#one, #other) do
    local left, right = string.byte(one, at), string.byte(other, at)
    if left ~= right then
      return left < right
    end
  end
  return #one < #other
end

local function place(key, at, entry)
  put(key, 'b' .. at, entry)
  put(key, 'p' .. sub(entry, 9), tostring(at))
end

local function entry_at(key, at)
  local entry = get(key, 'b' .. at)
  if not entry or #entry < 9 or unpack('>i8', entry) < 1 then
    corrupt('b')
  end
  return entry
end

local function rise(key, at, entry)
  while at > 1 do
    local parent = (at - at % 2) / 2
    local above = entry_at(key, parent)
    if not before(entry, above) then
      break
    end
    place(key, at, above)
    at = parent
  end
  place(key, at, entry)
end

local function sink(key, at, entry)
  local book = load_book(key)
  while at * 2 <= book.open do
    local child = at * 2
    local below = entry_at(key, child)
    if child < book.open and before(entry_at(key, child + 1), below) then
      child = child + 1
      below = entry_at(key, child)
    end
    if not before(below, entry) then
      break
    end
    place(key, at, below)
    at = child
  end
  place(key, at, entry)
end

function add_booking(key, id, expires, taken)
  local book = load_book(key)
  book.open = book.open + 1
  book.changed = true
  put(key, 'B' .. id, pack('>i8', expires) .. taken)
  rise(key, book.open, pack('>i8', expires) .. id)
  keep_until(key, expires)
end

function remove_booking(key, id)
  local book = load_book(key)
  local at, last = tonumber(get(key, 'p' .. id)), entry_at(key, book.open)
  if not at or at > book.open then
    corrupt('p')
  end
  put(key, 'b' .. book.open, false)
  put(key, 'p' .. id, false)
  put(key, 'B' .. id, false)
  book.open = book.open - 1
  book.changed = true
  if at > book.open then
    return
  end
  if at > 1 and before(last, entry_at(key, (at - at % 2) / 2)) then
    rise(key, at, last)
  else
    sink(key, at, last)
  end
end

-- Return the parts of a reservation, from text[at] on.
local function read_parts(text, at)
  local taken = {}
  while at <= #text do -- each part takes 18 bytes at least
    local each = {}
    each.kind, each.amount, each.mark, each.name, at = parse('B', '>Bi8i8Bc0', text, at)
    if is_rate(each.kind) then
      each.window, each.size, at = parse('B', '>i8i8', text, at)
      check_numbers('B', each.window, each.size)
    end
    check_numbers('B', each.amount)
    taken[#taken + 1] = each
  end
  return taken
end

-- Return the time at which a reservation lapses, and its parts in a record; or nil.
function booking(key, id)
  local text = get(key, 'B' .. id)
  if not text then
    return nil
  end
  local expires = parse('B', '>i8', text)
  check_numbers('B', expires - 1)
  local taken = read_parts(text, 9)
  for _, each in ipairs(taken) do
    each.home = key
  end
  return expires, taken
end

-- _settle_rate of rules/settled_units.py
local function settle_rate(key, each, kept)
  if each.size == 0 then
    return { fits = true, taken = 0 }
  end
  local part = {
    kind = each.kind, size = each.size, cost = 1, window = each.window, capacity = each.size, name = each.name,
    home = key, field = 'r' .. each.kind .. ':' .. each.window .. ':' .. each.name,
  }
  local extra = 0
  if kept < each.amount then
    refund_meter(part, each.amount - kept, each.mark)
  else
    local line = peek_meter(part)
    local used = line.used or line.bucket.high + (line.bucket.low > 0 and 1 or 0)
    extra = math.min(kept - each.amount, math.max(0, 4294967295 - used))
    if extra > 0 then
      part.cost = extra
      take_meter(part)
      part.cost = 1
    end
  end
  local line = peek_meter(part)
  line.fits, line.retry_at, line.taken = true, nil, extra
  return line
end

-- settle_units of rules/settled_units.py
function settle_units(key, each, kept)
  if is_rate(each.kind) then
    return settle_rate(key, each, kept)
  end
  local line = { fits = true, taken = math.max(0, kept - each.amount) }
  if each.kind == ALLOCATION then
    line.used, line.reserved = settle_allocation(key, each.name, each.amount, kept)
    return line
  end
  local period = settle_quota(key, each.name, each.mark, each.amount, kept)
  if not period then
    return { fits = true, taken = 0 }
  end
  line.used, line.reserved, line.resets_at, line.mark = period.used, period.reserved, period.ends, period.start
  return line
end

-- Return what a lapsed reservation holds of a limit; a rate's units leave with their window.
local function return_units(key, each)
  if each.kind == QUOTA then
    settle_quota(key, each.name, each.mark, each.amount, 0)
  elseif each.kind == ALLOCATION then
    settle_allocation(key, each.name, each.amount, 0)
  end
end

-- end_booking: end a reservation that has lapsed
function end_booking(key, id)
  local _, taken = booking(key, id)
  remove_booking(key, id)
  for _, each in ipairs(taken) do
    return_units(key, each)
  end
end

-- End all lapsed reservations of up to MAX_SWEPT_AT_ONCE open ones: equal ones are read and written as one.
local function sweep_all(key)
  local book = load_book(key)
  local fields, staying, lapsed, equal = {}, {}, {}, {}
  for at = 1, book.open do
    fields[at] = 'b' .. at
  end
  fetch(key, fields)
  for at = 1, book.open do
    local entry = entry_at(key, at)
    local expires = unpack('>i8', entry)
    if expires > now then
      staying[#staying + 1] = { expires, entry }
    else
      lapsed[#lapsed + 1] = 'B' .. sub(entry, 9)
    end
  end
  fetch(key, lapsed)
  for _, field in ipairs(lapsed) do
    local parts = sub(get(key, field) or corrupt('b'), 9)
    equal[parts] = (equal[parts] or 0) + 1
    put(key, field, false)
    put(key, 'p' .. sub(field, 2), false)
  end
  for text, count in pairs(equal) do
    for _, each in ipairs(read_parts(text, 1)) do
      each.amount = each.amount * count
      return_units(key, each)
    end
  end
  table.sort(staying, function(one, other) -- a sorted list is a heap
    return one[1] < other[1] or one[1] == other[1] and before(one[2], other[2])
  end)
  for at = 1, book.open do
    if staying[at] then
      place(key, at, staying[at][2])
    else
      put(key, 'b' .. at, false)
    end
  end
  book.open = #staying
  book.changed = true
end

-- sweep: end lapsed reservations: all of up to MAX_SWEPT_AT_ONCE open ones, else the earliest MAX_SWEPT_RESERVATIONS
function sweep(key)
  local all
  for number = 1, MAX_SWEPT_RESERVATIONS do
    local first = get(key, 'b1') and entry_at(key, 1)
    if not first or unpack('>i8', first) > now then
      return
    end
    if number == 1 then
      all = load_book(key).open <= MAX_SWEPT_AT_ONCE
    end
    if all and number > FEW then
      return sweep_all(key)
    end
    if not get(key, 'B' .. sub(first, 9)) then
      corrupt('b')
    end
    end_booking(key, sub(first, 9))
  end
end

function sweep_both()
  sweep(account)
  if scope ~= account then
    sweep(scope)
  end
end
end
