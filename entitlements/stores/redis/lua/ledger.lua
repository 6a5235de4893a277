-- Charges: a translation of rules/ledger.py.
local PEEK, CONSUME, RESERVE, ASSIGN, READ, RECALL = 1, 2, 3, 4, 5, 6
local read_charge, prefetch, pack_outcome, outdated_by, open_booking, recall, evaluate, charge
do
local pack, unpack, sub, get, put, account, now = pack, unpack, sub, get, put, account, now

-- Read a charge from ARGV[at] on. First come verb, how it is recognised (1: by a key, 2: by its sequence; 4 more if a
-- version follows), count of all parts, ttl, version, fingerprint, and when it was made if that was without the store.
-- Then come the id of the operation, the holder, the parts, and the scope if there is one. The sequence, which is the
-- charge's own, comes last.
function read_charge(at)
  local order, count, keyed = {}, 0, 0
  local rest = 12
  order.verb, keyed, count, order.ttl = unpack('>BBBi8', ARGV[at])
  if keyed >= 4 then
    keyed, order.version, rest = keyed - 4, sub(ARGV[at], 12, 19), 20
  end
  order.keyed = keyed == 1
  order.fingerprint = sub(ARGV[at], rest, rest + 15)
  order.made_at = #ARGV[at] > rest + 15 and unpack('>i8', ARGV[at], rest + 16) or nil
  local after = at + 3 + count
  if scope ~= account and not scope_name then
    scope_name, after = ARGV[after], after + 1
  end
  if keyed == 2 then
    order.sequence = read_sequence(ARGV[after])
  elseif ARGV[at + 1] ~= '' then
    order.operation = ARGV[at + 1]
  end
  order.holder = ARGV[at + 2] ~= '' and ARGV[at + 2] or nil
  order.parts = {}
  for each = 1, count do
    local part = read_part(ARGV[at + 2 + each])
    order.parts[each] = part
    order.counts = order.counts or not is_rate(part.kind)
    order.counts_scoped = order.counts_scoped or not is_rate(part.kind) and part.home ~= account
  end
  return order
end

