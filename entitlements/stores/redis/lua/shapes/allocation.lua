-- Allocations that are in use, without a holder: `AllocationMeter` of rules/counted_meters.py.
--@ evaluate
local flags_N, _, cost_N = unpack('>Bi8i8', part_N, 2)
local most_N = unpack('>i8', part_N, 51)
if not text_N or #text_N ~= 24 then break end
local anonymous_N, reserved_N, holders_N = unpack('>i8i8i8', text_N)
if anonymous_N < 0 or reserved_N < 0 or holders_N < 0 or anonymous_N > MAX_COUNT or reserved_N > MAX_COUNT
  or holders_N > MAX_COUNT or anonymous_N + holders_N == 0 then break end -- the general code counts what comes into use
local used_N = math.min(MAX_COUNT, anonymous_N + reserved_N + holders_N)
local fits_N = flags_N % 4 >= 2 or cost_N <= most_N - used_N
if not fits_N then break end -- the general code counts the refusal by month
--@ take
local taken_N = math.min(cost_N, MAX_COUNT - used_N)
anonymous_N, used_N = anonymous_N + taken_N, used_N + taken_N
--@ value
pack('>i8i8i8', anonymous_N, reserved_N, holders_N)
--@ taken
3, used_N, reserved_N, 0, 0, 0, taken_N, 0
--@ refused
3, used_N, reserved_N, 0, 0, 0, 0, 0
