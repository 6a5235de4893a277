-- Rate meters: a translation of rules/meters.py.
--
-- A meter is one field, whose name holds its law and window. It begins with the time up to which the
-- key will live at least. Numbers take 8 bytes unless another size is given:
--   1 sliding       head, total (4 bytes), 61 counts (4 bytes each): 264 bytes
--   2 fixed         index, count: 24 bytes
--   3 token bucket  at, backlog in tokens and in token-microseconds below a token, size: 40 bytes;
--                   then up to 32 lows of 20 bytes: instant, and a backlog as before, its tokens in 4 bytes
-- A backlog in token-microseconds may exceed 2^53, so tokens and their remainder are kept apart.
local peek_meter, take_meter, refund_meter, mark_at
do
local pack, unpack, sub, get, put, account, now = pack, unpack, sub, get, put, account, now

local RING, LOWS = 61, 32
local NO_COUNTS = string.rep('\0', RING * 4)

-- Return the width of a bucket: a sixtieth of the window, rounded up.
local function width_of(window)
  return (window + 59 - (window + 59) % 60) / 60
end

-- Return the stored meter of a rate, or nil.
local function stored_meter(part)
  local field, law = part.field, part.kind
  local text = get(part.home, field)
  if not text then
    return nil
  end
  local meter, length = { law = law, window = part.window }, #text
  if law == SLIDING and length == 264 then
    meter.kept, meter.head, meter.total = unpack('>i8i8I4', text)
    meter.width = width_of(meter.window)
    meter.counts = sub(text, 21)
    check_numbers(field, meter.kept, meter.head)
  elseif law == FIXED and length == 24 then
    meter.kept, meter.index, meter.count = unpack('>i8i8i8', text)
    check_numbers(field, meter.kept, meter.index, meter.count)
  elseif law == TOKEN_BUCKET and length >= 40 and length <= 40 + 20 * LOWS and length % 20 == 0 then
    meter.kept, meter.at, meter.high, meter.low, meter.size = unpack('>i8i8i8i8i8', text)
    check_numbers(field, meter.kept, meter.at, meter.high, meter.low, meter.size)
    meter.lows = {}
    for at = 41, length, 20 do
      local low = {}
      low.at, low.high, low.low = unpack('>i8I4i8', text, at)
      check_numbers(field, low.at, low.low)
      meter.lows[#meter.lows + 1] = low
    end
  else
    corrupt(field)
  end
  return meter
end

local function pack_meter(meter)
  if meter.law == SLIDING then
    return pack('>i8i8I4', meter.kept, meter.head, meter.total) .. meter.counts
  elseif meter.law == FIXED then
    return pack('>i8i8i8', meter.kept, meter.index, meter.count)
  end
  local lows = {}
  for at, low in ipairs(meter.lows) do
    lows[at] = pack('>i8I4i8', low.at, low.high, low.low)
  end
  return pack('>i8i8i8i8i8', meter.kept, meter.at, meter.high, meter.low, meter.size) .. table.concat(lows)
end

-- new_meter
local function new_meter(part)
  return {
    law = part.kind, window = part.window, kept = 0,
    width = width_of(part.window), head = -RING, total = 0, counts = NO_COUNTS,
    index = -2, count = 0,
    at = 0, high = 0, low = 0, size = 1, lows = {},
  }
end

local function count_in(meter, bucket)
  return (unpack('>I4', meter.counts, bucket % RING * 4 + 1))
end

local function set_count(meter, bucket, count)
  local slot = bucket % RING * 4
  meter.counts = sub(meter.counts, 1, slot) .. pack('>I4', count) .. sub(meter.counts, slot + 5)
end

-- Sliding._look
local function sliding_look(meter)
  local bucket = (now - now % meter.width) / meter.width
  local ahead = bucket - meter.head
  if ahead == 0 then
    return bucket, meter.total
  elseif ahead < 0 then
    if meter.head * meter.width - now > meter.window then
      return bucket, 0
    end
    return meter.head, meter.total
  elseif ahead >= RING then
    return bucket, 0
  end
  local used = meter.total
  for at = meter.head + 1, bucket do
    used = used - count_in(meter, at)
  end
  return bucket, used
end

-- Sliding.peek, with _fits_at and _empty_at
local function sliding_peek(meter, size, cost)
  local bucket, used = sliding_look(meter)
  local line = { fits = cost <= size - used, used = used, resets_at = now, mark = bucket * meter.width, taken = 0 }
  if not line.fits and cost <= size then
    local left = used
    for at = bucket - RING + 1, meter.head do
      left = left - count_in(meter, at)
      if cost <= size - left then
        line.retry_at = (at + RING) * meter.width
        break
      end
    end
  end
  if used > 0 then
    for at = meter.head, meter.head - RING + 1, -1 do
      if count_in(meter, at) > 0 then
        line.resets_at = (at + RING) * meter.width
        break
      end
    end
  end
  return line
end

-- Sliding.take, with _add and _advance
local function sliding_take(meter, cost)
  local bucket, used = sliding_look(meter)
  local ahead = bucket - meter.head
  if ahead < 0 or ahead >= RING then
    meter.counts = NO_COUNTS
  else
    for at = meter.head + 1, bucket do
      set_count(meter, at, 0)
    end
  end
  meter.head, meter.total = bucket, used + cost
  set_count(meter, bucket, count_in(meter, bucket) + cost)
  local width = meter.width
  return { fits = true, used = meter.total, resets_at = (bucket + RING) * width, mark = bucket * width, taken = cost }
end

-- Sliding.refund
local function sliding_refund(meter, cost, mark)
  local bucket = (mark - mark % meter.width) / meter.width
  local present = (now - now % meter.width) / meter.width
  if bucket > meter.head or bucket <= math.max(meter.head, present) - RING then
    return 0
  end
  local back = math.min(cost, count_in(meter, bucket))
  set_count(meter, bucket, count_in(meter, bucket) - back)
  meter.total = meter.total - back
  return back
end

-- Fixed._look
local function fixed_look(meter)
  local index = (now - now % meter.window) / meter.window
  if index == meter.index then
    return index, meter.count
  end
  local stepped_back = meter.index * meter.window - now > meter.window
  if index < meter.index and not stepped_back then
    return meter.index, meter.count
  end
  return index, 0
end

-- Fixed.peek
local function fixed_peek(meter, size, cost)
  local index, used = fixed_look(meter)
  local ends = (index + 1) * meter.window
  local line = { fits = cost <= size - used, used = used, resets_at = ends, mark = index * meter.window, taken = 0 }
  if not line.fits and cost <= size then
    line.retry_at = ends
  end
  return line
end

-- Fixed.take
local function fixed_take(meter, cost)
  local index, used = fixed_look(meter)
  meter.index, meter.count = index, used + cost
  local window = meter.window
  return { fits = true, used = meter.count, resets_at = (index + 1) * window, mark = index * window, taken = cost }
end

-- Fixed.refund
local function fixed_refund(meter, cost, mark)
  if mark ~= meter.index * meter.window or mark + meter.window <= now then
    return 0
  end
  local back = math.min(cost, meter.count)
  meter.count = meter.count - back
  return back
end

-- Return what drains at *size* per *window* in *elapsed*: whole tokens, and the rest in
-- token-microseconds. The product may exceed 2^53, so it is computed four bits of *size* at a time;
-- a window is below 2^48.
local function drained(size, elapsed, window)
  local rest = elapsed % window
  local tokens = size * ((elapsed - rest) / window)
  local high, low, digit = 0, 0, 4294967296 -- size is below 2^32 ...
  while digit > 1 do
    digit = digit / 16
    local value = low * 16 + (size - size % digit) / digit % 16 * rest
    low = value % window
    high = high * 16 + (value - low) / window
  end
  return tokens + high, low
end

-- Subtract tokens and token-microseconds from others; return 0 instead of a negative difference.
local function minus(high, low, other_high, other_low, window)
  high, low = high - other_high, low - other_low
  if low < 0 then
    high, low = high - 1, low + window
  end
  if high < 0 then
    return 0, 0
  end
  return high, low
end

-- Return whether one backlog is less than another.
local function is_less(high, low, other_high, other_low)
  return high < other_high or high == other_high and low < other_low
end

-- TokenBucket._look
local function bucket_look(meter, size)
  if meter.at - now > meter.window then
    return now, 0, 0
  end
  local start = math.max(now, meter.at)
  if meter.high == 0 and meter.low == 0 then
    return start, 0, 0
  end
  local high, low = drained(size, start - meter.at, meter.window)
  return start, minus(meter.high, meter.low, high, low, meter.window)
end

-- TokenBucket._line, from which Python computes used, retry_at and resets_at
local function bucket_line(start, high, low, drain, part, fits, taken)
  return {
    fits = fits, mark = start, taken = taken,
    bucket = { high = high, low = low, excess = part.cost - part.capacity, size = drain, window = part.window },
  }
end

-- TokenBucket.peek
local function bucket_peek(meter, part)
  local drain = math.max(part.size, meter.size)
  local start, high, low = bucket_look(meter, drain)
  local space = part.capacity - high
  return bucket_line(start, high, low, drain, part, part.cost < space or (part.cost == space and low == 0), 0)
end

-- TokenBucket._note_low
local function note_low(meter, at, high, low)
  local lows = meter.lows
  while lows[1] and not is_less(lows[#lows].high, lows[#lows].low, high, low) do
    lows[#lows] = nil
  end
  local last = lows[#lows]
  if last then
    local apart, rest = minus(high, low, last.high, last.low, meter.window)
    local below = 32 * rest % meter.window -- 32 * rest is below 2^53
    if is_less(32 * apart + (32 * rest - below) / meter.window, below, last.high, last.low) then
      high, low, lows[#lows] = last.high, last.low, nil
    end
  end
  lows[#lows + 1] = { at = at, high = high, low = low }
  if #lows > LOWS then
    local upper, closest = nil, -1
    for at = LOWS + 1, 2, -1 do
      local share = lows[at - 1].high / (lows[at].high + 1)
      if share > closest then
        upper, closest = at, share
      end
    end
    lows[upper].high, lows[upper].low = lows[upper - 1].high, lows[upper - 1].low
    table.remove(lows, upper - 1)
  end
end

-- TokenBucket.take
local function bucket_take(meter, part)
  if meter.at - now > meter.window then
    meter.lows = {}
  end
  local start, high, low = bucket_look(meter, math.max(part.size, meter.size))
  note_low(meter, start, high, low)
  meter.size, meter.at, meter.high, meter.low = part.size, start, high + part.cost, low
  return bucket_line(start, meter.high, low, part.size, part, true, part.cost)
end

-- TokenBucket.refund
local function bucket_refund(meter, size, cost, mark)
  if mark > meter.at or meter.at - now > meter.window then
    return 0
  end
  local _, back_high, back_low = bucket_look(meter, math.max(size, meter.size))
  if is_less(cost, 0, back_high, back_low) then
    back_high, back_low = cost, 0
  end
  local lows = meter.lows
  for _, each in ipairs(lows) do
    if each.at > mark and is_less(each.high, each.low, back_high, back_low) then
      back_high, back_low = each.high, each.low
    end
  end
  meter.high, meter.low = minus(meter.high, meter.low, back_high, back_low, meter.window)
  meter.lows = {}
  for _, each in ipairs(lows) do
    if each.at > mark then
      each.high, each.low = minus(each.high, each.low, back_high, back_low, meter.window)
    end
    note_low(meter, each.at, each.high, each.low)
  end
  return back_high + (back_low > 0 and 1 or 0)
end

-- RateMeter.idle_at; a token bucket's may be a little later
local function idle_at(meter)
  if meter.law == SLIDING then
    return (meter.head + RING) * meter.width
  elseif meter.law == FIXED then
    return (meter.index + 1) * meter.window
  end
  return math.min(MAX_COUNT, meter.at + (meter.high + 1) * (meter.window / meter.size) + 1)
end

-- Return the mark of a charge at *moment*.
function mark_at(part, moment)
  local width = part.kind == SLIDING and width_of(part.window) or part.kind == FIXED and part.window or 1
  return moment - moment % width
end

-- RateMeter.peek
function peek_meter(part)
  local meter = stored_meter(part) or new_meter(part)
  if meter.law == SLIDING then
    return sliding_peek(meter, part.size, part.cost)
  elseif meter.law == FIXED then
    return fixed_peek(meter, part.size, part.cost)
  end
  return bucket_peek(meter, part)
end

-- RateMeter.take: charge a rate and write its meter
function take_meter(part)
  local meter, line = stored_meter(part) or new_meter(part), nil
  if meter.law == SLIDING then
    line = sliding_take(meter, part.cost)
  elseif meter.law == FIXED then
    line = fixed_take(meter, part.cost)
  else
    line = bucket_take(meter, part)
  end
  put(part.home, part.field, pack_meter(meter))
  keep_until(part.home, idle_at(meter))
  return line
end

-- _refund_rate of rules/settlement.py: refund a rate whose law has not changed, and write its meter
function refund_meter(part, amount, mark)
  local meter = stored_meter(part)
  if not meter or amount == 0 or part.unlimited then
    return 0
  end
  local back
  if meter.law == SLIDING then
    back = sliding_refund(meter, amount, mark)
  elseif meter.law == FIXED then
    back = fixed_refund(meter, amount, mark)
  else
    back = bucket_refund(meter, part.size, amount, mark)
  end
  put(part.home, part.field, pack_meter(meter))
  return back
end
end
