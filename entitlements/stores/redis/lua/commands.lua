-- Every other order.
--
-- KEYS[1]  key of the account; KEYS[2] key of the scope, if there is one
-- ARGV[1]  name of the order; its function in settlement.lua lists its other arguments
local orders = {
  settle = settle, refund = refund, release = release, unassign = unassign,
  set_usage = set_usage, reset_rate = reset_rate, history = history, holders = holders, forget = forget,
  invalidate = invalidate,
}
local reply = orders[ARGV[1]]()
flush()
return reply
