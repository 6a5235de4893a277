-- Fixed windows: `Fixed` of rules/meters.py.
--@ evaluate
local flags_N, size_N, cost_N, window_N = unpack('>Bi8i8i8', part_N, 2)
local kept_N, index_N, used_N = 0, -2, 0
if text_N then
  if #text_N ~= 24 then break end
  kept_N, index_N, used_N = unpack('>i8i8i8', text_N)
  if kept_N < 0 or index_N < 0 or used_N < 0 or kept_N > MAX_COUNT or index_N > MAX_COUNT or used_N > MAX_COUNT then
    break
  end
end
local running_N = (now - now % window_N) / window_N
if running_N < index_N then -- the clock stepped back
  break
elseif running_N > index_N then
  used_N = 0
end
local idle_N = (running_N + 1) * window_N
local fits_N = cost_N <= size_N - used_N
if not fits_N and flags_N % 2 == 1 then break end -- in shadow mode
--@ take
used_N = used_N + cost_N
--@ value
pack('>i8i8i8', kept_N, running_N, used_N)
--@ taken
11, used_N, 0, 0, idle_N, running_N * window_N, cost_N, 0
--@ refuse
local shown_N = fits_N and 11 or cost_N <= size_N and 14 or 10
--@ refused
shown_N, used_N, 0, shown_N == 14 and idle_N or 0, idle_N, running_N * window_N, 0, 0
