-- Token buckets: `TokenBucket` of rules/meters.py; meters.lua explains the numbers.
--@ evaluate
local flags_N, size_N, cost_N, window_N, capacity_N = unpack('>Bi8i8i8i8', part_N, 2)
local kept_N, at_N, high_N, low_N, last_N = 0, 0, 0, 0, 1
if text_N then
  if #text_N < 40 or #text_N > 680 or #text_N % 20 ~= 0 then break end
  kept_N, at_N, high_N, low_N, last_N = unpack('>i8i8i8i8i8', text_N)
  if kept_N < 0 or at_N < 0 or high_N < 0 or low_N < 0 or last_N < 0 or kept_N > MAX_COUNT or at_N > MAX_COUNT
    or high_N > MAX_COUNT or low_N > MAX_COUNT or last_N > MAX_COUNT then break end
end
if at_N > now then -- the clock stepped back
  break
end
local drain_N = math.max(size_N, last_N)
if high_N > 0 or low_N > 0 then
  local rest = (now - at_N) % window_N
  local gone, left, digit = 0, 0, 4294967296
  while digit > 1 do
    digit = digit / 16
    local value = left * 16 + (drain_N - drain_N % digit) / digit % 16 * rest
    left = value % window_N
    gone = gone * 16 + (value - left) / window_N
  end
  high_N, low_N = high_N - drain_N * ((now - at_N - rest) / window_N) - gone, low_N - left
  if low_N < 0 then
    high_N, low_N = high_N - 1, low_N + window_N
  end
  if high_N < 0 then
    high_N, low_N = 0, 0
  end
end
local fits_N = cost_N < capacity_N - high_N or cost_N == capacity_N - high_N and low_N == 0
if not fits_N and flags_N % 2 == 1 then break end -- in shadow mode
--@ take
text_N = text_N and sub(text_N, 41) or ''
local noted_N = pack('>i8I4i8', now, high_N, low_N)
while text_N ~= '' do
  local _, high, low = unpack('>i8I4i8', text_N, #text_N - 19)
  if high < high_N or high == high_N and low < low_N then
    local apart, rest = high_N - high, low_N - low
    if rest < 0 then
      apart, rest = apart - 1, rest + window_N
    end
    local below = 32 * rest % window_N
    apart = 32 * apart + (32 * rest - below) / window_N
    if apart < high or apart == high and below < low then -- within 1/32
      noted_N, text_N = pack('>i8I4i8', now, high, low), sub(text_N, 1, -21)
    end
    break
  end
  text_N = sub(text_N, 1, -21)
end
if #text_N == 640 then break end -- two of the lows must merge
text_N = text_N .. noted_N
high_N = high_N + cost_N
local idle_N = math.min(MAX_COUNT, now + (high_N + 1) * (window_N / size_N) + 1)
--@ value
pack('>i8i8i8i8i8', kept_N, now, high_N, low_N, size_N) .. text_N
--@ taken
17, high_N, low_N, cost_N - capacity_N, size_N, now, cost_N, window_N
--@ refused
fits_N and 17 or 16, high_N, low_N, cost_N - capacity_N, drain_N, now, 0, window_N
