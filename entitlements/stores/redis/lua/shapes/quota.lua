-- Quotas while their period runs: `QuotaMeter` of rules/counted_meters.py.
--@ evaluate
local flags_N, size_N, cost_N, first_N, second_N, third_N, fourth_N, most_N = unpack('>Bi8i8i8i8i8i8i8', part_N, 2)
if not text_N or #text_N ~= 48 then break end
local start_N, ends_N, sized_N, used_N, reserved_N, denied_N = unpack('>i8i8i8i8i8i8', text_N)
if start_N < 0 or now < start_N or ends_N <= now or ends_N > MAX_COUNT or sized_N < -MAX_COUNT - 1 or sized_N > MAX_COUNT
  or reserved_N < 0 or reserved_N > used_N or used_N > MAX_COUNT or denied_N < 0 or denied_N > MAX_COUNT
  or now < first_N or ends_N ~= (now < second_N and second_N or now < third_N and third_N or fourth_N) then break end
local fits_N = flags_N % 4 >= 2 or cost_N <= most_N - used_N
if not fits_N and flags_N % 2 == 1 then break end -- in shadow mode
--@ take
local taken_N = math.min(cost_N, MAX_COUNT - used_N)
used_N = used_N + taken_N
--@ value
pack('>i8i8i8i8i8i8', start_N, ends_N, size_N, used_N, reserved_N, denied_N)
--@ taken
ends_N ~= MAX_COUNT and 11 or 3, used_N, reserved_N, 0, ends_N, start_N, taken_N, 0
--@ refuse
local shown_N = fits_N and 11 or cost_N <= most_N and 14 or 10
if ends_N == MAX_COUNT then shown_N = fits_N and 3 or 2 end -- a lifetime
if not fits_N and flags_N % 16 < 8 then -- a refused lease counts nothing
  denied_N = math.min(MAX_COUNT, denied_N + cost_N)
  call('HSET', key_N, field_N, pack('>i8i8i8i8i8i8', start_N, ends_N, size_N, used_N, reserved_N, denied_N))
end
--@ refused
shown_N, used_N, reserved_N, shown_N == 14 and ends_N or 0, ends_N, start_N, 0, 0
