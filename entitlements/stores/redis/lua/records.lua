-- Records: the hash of an account or of a scope. Fields are read and changed in tables and
-- written by `flush` at the end, so that an error on the way writes nothing.
--
-- Each later file is a block, which is not indented, and begins with local copies of what it uses.
-- Creating a function searches all variables that functions above it have captured; the end of a block
-- closes them. That search was half of a call's time.
--
-- Fields (the first byte is the kind; a limit's name, an id or a number follows):
--   m             bookkeeping: allocations in use, open reservations, then head, tail and length of two lists
--   r<law>:<window>:<rate>  meter of a rate (meters.lua)
--   q<quota>      running period; h<quota> the periods before it, newest first (counted_meters.lua);
--                 the same of an allocation, for its refusals
--   a<allocation> anonymous and reserved units, number of holders, while there are any; u<allocation>:<holder> a holder
--   O<id> K<id>   operation of the package, of a caller's key (idempotency.lua)
--   o<n> k<n>     the same in order of arrival: time of expiry, and id
--   s<producer>   sequence of a producer, S the list of producers (sequence.lua)
--   v             version of the account: the time of its last invalidation (`read_version`)
--   e             time until which a quota of a long period needs the record (counted_meters.lua)
--   B<id>         reservation; b<n> a heap of them by time of expiry and id; p<id> its place there
--
-- The index of the scopes of an account is a sorted set, in the order of its members (`enter_scope`).
--
-- A record stays while an allocation is in use. Otherwise it expires: not before its rates are idle, its operations
-- have expired and its reservations have lapsed, and not before 12 periods have passed since that of its last charge.
local pack, unpack, sub, table_unpack = struct.pack, struct.unpack, string.sub, unpack
local MAX_COUNT = 9007199254740991 -- 2^53 - 1
local MAX_READ = 2048 -- open reservations of which one call reads half
local HISTORY, LONG_PERIOD = 366 * 86400000000, 31 * 86400000000 -- 12 months of a quota, and one
local NEVER = MAX_COUNT -- the end of a lifetime
local VERSION_KEPT = 90000000000 -- `KEPT` of model/versions.py
local account, scope, scope_name = KEYS[1], KEYS[2] or KEYS[1], nil
local seen, changed = { [account] = {}, [scope] = {} }, { [account] = {}, [scope] = {} }
local needed_until, wanted_until, assured_until = {}, {}, {}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function corrupt(field)
  error('CORRUPT ' .. field)
end

-- Unpack *text*; it is corrupt if it is too short.
local function parse(field, format, text, at)
  local found = { pcall(unpack, format, text, at or 1) }
  if not found[1] then
    corrupt(field)
  end
  return table_unpack(found, 2)
end

-- A number that the scripts never write is corrupt.
local function check_numbers(field, ...)
  for _, number in ipairs({ ... }) do
    if number < 0 or number > MAX_COUNT then
      corrupt(field)
    end
  end
end

local function get(key, field)
  local record = seen[key]
  local value = record[field]
  if value == nil then
    value = redis.call('HGET', key, field)
    record[field] = value
  end
  return value
end

-- Set a field to *value*; false deletes it.
local function put(key, field, value)
  seen[key][field] = value
  changed[key][field] = true
end

-- Read several fields with one command, but those that have been read or changed.
local function fetch(key, fields)
  local record, unseen = seen[key], {}
  for _, field in ipairs(fields) do
    if record[field] == nil then
      unseen[#unseen + 1] = field
    end
  end
  if #unseen > 0 then
    local values = redis.call('HMGET', key, table_unpack(unseen))
    for at, field in ipairs(unseen) do
      record[field] = values[at]
    end
  end
end

-- Return the version of the account while it is kept, else nil.
local function read_version()
  local text = get(account, 'v')
  if not text then
    return nil
  end
  local version = parse('v', '>i8', text)
  check_numbers('v', version)
  return now < version + VERSION_KEPT and version or nil
end

-- Bookkeeping of each record, read on first use.
local books = {}
local function load_book(key)
  local book = books[key]
  if not book then
    book = { in_use = 0, open = 0, o_head = 0, o_tail = 0, o_count = 0, k_head = 0, k_tail = 0, k_count = 0 }
    books[key] = book
    local text = get(key, 'm')
    if text then
      if #text ~= 48 then
        corrupt('m')
      end
      book.in_use, book.open, book.o_head, book.o_tail, book.o_count, book.k_head, book.k_tail, book.k_count =
        unpack('>I4I4i8i8I4i8i8I4', text)
      check_numbers('m', book.o_head, book.o_tail - book.o_head - book.o_count, book.o_tail,
        book.k_head, book.k_tail - book.k_head - book.k_count, book.k_tail)
      if book.in_use + book.open + book.o_tail + book.k_tail == 0 then
        corrupt('m')
      end
    end
    book.stayed = book.in_use > 0
  end
  return book
end

-- Count an allocation that comes into use (1) or is no longer (-1).
local function count_in_use(key, change)
  local book = load_book(key)
  book.in_use = book.in_use + change
  book.changed = true
end

-- Keep the record of *key* at least until *instant*; until *wanted* if its expiry must be set for that.
local function keep_until(key, instant, wanted)
  needed_until[key] = math.max(needed_until[key] or 0, instant)
  wanted_until[key] = math.max(wanted_until[key] or 0, wanted or 2 * instant - now)
end

local function write_all(command, key, list)
  for at = 1, #list, 1000 do
    redis.call(command, key, table_unpack(list, at, math.min(at + 999, #list)))
  end
end

-- Write the fields of *key* that have changed, and its expiry; *has_stayed*: it had none.
local function flush_record(key, stays, has_stayed)
  local life
  if needed_until[key] and not stays then
    local left = redis.call('PTTL', key)
    if has_stayed or left ~= -1 and now + left * 1000 < needed_until[key] then
      life = math.min((wanted_until[key] - now) / 1000 + 1, 1e15)
      life = life - life % 1
    end
  end
  local set, deleted = {}, {}
  for field in pairs(changed[key]) do
    local value = seen[key][field]
    if value then
      set[#set + 1] = field
      set[#set + 1] = value
    else
      deleted[#deleted + 1] = field
    end
  end
  write_all('HSET', key, set)
  write_all('HDEL', key, deleted)
  local lives = life and redis.call('PEXPIRE', key, life) == 1
  if key ~= account and (lives or #deleted > 0 and redis.call('PTTL', key) == -2) then
    enter_scope(KEYS[3], scope_name, lives and now + life * 1000 or 0, false, now)
  end
end

-- The instant at which the last of the open reservations of a record lapses: it is among the leaves of the heap.
local function last_lapse(key)
  local book = books[key]
  if book.open > MAX_READ then
    return MAX_COUNT
  end
  local leaves, last = {}, 0
  for at = (book.open - book.open % 2) / 2 + 1, book.open do
    leaves[#leaves + 1] = 'b' .. at
  end
  fetch(key, leaves)
  for _, field in ipairs(leaves) do
    last = math.max(last, (parse(field, '>i8', get(key, field))))
  end
  return last
end

-- The instant until which a quota of a long period needs the record of *key*.
local function last_need(key)
  local text = get(key, 'e')
  local instant = text and parse('e', '>i8', text) or 0
  check_numbers('e', instant)
  return instant
end

-- Write what has changed in one record.
local function flush_key(key)
  local book, stays, stayed = books[key], false, false
  if book then
    stays, stayed = book.in_use > 0, book.stayed
    if stayed and not stays then
      local latest = math.max(now + LONG_PERIOD + HISTORY, last_lapse(key), last_need(key))
      keep_until(key, latest, latest)
    end
    if book.changed then
      local is_empty = book.in_use + book.open + book.o_tail + book.k_tail == 0
      put(key, 'm', not is_empty and pack('>I4I4i8i8I4i8i8I4', book.in_use, book.open,
        book.o_head, book.o_tail, book.o_count, book.k_head, book.k_tail, book.k_count))
    end
  end
  flush_record(key, stays or not stayed and (needed_until[key] or 0) <= (assured_until[key] or 0), stayed)
  if stays and not stayed then
    redis.call('PERSIST', key)
    if key ~= account then
      enter_scope(KEYS[3], scope_name, 0, true, now)
    end
  end
end

local function flush()
  flush_key(account)
  if scope ~= account then
    flush_key(scope)
  end
end
