-- Records: the hash of an account or of a scope. Fields are read and changed in tables and
-- written by `flush` at the end, so that an error on the way writes nothing.
--
-- Each later file is a block, which is not indented, and begins with local copies of what it uses.
-- Creating a function searches all variables that functions above it have captured; the end of a block
-- closes them. That search was half of a call's time.
--
-- Fields (the first byte is the kind; a limit's name, an id or a number follows):
--   m             bookkeeping: permanent, open reservations, then head, tail and length of two lists
--   r<law>:<window>:<rate>  meter of a rate (meters.lua)
--   q<quota>      running period; h<quota> the periods before it, newest first (counted_meters.lua)
--   a<allocation> anonymous and reserved units, number of holders; u<allocation>:<holder> a holder
--   O<id> K<id>   operation of the package, of a caller's key (idempotency.lua)
--   o<n> k<n>     the same in order of arrival: time of expiry, and id
--   B<id>         reservation; b<n> a heap of them by time of expiry and id; p<id> its place there
local pack, unpack, sub, table_unpack = struct.pack, struct.unpack, string.sub, unpack
local MAX_COUNT = 9007199254740991 -- 2^53 - 1
local account, scope = KEYS[1], KEYS[2] or KEYS[1]
local seen, changed, kept_until = { [account] = {}, [scope] = {} }, { [account] = {}, [scope] = {} }, {}
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

-- Read several fields with one command.
local function fetch(key, fields)
  if #fields > 0 then
    local values = redis.call('HMGET', key, table_unpack(fields))
    for at, field in ipairs(fields) do
      seen[key][field] = values[at]
    end
  end
end

-- Bookkeeping, read on first use.
local book, book_changed
local function load_book()
  if not book then
    book = { permanent = 0, open = 0, o_head = 0, o_tail = 0, o_count = 0, k_head = 0, k_tail = 0, k_count = 0 }
    local text = get(account, 'm')
    if text then
      if #text ~= 45 then
        corrupt('m')
      end
      book.permanent, book.open, book.o_head, book.o_tail, book.o_count, book.k_head, book.k_tail, book.k_count =
        unpack('>BI4i8i8I4i8i8I4', text)
      check_numbers('m', book.o_head, book.o_tail - book.o_head, book.k_head, book.k_tail - book.k_head)
      if book.permanent + book.o_tail + book.k_tail == 0 then
        corrupt('m')
      end
    end
  end
  return book
end

-- Keep the record of the account without expiry.
local function make_permanent()
  if load_book().permanent == 0 then
    book.permanent = 2
    book_changed = true
  end
end

-- Keep the record of *key* at least until *instant*.
local function keep_until(key, instant)
  if instant > (kept_until[key] or 0) then
    kept_until[key] = instant
  end
end

local function write_all(command, key, list)
  for at = 1, #list, 1000 do
    redis.call(command, key, table_unpack(list, at, math.min(at + 999, #list)))
  end
end

local function flush_record(key)
  local life
  if kept_until[key] and not (key == account and load_book().permanent > 0) then
    local left = redis.call('PTTL', key)
    if left ~= -1 and now + left * 1000 < kept_until[key] then
      life = math.min((kept_until[key] - now) / 1000 * 2 + 1, 1e15)
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
  if life then
    redis.call('PEXPIRE', key, life)
  end
end

-- Write what has changed; a record that has become permanent loses its expiry.
local function flush()
  local becomes_permanent = book_changed and book.permanent == 2
  if book_changed then
    book.permanent = math.min(book.permanent, 1)
    put(account, 'm', pack('>BI4i8i8I4i8i8I4', book.permanent, book.open,
      book.o_head, book.o_tail, book.o_count, book.k_head, book.k_tail, book.k_count))
  end
  flush_record(account)
  if becomes_permanent then
    redis.call('PERSIST', account)
  end
  if scope ~= account then
    flush_record(scope)
  end
end
