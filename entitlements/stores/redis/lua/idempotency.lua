-- Operations and reservations: how rules/ledger.py keeps them, in fields of one hash.
--
-- An operation is: expires, whether it was refunded (1 byte), its number in the list, its fingerprint (16 bytes),
-- then the outcome (now, a count of parts in 1 byte, lines, sizes of 8 bytes each, -1 unlimited)
-- and what was taken (a count in 1 byte; of each its kind in 1 byte and its name with a byte of
-- length before it), and last the holder.
-- A reservation is: expires; of each part its kind, amount, mark, and its name with its length.
local OPERATIONS_KEPT, KEYED_OPERATIONS_KEPT = 600000000, 86400000000
local HEAD = 33
local operation, is_ended, set_ended, drop, remember, add_booking, booking, unbook, sweep
do
local pack, unpack, sub, get, put, account, now = pack, unpack, sub, get, put, account, now

local MAX_OPERATIONS, SWEPT_OPERATIONS, SWEPT_RESERVATIONS = 4096, 4, 64

-- Ledger.operation: the record of an operation that has not expired, and its field
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
  local expires, ended, number = unpack('>i8Bi8', text)
  whole(sub(field, 1, 1), expires - 1, 1 - ended, number)
  if now >= expires then
    return nil
  end
  return text, field
end

-- Operation.ended
function is_ended(text)
  return string.byte(text, 9) == 1
end

function set_ended(text, field)
  put(account, field, sub(text, 1, 8) .. '\1' .. sub(text, 10))
end

-- The dictionaries `operations` and `keyed_operations`: each a list of fields o<n> or k<n>
-- from head to tail, with holes where an id was put in anew.
local LISTS = {
  o = { record = 'O', head = 'o_head', tail = 'o_tail', count = 'o_count' },
  k = { record = 'K', head = 'k_head', tail = 'k_tail', count = 'k_count' },
}

-- Return the oldest entry, or nil; the head moves past holes.
local function oldest(letter)
  local list = LISTS[letter]
  while book[list.head] < book[list.tail] do
    local entry = get(account, letter .. book[list.head])
    if entry then
      return entry
    end
    book[list.head] = book[list.head] + 1
  end
  return nil
end

local function drop_oldest(letter)
  local list = LISTS[letter]
  local field = letter .. book[list.head]
  put(account, list.record .. sub(get(account, field), 9), false)
  put(account, field, false)
  book[list.head] = book[list.head] + 1
  book[list.count] = book[list.count] - 1
end

-- _drop_expired
local function drop_expired(letter)
  for _ = 1, SWEPT_OPERATIONS do
    local entry = oldest(letter)
    if not entry then
      return
    end
    local expires = parse(letter, '>i8', entry)
    whole(letter, expires - 1)
    if expires > now then
      return
    end
    drop_oldest(letter)
  end
end

-- remember: keep an operation; how many ids were dropped before their time
function remember(id, keyed, expires, rest)
  books()
  drop_expired('o')
  drop_expired('k')
  local letter = keyed and 'k' or 'o'
  local list = LISTS[letter]
  local field = list.record .. id
  local before = get(account, field)
  if before then
    local _, _, number = parse(list.record, '>i8Bi8', before)
    put(account, letter .. number, false)
    book[list.count] = book[list.count] - 1
  end
  local number = book[list.tail]
  put(account, field, pack('>i8Bi8', expires, 0, number) .. rest)
  put(account, letter .. number, pack('>i8', expires) .. id)
  book[list.tail] = number + 1
  book[list.count] = book[list.count] + 1
  local forgotten = 0
  while book.o_count + book.k_count > MAX_OPERATIONS do
    local victim = book.o_count > (keyed and 0 or 1) and 'o' or 'k' -- never the one that came just now
    oldest(victim)
    drop_oldest(victim)
    forgotten = forgotten + 1
  end
  book_changed = true
  last_until(account, expires)
  return forgotten
