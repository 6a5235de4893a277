-- One record: an account's hash, or a scope's. Everything is read and changed here first and
-- written by `flush` at the very end, so that an error half-way writes nothing at all.
--
-- The files after this one stand each in a block, which is not indented: making a function costs
-- a search through every local variable that functions above it hold, and a block's end lets go
-- of those. Half of a call's time was that search; so was the reason for the locals at its head.
--
-- Fields (the first byte tells the kind; what follows it is a limit's name, an id or a number):
--   m             bookkeeping: permanent, reservations, then head, tail and length of two lists
--   r<rate>       a meter (meters.lua)
--   q<quota>      the running period; h<quota> the ones before it, newest first (counts.lua)
--   a<allocation> anonymous, reserved, number of holders; u<allocation>:<holder> one holder
--   O<id> K<id>   an operation of ours, of a caller's (idempotency.lua)
--   o<n> k<n>     the same in the order they came: when it expires, and its id
--   B<id>         a reservation; b<n> a heap of them by lapse and id; p<id> its place there
local pack, unpack, sub, table_unpack = struct.pack, struct.unpack, string.sub, unpack
local MAX_COUNT = 9007199254740991 -- 2^53 - 1
local account, scope = KEYS[1], KEYS[2] or KEYS[1]
local seen, changed, lasting = { [account] = {}, [scope] = {} }, { [account] = {}, [scope] = {} }, {}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function corrupt(field)
  error('CORRUPT ' .. field)
end

-- Read stored *text*; what is too short for it is corrupt, and so is a number that was never written.
local function parse(field, format, text, at)
  local found = { pcall(unpack, format, text, at or 1) }
  if not found[1] then
    corrupt(field)
  end
  return table_unpack(found, 2)
end

local function whole(field, ...)
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

-- Put *value* into a field; false deletes it.
local function put(key, field, value)
  seen[key][field] = value
  changed[key][field] = true
end

-- Read several fields at once.
local function fetch(key, fields)
  if #fields > 0 then
    local values = redis.call('HMGET', key, table_unpack(fields))
    for at, field in ipairs(fields) do
      seen[key][field] = values[at]
    end
  end
end

-- Bookkeeping, read when first asked for.
local book, book_changed
local function books()
  if not book then
    book = { permanent = 0, open = 0, o_head = 0, o_tail = 0, o_count = 0, k_head = 0, k_tail = 0, k_count = 0 }
    local text = get(account, 'm')
    if text then
      if #text ~= 45 then
        corrupt('m')
      end
      book.permanent, book.open, book.o_head, book.o_tail, book.o_count, book.k_head, book.k_tail, book.k_count =
        unpack('>BI4i8i8I4i8i8I4', text)
      whole('m', book.o_head, book.o_tail - book.o_head, book.k_head, book.k_tail - book.k_head)
      if book.permanent + book.o_tail + book.k_tail == 0 then
        corrupt('m')
      end
    end
  end
  return book
end

-- Remember that the record must outlive every window.
local function stay()
  if books().permanent == 0 then
    book.permanent = 2
    book_changed = true
  end
end

-- Remember that the record of *key* matters until *instant*.
local function last_until(key, instant)
  if instant > (lasting[key] or 0) then
    lasting[key] = instant
  end
end

local function write_all(command, key, list)
  for at = 1, #list, 1000 do
    redis.call(command, key, table_unpack(list, at, math.min(at + 999, #list)))
  end
end

local function flush_record(key)
  local life
  if lasting[key] and not (key == account and books().permanent > 0) then
    local left = redis.call('PTTL', key)
    if left ~= -1 and now + left * 1000 < lasting[key] then
      life = math.min((lasting[key] - now) / 1000 * 2 + 1, 1e15)
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

-- Write what has changed; a record that has come to stay loses its expiry.
local function flush()
  local settles = book_changed and book.permanent == 2
  if book_changed then
    book.permanent = math.min(book.permanent, 1)
    put(account, 'm', pack('>BI4i8i8I4i8i8I4', book.permanent, book.open,
      book.o_head, book.o_tail, book.o_count, book.k_head, book.k_tail, book.k_count))
  end
  flush_record(account)
  if settles then
    redis.call('PERSIST', account)
  end
  if scope ~= account then
    flush_record(scope)
  end
end
