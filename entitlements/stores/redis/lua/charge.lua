-- Charge, Read and Recall.
--
-- KEYS[1]  key of the account; KEYS[2] key of the scope, KEYS[3] that of the index of scopes, if there is one
-- ARGV     as `read_charge` of ledger.lua reads it
local order = read_charge(1)
prefetch(order)
local status, reply
if order.verb == RECALL then
  status, reply = recall(order)
  reply = reply or pack_outcome(UNKNOWN, {})
elseif order.verb == READ then -- read of rules/settlement.py
  local lines
  reply = outdated_by(order)
  if not reply then
    sweep_both()
    lines = evaluate(order)
  end
  reply = reply or lines and pack_outcome(ADMITTED, lines) or pack_outcome(STALE, {})
else
  status, reply = charge(order)
end
flush()
return reply
