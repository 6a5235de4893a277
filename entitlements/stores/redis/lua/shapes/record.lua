-- The record of a charge, by which a repeat is recognised: `record` of rules/ledger.py.
--@ evaluate
local lapsing, book = found_1[1], found_1[2]
if lapsing and (#lapsing < 9 or unpack('>i8', lapsing) <= now) then break end
if found_1[3] or found_1[4] or found_1[5] or not book or #book ~= 48 then break end
local in_use, open, o_head, o_tail, o_count, k_head, k_tail, k_count = unpack('>I4I4i8i8I4i8i8I4', book)
if o_head < 0 or o_head + o_count > o_tail or k_head < 0 or k_head + k_count > k_tail or o_tail > MAX_COUNT
  or k_tail > MAX_COUNT or in_use + open + o_tail + k_tail == 0 then break end
--@ take
-- _drop_expired: return the head and the length of a list without up to four expired ids; nil if one is missing
local gone = {}
local function swept(letter, record, head, tail, length)
  for _ = 1, head < tail and 4 or 0 do
    if head == tail then break end
    local oldest = call('HGET', KEYS[1], letter .. head)
    local lapses = oldest and #oldest > 8 and unpack('>i8', oldest) or 0
    if lapses < 1 or lapses - 1 > MAX_COUNT then return nil end
    if lapses > now then break end
    gone[#gone + 1] = letter .. head
    gone[#gone + 1] = record .. sub(oldest, 9)
    head, length = head + 1, length - 1
  end
  return head, length
end
o_head, o_count = swept('o', 'O', o_head, o_tail, o_count)
k_head, k_count = swept('k', 'K', k_head, k_tail, k_count)
if not o_head or not k_head or o_count + k_count >= 4096 then break end
local id, expires = ARGV[ID], pack('>i8', now + 600000000)
--@ value
'O' .. id, expires .. pack('>Bi8', 0, o_tail) .. ARGV[ID + 1] .. pack('>i8B', now, COUNT) .. RECORDED,
'o' .. o_tail, expires .. id,
'm', pack('>I4I4i8i8I4i8i8I4', in_use, open, o_head, o_tail + 1, o_count + 1, k_head, k_tail, k_count)
--@ write
if gone[1] then call('HDEL', KEYS[1], table_unpack(gone)) end
