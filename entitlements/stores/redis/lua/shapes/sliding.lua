-- Sliding windows: `Sliding` of rules/meters.py.
--@ evaluate
local flags_N, size_N, cost_N, window_N = unpack('>Bi8i8i8', part_N, 2)
local width_N, kept_N, head_N, used_N = (window_N + 59 - (window_N + 59) % 60) / 60, 0, -61, 0
if text_N then
  if #text_N ~= 264 then break end
  kept_N, head_N, used_N = unpack('>i8i8I4', text_N)
  if kept_N < 0 or head_N < 0 or kept_N > MAX_COUNT or head_N > MAX_COUNT then break end
end
local bucket_N = (now - now % width_N) / width_N
local ahead_N = bucket_N - head_N
if ahead_N < 0 then -- the clock stepped back
  break
elseif ahead_N >= 61 then
  used_N = 0
elseif ahead_N > 0 then
  for at = head_N + 1, bucket_N do
    used_N = used_N - unpack('>I4', text_N, 21 + at % 61 * 4)
  end
end
local fits_N = cost_N <= size_N - used_N
if not fits_N and flags_N % 2 == 1 then break end -- in shadow mode
--@ take
local slot_N, idle_N = bucket_N % 61 * 4, (bucket_N + 61) * width_N
used_N = used_N + cost_N
if ahead_N == 0 then
  text_N = sub(text_N, 21, 20 + slot_N) .. pack('>I4', cost_N + unpack('>I4', text_N, 21 + slot_N))
    .. sub(text_N, 25 + slot_N)
else
  if ahead_N >= 61 then
    text_N = string.rep('\0', 244)
  else
    local first = (head_N + 1) % 61 * 4
    if first <= slot_N then
      text_N = sub(text_N, 21, 20 + first) .. string.rep('\0', slot_N - first + 4) .. sub(text_N, 25 + slot_N)
    else
      text_N = string.rep('\0', slot_N + 4) .. sub(text_N, 25 + slot_N, 20 + first) .. string.rep('\0', 244 - first)
    end
  end
  text_N = sub(text_N, 1, slot_N) .. pack('>I4', cost_N) .. sub(text_N, slot_N + 5)
end
--@ value
pack('>i8i8I4', kept_N, bucket_N, used_N) .. text_N
--@ taken
11, used_N, 0, 0, idle_N, bucket_N * width_N, cost_N, 0
--@ refuse
local shown_N, retry_N, resets_N, left_N = fits_N and 11 or 10, 0, now, used_N
if not fits_N and cost_N <= size_N then
  for at = bucket_N - 60, head_N do
    left_N = left_N - unpack('>I4', text_N, 21 + at % 61 * 4)
    if cost_N <= size_N - left_N then
      shown_N, retry_N = 14, (at + 61) * width_N
      break
    end
  end
end
if used_N > 0 then
  for at = head_N, head_N - 60, -1 do
    if unpack('>I4', text_N, 21 + at % 61 * 4) > 0 then
      resets_N = (at + 61) * width_N
      break
    end
  end
end
--@ refused
shown_N, used_N, 0, retry_N, resets_N, bucket_N * width_N, 0, 0
