-- Orders after a charge: a translation of rules/settlement.py.

-- Settled; *units* are {name, kept, line}, packed if they come from a record
local function pack_settled(done, stale, excess, units)
  local packed = {}
  for at, each in ipairs(units or {}) do
    packed[at] = pack('>Bc0i8', #each[1], each[1], each[2]) .. (type(each[3]) == 'string' and each[3] or pack_line(each[3]))
  end
  return pack('>BBi8Bc0', done and 1 or 0, stale and 1 or 0, now, #(excess or ''), excess or '') .. table.concat(packed)
end

-- Return the answer to a commit of a reservation that is settled, from its record; nil if it is not.
local function recall_settled(id)
  local found = operation('ended:' .. id)
  if not found then
    return nil
  end
  local moment, count = unpack('>i8B', found, HEAD + 1)
  local lines, at = HEAD + 10, HEAD + 11 + count * (LINE + 8)
  local packed = {}
  for index = 1, count do
    local kept = sub(found, lines + count * LINE + (index - 1) * 8, lines + count * LINE + index * 8 - 1)
    local _, name
    _, name, at = parse('O', '>BBc0', found, at)
    packed[index] = pack('>Bc0', #name, name) .. kept .. sub(found, lines + (index - 1) * LINE, lines + index * LINE - 1)
  end
  return pack('>BBi8B', 3, 0, moment, 0) .. table.concat(packed)
end

-- _record_settled: record that a reservation is settled
local function record_settled(id, lapses, units)
  local expires = math.max(now, lapses) + OPERATION_TTL
  if sub(id, 1, 2) == 'k:' then
    expires = math.max(expires, now + KEYED_OPERATION_TTL)
  end
  local lines, kept, names = {}, {}, {}
  for at, each in ipairs(units) do
    lines[at] = type(each[3]) == 'string' and each[3] or pack_line(each[3])
    kept[at], names[at] = pack('>i8', each[2]), pack('>BBc0', QUOTA, #each[1], each[1])
  end
  record_operation('ended:' .. id, false, expires, string.rep('\0', 16) .. pack('>i8B', now, #units)
    .. table.concat(lines) .. table.concat(kept) .. pack('>B', #units) .. table.concat(names))
end

-- Return the amounts that an order gives, as a list of {name, amount}; an amount without a name is of `*`.
local function given_amounts(mode, text)
  local given, at = {}, 1
  if mode == 1 then
    given[1] = { '*', (unpack('>i8', text)) }
  end
  while mode == 2 and at <= #text do
    local amount, name
    amount, name, at = unpack('>i8Bc0', text, at)
    given[#given + 1] = { name, amount }
  end
  return given
end

-- _amounts: return the amounts to commit by limit, and a limit that is not reserved
local function read_amounts(mode, text, booked)
  local amounts, names = {}, {}
  for _, each in ipairs(booked) do
    amounts[each.name] = (mode == 0 or is_rate(each.kind) and (mode == 1 or text ~= '')) and each.amount or 0
    if not is_rate(each.kind) or #booked == 1 then
      names[#names + 1] = each.name
    end
  end
  for _, each in ipairs(given_amounts(mode, text)) do
    local name = mode == 1 and #names == 1 and names[1] or each[1]
    if not amounts[name] then
      return nil, name
    end
    amounts[name] = each[2]
  end
  return amounts
end

-- _commits_nothing
local function commits_nothing(mode, text)
  for _, each in ipairs(given_amounts(mode, text)) do
    if each[2] ~= 0 then
      return false
    end
  end
  return mode ~= 0
end

-- _settle_open
local function settle_open(id, booked, lapses, mode, text)
  local amounts, excess = read_amounts(mode, text, booked)
  if excess then
    return pack_settled(false, false, excess)
  end
  local units = {}
  for home in pairs(seen) do
    local expires = booking(home, id)
    if expires and now < expires then
      remove_booking(home, id)
    end
  end
  for at, each in ipairs(booked) do
    units[at] = { each.name, amounts[each.name], settle_units(each.home, each, amounts[each.name]) }
  end
  if mode == 2 and #text == 0 then -- cancelled: the key may reserve again
    drop_operation(id)
    units = {}
  end
  record_settled(id, lapses, units)
  return pack_settled(true, false, nil, units)
end

-- settle: commit or cancel a reservation, once
-- ARGV[2] id; ARGV[3] 0: all, 1: one amount, 2: amounts by limit, 3: given up; ARGV[4] the amounts;
-- ARGV[5] time up to which a lapsed reservation is charged again; ARGV[6] on: that charge
local function settle()
  local id, mode, text = ARGV[2], tonumber(ARGV[3]), ARGV[4]
  local expires, booked = open_booking(id)
  local found, field = nil, nil
  if mode == 3 then
    mode = 2
    found, field = operation(id)
  end
  if expires then
    if found and callers(found) > 0 then
      add_callers(found, field, -1)
      return pack_settled(true, false, '*')
    end
    return settle_open(id, booked, expires, mode, text)
  end
  sweep_both()
  local settled = recall_settled(id)
  if settled or commits_nothing(mode, text) then
    return settled or pack_settled(true)
  end
  if not ARGV[6] or now >= unpack('>i8', ARGV[5]) then
    return pack_settled(false)
  end
  local order = read_charge(6)
  local status, reply = charge(order)
  if status == ADMITTED or status == REPLAYED then
    local units = {}
    for at, part in ipairs(order.parts) do
      units[at] = { part.name, part.cost, sub(reply, 15 + (at - 1) * LINE, 14 + at * LINE) }
    end
    record_settled(id, now, units)
    return pack_settled(true, false, nil, units)
  end
  if status == OUTDATED then
    return pack('>BBi8', 0, 2, now) .. sub(reply, 15)
  end
  return pack_settled(false, status == STALE)
end

-- Read the debits of rates from ARGV[at] on: amount, mark and part.
local function read_taken(at)
  local taken = {}
  while ARGV[at] do
    local each = {}
    each.amount, each.mark = unpack('>i8i8', ARGV[at])
    each.part = read_part(sub(ARGV[at], 17))
    taken[#taken + 1] = each
    at = at + 1
  end
  return taken
end

-- Return the debits of an operation (kind, name, amount, mark), and its holder.
local function read_operation(text)
  local count = string.byte(text, HEAD + 9)
  local at = HEAD + 10 + count * (LINE + 8)
  local taken = {}
  for index = 1, string.byte(text, at) or corrupt('O') do
    local each = {}
    local line = HEAD + 10 + (index - 1) * LINE
    each.mark, each.amount = parse('O', '>i8i8', text, line + 33)
    taken[index] = each
  end
  at = at + 1
  for _, each in ipairs(taken) do
    each.kind, each.name, at = parse('O', '>BBc0', text, at)
    each.home = account
    if each.kind >= 64 then
      each.kind, each.home = each.kind - 64, scope
    end
  end
  return taken, at <= #text and sub(text, at) or nil
end

-- _refund_debit
local function refund_debit(each, holder, rates)
  if each.kind == QUOTA then
    return refund_quota(each.home, each.name, each.mark, each.amount)
  elseif each.kind == ALLOCATION then
    if holder then
      return remove_holder(each.home, each.name, holder) and 1 or 0
    end
    return refund_allocation(each.home, each.name, each.amount)
  end
  local back = 0
  for _, rate in ipairs(rates) do
    if rate.part.name == each.name then
      back = back + refund_meter(rate.part, each.amount, each.mark)
    end
  end
  return back
end

-- _refund_sequence: give back what the receipt of a charge says that it took, once; of a lease its rest, if its charge
-- was carried out: then the charge's number is void, so that no record is needed
local function refund_sequence(id, with_rates, taken, sequence)
  local returns, back = false, 0
  local charged_at = #ARGV[3] > 1 and unpack('>i8', ARGV[3], 2) or now
  local moment = sequence and enter(sequence)
  if sequence and (not moment or moment == LATE or moment == 0) then
    return 0
  elseif not sequence and operation('refunded:' .. id) or now - charged_at >= OPERATION_TTL then
    return 0
  end
  for _, each in ipairs(taken) do
    local part = each.part
    if each.amount ~= 0 and (with_rates or not is_rate(part.kind)) then
      returns = true
      if part.kind == QUOTA then
        if each.mark == 0 then -- promised without the store
          each.mark = (period_of(part, charged_at) or { start = 0 }).start
        end
        back = back + refund_quota(part.home, part.name, each.mark, each.amount)
      elseif part.kind == ALLOCATION then
        back = back + refund_allocation(part.home, part.name, each.amount)
      else
        back = back + refund_meter(part, each.amount, each.mark)
      end
    end
  end
  if sequence then
    settle_number(sequence, 0)
  elseif returns then
    record_operation('refunded:' .. id, false, now + OPERATION_TTL, string.rep('\0', 16) .. pack('>i8BB', now, 0, 0))
  end
  return back > 0 and 1 or 0
end

-- refund: give back what a charge took, once
-- ARGV[2] id of the operation, or ''; ARGV[3] 1: refund rates too, 2: the rest of a lease, whose sequence is ARGV[4],
-- then the time of the charge, if it is known; the following: the rates, or all parts of a charge with a sequence
local function refund()
  sweep_both()
  local id, flag = ARGV[2], sub(ARGV[3], 1, 1)
  local sequence = flag == '2' and read_sequence(ARGV[4]) or nil
  local with_rates, rates = flag ~= '0', read_taken(sequence and 5 or 4)
  if id == '' then -- rates alone: there is no record
    local any = 0
    for _, each in ipairs(rates) do
      if refund_meter(each.part, each.amount, each.mark) > 0 then
        any = 1
      end
    end
    return any
  end
  if sub(id, 1, 2) == 's:' then
    return refund_sequence(id, with_rates, rates, sequence)
  end
  local found, field = operation(id)
  if not found or is_refunded(found) then
    return 0
  end
  if #ARGV[3] > 1 and sub(ARGV[3], 2) ~= sub(found, HEAD + 1, HEAD + 8) then -- the key stands for a later charge
    return 0
  end
  local taken, holder = read_operation(found)
  local returns, back = false, 0
  for _, each in ipairs(taken) do
    if each.amount ~= 0 and (with_rates or not is_rate(each.kind)) then
      returns, back = true, back + refund_debit(each, holder, rates)
    end
  end
  if returns and sub(field, 1, 1) == 'K' then
    drop_operation(id)
  elseif returns then
    set_refunded(found, field)
  end
  return back > 0 and 1 or 0
end

-- release: ARGV[2] the limit, ARGV[3] the amount
local function release()
  sweep(scope)
  return refund_allocation(scope, ARGV[2], tonumber(ARGV[3]))
end

-- unassign: ARGV[2] the limit, ARGV[3] the holder
local function unassign()
  sweep(scope)
  return remove_holder(scope, ARGV[2], ARGV[3]) and 1 or 0
end

-- Totalled; *stale* is 1 for period ends that are over, 2 for an order that comes late
local function pack_totalled(line, least, stale)
  return pack('>BBi8i8', line and 1 or 0, stale or 0, least or 0, now) .. (line and pack_line(line) or '')
end

-- Set the total of an allocation, unless it *is_set* already.
local function set_allocation(part, is_set)
  local held = read_allocation(scope, part.name) or new_allocation()
  local before, bound = peek_allocation(held, part, nil), held.holders + held.reserved -- AllocationMeter.floor
  if is_set then
    return before
  elseif part.cost < bound then
    return nil, bound
  end
  held.anonymous = part.cost - bound
  write_allocation(scope, part.name, held)
  local line = peek_allocation(held, part, nil)
  line.taken = math.max(0, part.cost - before.used)
  return line
end

-- Set the total of a quota's running period, unless it *is_set* already.
local function set_quota(part, is_set)
  local period = running_period(part)
  if not period then
    return nil, 0, 1
  elseif is_set then
    return quota_line(period, part)
  elseif part.cost < period.reserved then
    return nil, period.reserved
  end
  local added = math.max(0, part.cost - period.used)
  period.used = part.cost
  write_period(scope, part.name, period)
  local line = quota_line(period, part)
  line.taken = added
  return line
end

-- set_usage: ARGV[2] the part, whose cost is the total; ARGV[3] the sequence of the order, if it has one. An order
-- that was carried out is not carried out again, and a later one of its producer has settled it.
local function set_usage()
  sweep(scope)
  local part, sequence = read_part(ARGV[2]), ARGV[3] and read_sequence(ARGV[3])
  local moment = sequence and enter(sequence)
  if moment == LATE or moment == 0 then
    return pack_totalled(nil, 0, 2)
  end
  local line, least, stale = (part.kind == ALLOCATION and set_allocation or set_quota)(part, moment)
  if line and sequence and not moment then
    settle_number(sequence, now)
  end
  return pack_totalled(line, least, stale)
end

-- reset_rate: ARGV[2] the part
local function reset_rate()
  local part = read_part(ARGV[2])
  put(part.home, part.field, false)
  return 0
end

-- history: ARGV[2] the part
local function history()
  sweep(scope)
  local part = read_part(ARGV[2])
  local period = running_period(part)
  if not period then
    return pack('>Bi8', 1, now)
  end
  if period.has_moved then
    write_period(scope, part.name, period)
  end
  local text = get(scope, 'q' .. part.name)
  if text and read_period('q' .. part.name, text).start == period.start then
    text = ''
  end
  local older = (text or '') .. (get_list(scope, 'h' .. part.name, PERIOD) or '')
  return pack('>Bi8', 0, now) .. pack_period(period) .. sub(older, 1, (KEPT_PERIODS - 1) * PERIOD)
end

-- holders: ARGV[2] the limit
local function holders()
  local prefix, found = 'u' .. ARGV[2] .. ':', {}
  for _, field in ipairs(redis.call('HKEYS', scope)) do
    if sub(field, 1, #prefix) == prefix then
      found[#found + 1] = sub(field, #prefix + 1)
    end
  end
  return found
end

-- Forget: a foreign value under the key is an error, and stays; so does the version, for as long as it is kept
local function forget()
  local text = get(account, 'v')
  redis.call('DEL', account)
  if text and #text == 8 then
    local expires = unpack('>i8', text) + VERSION_KEPT
    if now < expires and expires <= now + 2 * VERSION_KEPT then
      put(account, 'v', text)
      keep_until(account, expires, expires)
    end
  end
  return 1
end

-- Forget scopes: the first scope as for any order, KEYS[4] on and ARGV[2] on the others
local function forget_scopes()
  for at, name in ipairs({ scope_name, table_unpack(ARGV, 2) }) do
    redis.call('DEL', KEYS[at == 1 and 2 or at + 2])
    enter_scope(KEYS[3], name, 0, false, now)
  end
  return 1
end

-- Read the scopes: ARGV[2] the one after which they begin, ARGV[3] most of them. Return the last that was examined, or ''
-- at the end, and then the scopes.
local function scopes()
  local after, most = ARGV[2], tonumber(ARGV[3])
  local found = { '' }
  local from = after == '' and '[\2' or '(' .. after .. '\1'
  for _, member in ipairs(redis.call('ZRANGE', KEYS[3], from, '+', 'BYLEX', 'LIMIT', 0, most)) do
    local at = string.find(member, '\0', 1, true) or corrupt('scopes')
    most, found[1] = most - 1, sub(member, 1, at - 1)
    if parse('scopes', '>i8', member, at + 1) > now then
      found[#found + 1] = found[1]
    end
  end
  if most > 0 then
    found[1] = ''
  end
  return found
end

-- Invalidate: ARGV[2] the account's id. Return the version, and why no message was sent, if that failed.
local function invalidate()
  local version = now
  local text = get(account, 'v')
  if text then
    version = math.max(now, parse('v', '>i8', text) + 1)
  end
  check_numbers('v', version)
  put(account, 'v', pack('>i8', version))
  keep_until(account, version + VERSION_KEPT)
  local channel = string.match(account, '^[^:]*:') .. 'invalidated'
  local sent = redis.pcall('PUBLISH', channel, pack('>i8', version) .. ARGV[2])
  return pack('>i8i8', version, now) .. (type(sent) == 'table' and sent.err or '')
end
