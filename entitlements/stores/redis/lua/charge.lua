-- Charge, Read and Recall.
--
-- KEYS[1]  the account's key; KEYS[2] the scope's, if there is one
-- ARGV     as `read_charge` of ledger.lua reads them
local order = read_charge(1)
prefetch(order)
local status, reply
if order.verb == RECALL then
  status, reply = recall(order)
  reply = reply or outcome(UNKNOWN, {})
elseif order.verb == READ then -- read of rules/settlement.py
  sweep()
  local lines = ask(order)
  reply = lines and outcome(ADMITTED, lines) or outcome(STALE, {})
else
  status, reply = charge(order)
end
flush()
return reply
