-- What is counted of quotas and allocations: a translation of rules/counts.py.
--
-- A period is 48 bytes: start, end, size (-1: unlimited), used, reserved, denied.
-- An allocation is 24 bytes: anonymous, reserved, number of holders.
local KEPT_PERIODS, PERIOD = 13, 48
local read_period, pack_period, get_sized, running, write_period, settle_quota, give_back_quota, quota_line,
  quota_take, deny, read_held, new_held, write_held, holder_field, held_ask, held_take, settle_held,
  give_back_held, discard_holder
do
local pack, unpack, sub, get, put, account, now = pack, unpack, sub, get, put, account, now

function read_period(field, text, at)
  local period = {}
  period.start, period.ends, period.size, period.used, period.reserved, period.denied =
    unpack('>i8i8i8i8i8i8', text, at or 1)
  whole(field, period.ends - period.start - 1, math.max(period.size, -period.size - 1), period.reserved, period.used - period.reserved,
    period.used, period.denied)
  return period
end

function pack_period(period)
  return pack('>i8i8i8i8i8i8', period.start, period.ends, period.size, period.used, period.reserved, period.denied)
end

function get_sized(field, size)
  local text = get(account, field)
  if text and (#text == 0 or #text % size ~= 0) then
    corrupt(field)
  end
  return text
end

local function last_period(field)
  local text = get_sized(field, PERIOD)
  if text and #text ~= PERIOD then
    corrupt(field)
  end
  return text and read_period(field, text)
end

-- Metered.running: the period that a call falls in, without writing; nil if the ends are stale
function running(part)
  local ends, last = part.ends, last_period(part.field)
  local floor, chosen = last and math.max(now, last.start) or now, nil
  for at = 2, 4 do
    if ends[at] > floor then
      chosen = ends[at]
      break
    end
  end
  if not chosen and last and now < last.start then
    chosen = last.ends
  end
  if not chosen or now < ends[1] then
    return nil
  end
  local size = part.unlimited and -1 or part.size
  if last and now < last.ends then
    return { start = last.start, ends = chosen, size = size, used = last.used, reserved = last.reserved, denied = last.denied }
  end
  local start = ends[1]
  for at = 2, 4 do
    if ends[at] <= now then
      start = math.max(start, ends[at])
    end
  end
  if last then
    start = math.max(start, last.ends)
  end
  return { start = start, ends = chosen, size = size, used = 0, reserved = 0, denied = 0 }
end

-- Metered.write
function write_period(name, period)
  local text = get(account, 'q' .. name)
  if text and read_period('q' .. name, text).start ~= period.start then
    local older = text .. (get_sized('h' .. name, PERIOD) or '')
    put(account, 'h' .. name, sub(older, 1, (KEPT_PERIODS - 1) * PERIOD))
  end
  put(account, 'q' .. name, pack_period(period))
  stay()
end

-- Metered.find, and write what *change* makes of the period
local function change_period(name, start, change)
  local period = last_period('q' .. name)
  if period and period.start == start then
    change(period)
    put(account, 'q' .. name, pack_period(period))
    return
  end
  local older = get_sized('h' .. name, PERIOD)
  for at = 1, older and #older or 0, PERIOD do
    period = read_period('h' .. name, older, at)
    if period.start == start then
      change(period)
      put(account, 'h' .. name, sub(older, 1, at - 1) .. pack_period(period) .. sub(older, at + PERIOD))
      return
    end
  end
end

-- Metered.settle
function settle_quota(name, start, reserved, kept)
  change_period(name, start, function(period)
    period.reserved = period.reserved - reserved
    period.used = period.used - (reserved - kept)
  end)
end

-- Metered.give_back
function give_back_quota(name, start, amount)
  local back = 0
  change_period(name, start, function(period)
    back = math.min(amount, period.used - period.reserved)
    period.used = period.used - back
  end)
  return back
end

function quota_line(period, part)
  local fits = part.cost <= part.size - period.used or part.unlimited
  local waits = not fits and part.cost <= part.size
  return {
    fits = fits, used = period.used, reserved = period.reserved, retry_at = waits and period.ends or nil,
    resets_at = period.ends, mark = period.start, taken = 0,
  }
end

function deny(period, cost)
  period.denied = math.min(MAX_COUNT, period.denied + cost)
end

function quota_take(period, part, reserve)
  local line = quota_line(period, part)
  local taken = math.min(part.cost, MAX_COUNT - period.used)
  period.used = period.used + taken
  if reserve then
    period.reserved = period.reserved + taken
  end
  if not line.fits then
    deny(period, part.cost)
  end
  line.used, line.reserved, line.taken = period.used, period.reserved, taken
  return line
end

-- Held: what is held of an allocation, or nil
function read_held(name)
  local text = get(account, 'a' .. name)
  if not text then
    return nil
  end
  if #text ~= 24 then
    corrupt('a' .. name)
  end
  local held = {}
  held.anonymous, held.reserved, held.holders = unpack('>i8i8i8', text)
  whole('a' .. name, held.anonymous, held.reserved, held.holders)
  return held
end

function new_held()
  return { anonymous = 0, reserved = 0, holders = 0 }
end

function write_held(name, held)
  put(account, 'a' .. name, pack('>i8i8i8', held.anonymous, held.reserved, held.holders))
  stay()
end

function holder_field(name, holder)
  return 'u' .. name .. ':' .. holder
end

-- Held.used
local function held_used(held)
  return math.min(MAX_COUNT, held.anonymous + held.holders + held.reserved)
end

-- Held.ask
function held_ask(held, part, holder)
  local holds = holder and get(account, holder_field(part.name, holder))
  local fits = holds or part.unlimited or part.cost <= part.size - held_used(held)
  return { fits = fits and true or false, used = held_used(held), reserved = held.reserved, taken = 0 }
end

-- Held.take
function held_take(held, part, holder, reserve)
  local line = held_ask(held, part, holder)
  if holder then
    local field = holder_field(part.name, holder)
    if not get(account, field) then
      put(account, field, '1')
      held.holders = held.holders + 1
      line.taken = 1
    end
  else
    line.taken = math.min(part.cost, MAX_COUNT - held_used(held))
    if reserve then
      held.reserved = held.reserved + line.taken
    else
      held.anonymous = held.anonymous + line.taken
    end
  end
  line.used, line.reserved = held_used(held), held.reserved
  return line
end

-- Held.settle
function settle_held(name, reserved, kept)
  local held = read_held(name)
  held.reserved = held.reserved - reserved
  held.anonymous = held.anonymous + kept
  write_held(name, held)
end

-- Held.give_back
function give_back_held(name, amount)
  local held = read_held(name)
  if not held then
    return 0
  end
  local released = math.min(amount, held.anonymous)
  held.anonymous = held.anonymous - released
  write_held(name, held)
  return released
end

-- Held.holders: let go of one; whether it held a unit
function discard_holder(name, holder)
  local held, field = read_held(name), holder_field(name, holder)
  if not held or not get(account, field) then
    return false
  end
  put(account, field, false)
  held.holders = held.holders - 1
  write_held(name, held)
  return true
end
end
