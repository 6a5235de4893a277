-- Every other order: ARGV[1] names it, and what follows stands with its function in settlement.lua.
--
-- KEYS[1]  the account's key; KEYS[2] the scope's, if there is one
local orders = {
  settle = settle, refund = refund, release = release, unassign = unassign,
  set_usage = set_usage, history = history, holders = holders, forget = forget,
}
local reply = orders[ARGV[1]]()
flush()
return reply
