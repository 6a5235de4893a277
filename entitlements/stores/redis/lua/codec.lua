-- Decode the parts of a charge and encode the lines of its answer; encoding.py and decoding.py are
-- the other ends.
--
-- A line is a table: fits, used (nil: not counted), reserved, retry_at, resets_at, mark, taken.
-- A size is recorded as -1 if it is unlimited, as -2 less what is included if it has overage. `most` are all units that
-- a quota or an allocation allows.
-- A token bucket's line holds the numbers from which Python computes these, which may exceed 2^53.
local ADMITTED, REFUSED, REPLAYED, REUSED, UNKNOWN, STALE, LATE, OUTDATED = 0, 1, 2, 3, 4, 5, 6, 7
local SHADOW, UNLIMITED, SCOPED, LEASED = 1, 2, 4, 8
-- Kinds of limits. Records hold these numbers, so a number never changes; the next rate law is 6.
local SLIDING, FIXED, TOKEN_BUCKET, QUOTA, ALLOCATION = 1, 2, 3, 4, 5

local function is_rate(kind)
  return kind ~= QUOTA and kind ~= ALLOCATION
end

local function has(flags, flag)
  return flags % (flag * 2) >= flag
end

local function read_part(text)
  local kind, flags, size, cost = unpack('>BBi8i8', text)
  local part = {
    kind = kind, size = size, cost = cost,
    shadow = has(flags, SHADOW), unlimited = has(flags, UNLIMITED), leased = has(flags, LEASED),
    home = has(flags, SCOPED) and scope or account,
  }
  if is_rate(kind) then
    part.recorded = part.unlimited and -1 or size
    part.window, part.capacity = unpack('>i8i8', text, 19)
    part.name = sub(text, 35)
    part.field = 'r' .. kind .. ':' .. part.window .. ':' .. part.name
  else
    local ends = {}
    ends[1], ends[2], ends[3], ends[4], part.most = unpack('>i8i8i8i8i8', text, 19)
    part.ends, part.recorded = ends[4] > 0 and ends or nil, size
    part.name = sub(text, 59)
    part.field = (kind == QUOTA and 'q' or 'a') .. part.name
  end
  return part
end

local LINE = 57
local function pack_line(line)
  local flags = line.fits and 1 or 0
  if line.bucket then
    local bucket = line.bucket
    return pack('>Bi8i8i8i8i8i8i8', flags + 16, bucket.high, bucket.low, bucket.excess, bucket.size,
      line.mark, line.taken, bucket.window)
  end
  if line.used then flags = flags + 2 end
  if line.retry_at then flags = flags + 4 end
  if line.resets_at then flags = flags + 8 end
  return pack('>Bi8i8i8i8i8i8i8', flags, line.used or 0, line.reserved or 0, line.retry_at or 0,
    line.resets_at or 0, line.mark or 0, line.taken or 0, 0)
end