-- Read all fields that a charge needs with one command per hash.
function prefetch(order)
  local fields, scoped = { 'm', 'b1' }, order.counts_scoped and { 'm', 'b1' } or {}
  if order.operation then
    fields[3], fields[4] = 'O' .. order.operation, 'K' .. order.operation
  elseif order.sequence then
    fields[3] = 's' .. order.sequence.producer
  end
  for _, part in ipairs(order.parts) do
    local list = part.home == account and fields or scoped
    list[#list + 1] = part.field
  end
  if order.version then
    fields[#fields + 1] = 'v'
  end
  if order.holder then
    local list = order.parts[1].home == account and fields or scoped
    list[#list + 1] = holder_field(order.parts[1].name, order.holder)
  end
  fetch(account, fields)
  fetch(scope, scoped)
end

-- Outcome
function pack_outcome(status, lines, forgotten)
  local packed = {}
  for at, line in ipairs(lines) do
    packed[at] = pack_line(line)
  end
  return pack('>Bi8I4B', status, now, forgotten or 0, #lines) .. table.concat(packed)
end

-- outdated_by: return the answer to an order of another version than the account's; nil if it may be carried out
function outdated_by(order)
  local version = order.version and read_version()
  if version and get(account, 'v') ~= order.version then
    return pack_outcome(OUTDATED, {}) .. get(account, 'v')
  end
end

-- open_booking: return the time at which an open reservation lapses, and its parts in both records; or nil
function open_booking(id)
  local expires, booked = nil, {}
  for at, home in ipairs({ account, scope }) do
    local lapses, taken = booking(home, id)
    if lapses and now < lapses and (at == 1 or home ~= account) then -- a lapsed one is left to `sweep`
      expires = expires or lapses
      for _, each in ipairs(taken) do
        booked[#booked + 1] = each
      end
    end
  end
  return expires, booked
end

-- recall: return the first outcome of a repeated charge, or REUSED; nil if it is no repeat
function recall(order)
  local found, field = operation(order.operation)
  if not found then
    if open_booking(order.operation) then -- a long reservation may outlive its record
      return REUSED, pack_outcome(REUSED, {})
    end
    return nil
  end
  if sub(found, 18, HEAD) ~= order.fingerprint then
    return REUSED, pack_outcome(REUSED, {})
  end
  if open_booking(order.operation) then
    add_callers(found, field, 1)
  end
  local moment, count = unpack('>i8B', found, HEAD + 1)
  local lines = HEAD + 10
  return REPLAYED, pack('>Bi8I4B', REPLAYED, moment, 0, count) .. sub(found, lines, lines + count * (LINE + 8) - 1)
end

-- _evaluate_part
local function evaluate_part(part, holder, made_at)
  if is_rate(part.kind) then
    if part.unlimited or part.size == 0 then
      return { fits = part.unlimited, used = not part.unlimited and 0 or nil, taken = 0 }
    end
    return peek_meter(part)
  elseif part.kind == ALLOCATION then
    local line = peek_allocation(read_allocation(part.home, part.name) or new_allocation(), part, holder)
    if line.fits or not part.ends then
      return line
    end
    part.period = period_of(part, made_at)
    return part.period and line
  end
  part.period = period_of(part, made_at)
  if part.period and part.period.has_moved then
    write_period(part.home, part.name, part.period)
  end
  return part.period and quota_line(part.period, part)
end

-- evaluate: return the line of each part, or nil if a part's period ends are stale; charge nothing
function evaluate(order)
  local lines = {}
  for at, part in ipairs(order.parts) do
    lines[at] = evaluate_part(part, order.holder, order.made_at)
    if not lines[at] then
      return nil
    end
  end
  return lines
end

-- _take: charge a part; return its line
local function take_part(order, part, line)
  local reserve = order.verb == RESERVE
  if is_rate(part.kind) then -- _take_rate
    if not line.fits or part.unlimited or part.size == 0 then
      return line
    end
    return take_meter(part)
  elseif part.kind == QUOTA then
    line = take_quota(part.period, part, reserve)
    write_period(part.home, part.name, part.period)
    return line
  end
  if not line.fits and part.period then
    deny(part.period, part.cost)
    write_period(part.home, part.name, part.period)
  end
  local held = read_allocation(part.home, part.name) or new_allocation()
  line = take_allocation(held, part, order.holder, reserve)
  write_allocation(part.home, part.name, held)
  return line
end

-- _count_denied
local function count_denied(order, lines)
  for at, part in ipairs(order.parts) do
    if part.period and not lines[at].fits and not part.leased then
      deny(part.period, part.cost)
      write_period(part.home, part.name, part.period)
    end
  end
end

-- Return the lines of a charge that was carried out at *moment*, as they are today, and its sizes; nil if the period
-- ends are stale.
local function recall_sequence(order, moment)
  local lines, sizes = evaluate(order), {}
  for at, part in ipairs(order.parts) do
    local line = lines and lines[at]
    if not line then
      return nil
    end
    line.fits, line.retry_at, line.taken = true, nil, part.cost
    if part.kind == QUOTA then
      line.mark = period_of(part, order.made_at or moment).start
    elseif is_rate(part.kind) then
      line.mark = mark_at(part, moment)
      line.taken = not part.unlimited and part.size ~= 0 and part.cost or 0
    end
    sizes[at] = pack('>i8', part.recorded)
  end
  return pack_outcome(REPLAYED, lines) .. table.concat(sizes)
end

-- Return the outcome of a charge that is not new: a repeat, or one that comes late; nil for a new one.
local function recall_number(order)
  local moment = enter(order.sequence)
  if not moment then
    return nil
  elseif moment == LATE then
    return LATE, pack_outcome(LATE, {})
  elseif moment > 0 then
    local reply = recall_sequence(order, moment)
    return reply and REPLAYED or STALE, reply or pack_outcome(STALE, {})
  end
  for _, part in ipairs(order.parts) do
    if not part.unlimited then -- void; but what was promised without the store counts all the same
      return LATE, pack_outcome(LATE, {})
    end
  end
end

-- _record_charge: record the debits under the id of the operation, and the reservation if it is one
local function record_charge(order, lines)
  if order.sequence then
    settle_number(order.sequence, now)
    return 0
  elseif not order.operation or (order.verb == ASSIGN and lines[1].taken == 0) then
    return 0
  end
  local packed, sizes, taken, booked = {}, {}, {}, { [account] = '', [scope] = '' }
  for at, part in ipairs(order.parts) do
    local line, name = lines[at], pack('>Bc0', #part.name, part.name)
    packed[at] = pack_line(line)
    sizes[at] = pack('>i8', part.recorded)
    taken[at] = pack('>B', part.kind + (part.home ~= account and 64 or 0)) .. name
    local rate = is_rate(part.kind) and pack('>i8i8', part.window, part.unlimited and 0 or part.size) or ''
    booked[part.home] = booked[part.home] .. pack('>Bi8i8', part.kind, line.taken, line.mark or 0) .. name .. rate
  end
  local count = #order.parts
  if order.verb == RESERVE then
    drop_operation('ended:' .. order.operation)
    for home, text in pairs(booked) do
      if booking(home, order.operation) then
        end_booking(home, order.operation)
      end
      if text ~= '' then
        add_booking(home, order.operation, now + order.ttl, text)
      end
    end
    count, taken = 0, {}
  end
  local expires = now + (order.keyed and KEYED_OPERATION_TTL or OPERATION_TTL)
  local rest = order.fingerprint .. pack('>i8B', now, #order.parts) .. table.concat(packed) .. table.concat(sizes)
    .. pack('>B', count) .. table.concat(taken) .. (order.holder or '')
  return record_operation(order.operation, order.keyed, expires, rest)
end

-- charge: return the first outcome of a repeat; otherwise charge all parts, or none
function charge(order)
  if order.operation then
    local status, reply = recall(order)
    if status then
      return status, reply
    end
  elseif order.sequence then
    local status, reply = recall_number(order)
    if status then
      return status, reply
    end
  end
  local outdated = outdated_by(order)
  if outdated then
    return OUTDATED, outdated
  end
  if order.operation or order.counts then -- rates hold nothing that a lapsed reservation returns
    sweep(account)
  end
  if order.counts_scoped then
    sweep(scope)
  end
  local lines = evaluate(order)
  if not lines then
    return STALE, pack_outcome(STALE, {})
  end
  local admitted = true
  for at, part in ipairs(order.parts) do
    admitted = admitted and (lines[at].fits or part.shadow)
  end
  local status = admitted and ADMITTED or REFUSED
  if order.verb == PEEK then
    return status, pack_outcome(status, lines)
  end
  if not admitted then
    count_denied(order, lines)
    if order.sequence and order.sequence.attempt > 1 then -- or the original would count, should it come later
      settle_number(order.sequence, 0)
    end
    return REFUSED, pack_outcome(REFUSED, lines)
  end
  for at, part in ipairs(order.parts) do
    lines[at] = take_part(order, part, lines[at])
  end
  local forgotten = record_charge(order, lines)
  return ADMITTED, pack_outcome(ADMITTED, lines, forgotten)
end
end
