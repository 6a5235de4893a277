-- Every other order.
--
-- KEYS[1]  key of the account; KEYS[2] key of the scope, KEYS[3] that of the index of scopes, if there is one
-- ARGV[1]  name of the order; its function in settlement.lua lists its other arguments; the scope comes last
if KEYS[3] then
  scope_name = table.remove(ARGV)
end
local orders = {
  settle = settle, refund = refund, release = release, unassign = unassign,
  set_usage = set_usage, reset_rate = reset_rate, history = history, holders = holders, forget = forget,
  forget_scopes = forget_scopes, scopes = scopes,
  invalidate = invalidate,
}
local reply = orders[ARGV[1]]()
flush()
return reply
