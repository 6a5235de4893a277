-- Quotas and allocations: a translation of rules/counted_meters.py.
--
-- A period takes 48 bytes: start, end, size as recorded (codec.lua), used, reserved, denied.
-- An allocation takes 24 bytes: anonymous units, reserved units, number of holders. It has none when all are 0.
local KEPT_PERIODS, PERIOD = 13, 48
local read_period, pack_period, get_list, running_period, period_of, write_period, settle_quota, refund_quota, quota_line,
  take_quota, deny, read_allocation, new_allocation, write_allocation, holder_field, peek_allocation, take_allocation,
  settle_allocation, refund_allocation, remove_holder
do
local pack, unpack, sub, get, put, now = pack, unpack, sub, get, put, now

function read_period(field, text, at)
  local period = {}
  period.start, period.ends, period.size, period.used, period.reserved, period.denied =
    unpack('>i8i8i8i8i8i8', text, at or 1)
  check_numbers(field, period.ends - period.start - 1, math.max(period.size, -period.size - 1), period.reserved,
    period.used - period.reserved, period.used, period.denied)
  return period
end

function pack_period(period)
  return pack('>i8i8i8i8i8i8', period.start, period.ends, period.size, period.used, period.reserved, period.denied)
end

-- Return a list of records of *size* bytes each, or false if there is none.
function get_list(home, field, size)
  local text = get(home, field)
  if text and (#text == 0 or #text % size ~= 0 or #text > KEPT_PERIODS * size) then
    corrupt(field)
  end
  return text
end

local function last_period(home, field)
  local text = get_list(home, field, PERIOD)
  if text and #text ~= PERIOD then
    corrupt(field)
  end
  return text and read_period(field, text)
end

-- QuotaMeter.running: return the period that a call falls in, or nil if the ends are stale; write nothing.
-- If its end `has_moved`, what tells of it writes it (QuotaMeter.keep_end).
function running_period(part, made_at)
  local now = made_at or now
  local ends, last = part.ends, last_period(part.home, 'q' .. part.name)
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
  if last and now < last.ends then
    return { start = last.start, ends = chosen, size = part.recorded, used = last.used, reserved = last.reserved,
      denied = last.denied, has_moved = chosen ~= last.ends }
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
  return { start = start, ends = chosen, size = part.recorded, used = 0, reserved = 0, denied = 0 }
end

-- QuotaMeter.period_of
function period_of(part, made_at)
  if not made_at or made_at >= now then
    return running_period(part)
  end
  local field = 'h' .. part.name
  local older = get_list(part.home, field, PERIOD) or ''
  for at = #older - PERIOD + 1, 1, -PERIOD do
    local period = read_period(field, older, at)
    if made_at < period.ends then
      return period
    end
  end
  local last = last_period(part.home, 'q' .. part.name)
  return last and made_at < last.ends and last or running_period(part, made_at)
end

-- QuotaMeter.find: apply *change* to a period, write it and return it
local function change_period(home, name, start, change)
  local period = last_period(home, 'q' .. name)
  if period and period.start == start then
    change(period)
    put(home, 'q' .. name, pack_period(period))
    return period
  end
  local older = get_list(home, 'h' .. name, PERIOD)
  for at = 1, older and #older or 0, PERIOD do
    period = read_period('h' .. name, older, at)
    if period.start == start then
      change(period)
      put(home, 'h' .. name, sub(older, 1, at - 1) .. pack_period(period) .. sub(older, at + PERIOD))
      return period
    end
  end
end

-- QuotaMeter.write
function write_period(home, name, period)
  local text = get(home, 'q' .. name)
  local stored = text and read_period('q' .. name, text)
  if stored and period.start < stored.start then
    change_period(home, name, period.start, function(kept)
      kept.used, kept.reserved, kept.denied = period.used, period.reserved, period.denied
    end)
    return
  end
  if stored and stored.start ~= period.start then
    local older = text .. (get_list(home, 'h' .. name, PERIOD) or '')
    put(home, 'h' .. name, sub(older, 1, (KEPT_PERIODS - 1) * PERIOD))
  end
  put(home, 'q' .. name, pack_period(period))
  local last = math.min(period.ends + HISTORY, MAX_COUNT)
  if stored and stored.start == period.start and stored.ends == period.ends and not changed[home]['q' .. name] then
    assured_until[home] = math.max(assured_until[home] or 0, last)
  else
    keep_until(home, last, last)
    if period.ends > now + LONG_PERIOD then
      put(home, 'e', pack('>i8', math.max(last, last_need(home))))
    end
  end
end

-- QuotaMeter.settle
function settle_quota(home, name, start, reserved, kept)
  return change_period(home, name, start, function(period)
    period.reserved = period.reserved - reserved
    period.used = math.min(MAX_COUNT, period.used - reserved + kept)
  end)
end

-- QuotaMeter.refund
function refund_quota(home, name, start, amount)
  local back = 0
  change_period(home, name, start, function(period)
    back = math.min(amount, period.used - period.reserved)
    period.used = period.used - back
  end)
  return back
end

function quota_line(period, part)
  local fits = part.cost <= part.most - period.used or part.unlimited
  local waits = not fits and part.cost <= part.most
  local ends = period.ends ~= NEVER and period.ends or nil
  return {
    fits = fits, used = period.used, reserved = period.reserved, retry_at = waits and ends or nil,
    resets_at = ends, mark = period.start, taken = 0,
  }
end

function deny(period, cost)
  period.denied = math.min(MAX_COUNT, period.denied + cost)
end

function take_quota(period, part, reserve)
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

-- AllocationMeter, or nil
function read_allocation(home, name)
  local text = get(home, 'a' .. name)
  if not text then
    return nil
  end
  if #text ~= 24 then
    corrupt('a' .. name)
  end
  local held = {}
  held.anonymous, held.reserved, held.holders = unpack('>i8i8i8', text)
  check_numbers('a' .. name, held.anonymous, held.reserved, held.holders)
  return held
end

function new_allocation()
  return { anonymous = 0, reserved = 0, holders = 0 }
end

-- The record stays while an allocation has units that nobody reserved: reservations lapse by themselves.
function write_allocation(home, name, held)
  local stored, is_used = read_allocation(home, name), held.anonymous + held.holders > 0
  if is_used ~= (stored and stored.anonymous + stored.holders > 0 or false) then
    count_in_use(home, is_used and 1 or -1)
  end
  local is_empty = not is_used and held.reserved == 0
  put(home, 'a' .. name, not is_empty and pack('>i8i8i8', held.anonymous, held.reserved, held.holders))
end

function holder_field(name, holder)
  return 'u' .. name .. ':' .. holder
end

-- AllocationMeter.used
local function allocation_used(held)
  return math.min(MAX_COUNT, held.anonymous + held.holders + held.reserved)
end

-- AllocationMeter.peek
function peek_allocation(held, part, holder)
  local holds = holder and get(part.home, holder_field(part.name, holder))
  local fits = holds or part.unlimited or part.cost <= part.most - allocation_used(held)
  return { fits = fits and true or false, used = allocation_used(held), reserved = held.reserved, taken = 0 }
end

-- AllocationMeter.take
function take_allocation(held, part, holder, reserve)
  local line = peek_allocation(held, part, holder)
  if holder then
    local field = holder_field(part.name, holder)
    if not get(part.home, field) then
      put(part.home, field, '1')
      held.holders = held.holders + 1
      line.taken = 1
    end
  else
    line.taken = math.min(part.cost, MAX_COUNT - allocation_used(held))
    if reserve then
      held.reserved = held.reserved + line.taken
    else
      held.anonymous = held.anonymous + line.taken
    end
  end
  line.used, line.reserved = allocation_used(held), held.reserved
  return line
end

-- AllocationMeter.settle
function settle_allocation(home, name, reserved, kept)
  local held = read_allocation(home, name) or reserved == 0 and new_allocation() or corrupt('a' .. name)
  held.reserved = held.reserved - reserved
  held.anonymous = held.anonymous + math.min(kept, MAX_COUNT - allocation_used(held))
  write_allocation(home, name, held)
  return allocation_used(held), held.reserved
end

-- AllocationMeter.refund
function refund_allocation(home, name, amount)
  local held = read_allocation(home, name)
  if not held then
    return 0
  end
  local released = math.min(amount, held.anonymous)
  held.anonymous = held.anonymous - released
  write_allocation(home, name, held)
  return released
end

-- Remove a holder; return whether it held a unit.
function remove_holder(home, name, holder)
  local held, field = read_allocation(home, name), holder_field(name, holder)
  if not held or not get(home, field) then
    return false
  end
  put(home, field, false)
  held.holders = held.holders - 1
  write_allocation(home, name, held)
  return true
end
end
