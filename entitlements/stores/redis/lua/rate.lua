-- One charge of one rate by the fixed or the token-bucket law: `charge_rate` of rules/ledger.py.
--
-- KEYS[1]  key of the account, or of the scope
-- ARGV[1]  the part
local part = read_part(ARGV[1])
part.home = account
local line = peek_meter(part)
if line.fits then
  line = take_meter(part)
  flush()
end
return pack('>Bi8I4B', (line.fits or part.shadow) and 0 or 1, now, 0, 1) .. pack_line(line)