end

-- Ledger.drop: forget an operation
function drop(id)
  for letter, list in pairs(LISTS) do
    local text = get(account, list.record .. id)
    if text then
      books()
      local _, _, number = parse(list.record, '>i8Bi8', text)
      put(account, list.record .. id, false)
      put(account, letter .. number, false)
      book[list.count] = book[list.count] - 1
      book_changed = true
    end
  end
end

-- A heap of reservations: the field b1 lapses first. Entries are the instant and the id, and
-- compare as bytes do (Lua's own comparison follows the server's locale).
local function before(one, other)
  for at = 1, math.min(#one, #other) do
    local left, right = string.byte(one, at), string.byte(other, at)
    if left ~= right then
      return left < right
    end
  end
  return #one < #other
end

local function place(at, entry)
  put(account, 'b' .. at, entry)
  put(account, 'p' .. sub(entry, 9), tostring(at))
end

local function entry_at(at)
  local entry = get(account, 'b' .. at)
  if not entry or #entry < 9 or unpack('>i8', entry) < 1 then
    corrupt('b')
  end
  return entry
end

local function rise(at, entry)
  while at > 1 do
    local parent = (at - at % 2) / 2
    local above = entry_at(parent)
    if not before(entry, above) then
      break
    end
    place(at, above)
    at = parent
  end
  place(at, entry)
end

local function sink(at, entry)
  while at * 2 <= book.open do
    local child = at * 2
    local below = entry_at(child)
    if child < book.open and before(entry_at(child + 1), below) then
      child = child + 1
      below = entry_at(child)
    end
    if not before(below, entry) then
      break
    end
    place(at, below)
    at = child
  end
  place(at, entry)
end

function add_booking(id, expires, taken)
  books()
  book.open = book.open + 1
  book_changed = true
  put(account, 'B' .. id, pack('>i8', expires) .. taken)
  rise(book.open, pack('>i8', expires) .. id)
  stay()
end

local function remove_booking(id)
  books()
  local at, last = tonumber(get(account, 'p' .. id)), entry_at(book.open)
  if not at or at > book.open then
    corrupt('p')
  end
  put(account, 'b' .. book.open, false)
  put(account, 'p' .. id, false)
  put(account, 'B' .. id, false)
  book.open = book.open - 1
  book_changed = true
  if at > book.open then
    return
  end
  if at > 1 and before(last, entry_at((at - at % 2) / 2)) then
    rise(at, last)
  else
    sink(at, last)
  end
end

-- Return when a reservation lapses and what it holds, or nil.
function booking(id)
  local text = get(account, 'B' .. id)
  if not text then
    return nil
  end
  local expires, at = parse('B', '>i8', text)
  whole('B', expires - 1)
  local taken = {}
  while at <= #text do
    local each = {}
    each.kind, each.amount, each.mark, each.name, at = parse('B', '>Bi8i8Bc0', text, at)
    whole('B', each.amount)
    taken[#taken + 1] = each
  end
  return expires, taken
end

-- unbook: end a reservation; of each limit, what *kept* says stays used
function unbook(id, kept)
  local _, taken = booking(id)
  remove_booking(id)
  for _, each in ipairs(taken) do
    local amount = math.min(each.amount, kept[each.name] or 0)
    if each.kind == QUOTA then
      settle_quota(each.name, each.mark, each.amount, amount)
    else
      settle_held(each.name, each.amount, amount)
    end
  end
end

-- sweep: end reservations that have lapsed, the earliest first, at most 64 at a time
function sweep()
  for _ = 1, SWEPT_RESERVATIONS do
    local first = get(account, 'b1') and entry_at(1)
    if not first or unpack('>i8', first) > now then
      return
    end
    if not get(account, 'B' .. sub(first, 9)) then
      corrupt('b')
    end
    unbook(sub(first, 9), {})
  end
end
end
