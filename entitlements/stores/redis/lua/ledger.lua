-- What a charge does to a record: a translation of rules/ledger.py.
local ADMITTED, REFUSED, REPLAYED, REUSED, UNKNOWN, STALE = 0, 1, 2, 3, 4, 5
local PEEK, CONSUME, RESERVE, ASSIGN, READ, RECALL = 1, 2, 3, 4, 5, 6
local read_charge, prefetch, outcome, recall, ask, charge
do
local pack, unpack, sub, get, put, account, now = pack, unpack, sub, get, put, account, now

-- Read a charge from ARGV[at] on: verb, keyed, count of parts, ttl, fingerprint; its
-- operation's id; its holder; its parts.
function read_charge(at)
  local order, count, keyed = {}, 0, 0
  order.verb, keyed, count, order.ttl = unpack('>BBBi8', ARGV[at])
  order.keyed = keyed == 1
  order.fingerprint = sub(ARGV[at], 12)
  order.operation = ARGV[at + 1] ~= '' and ARGV[at + 1] or nil
  order.holder = ARGV[at + 2] ~= '' and ARGV[at + 2] or nil
  order.parts = {}
  for each = 1, count do
    order.parts[each] = read_part(ARGV[at + 2 + each])
  end
  return order
end

-- Read all that a charge looks at in one go.
function prefetch(order)
  local fields, scoped = { 'm', 'b1' }, {}
  if order.operation then
    fields[3], fields[4] = 'O' .. order.operation, 'K' .. order.operation
  end
  for _, part in ipairs(order.parts) do
    local list = part.home == account and fields or scoped
    list[#list + 1] = part.field
  end
  if order.holder then
    fields[#fields + 1] = holder_field(order.parts[1].name, order.holder)
  end
  fetch(account, fields)
  fetch(scope, scoped)
end

-- Outcome
function outcome(status, lines, forgotten)
  local packed = {}
  for at, line in ipairs(lines) do
    packed[at] = pack_line(line)
  end
  return pack('>Bi8I4B', status, now, forgotten or 0, #lines) .. table.concat(packed)
end

-- recall: the first outcome of a repeated charge, or REUSED; nil if there is none
function recall(order)
  local found = operation(order.operation)
  if not found then
    local expires = booking(order.operation) -- the record of a long reservation may have gone before it
    if expires and now < expires then
      return REUSED, outcome(REUSED, {})
    end
    return nil
  end
  if sub(found, 18, HEAD) ~= order.fingerprint then
    return REUSED, outcome(REUSED, {})
  end
  local moment, count = unpack('>i8B', found, HEAD + 1)
  local lines = HEAD + 10
  return REPLAYED, pack('>Bi8I4B', REPLAYED, moment, 0, count) .. sub(found, lines, lines + count * (LINE + 8) - 1)
end

-- _ask_part
local function ask_part(part, holder)
  if part.kind <= TOKEN_BUCKET then
    if part.unlimited or part.size == 0 then
      return { fits = part.unlimited, used = not part.unlimited and 0 or nil, taken = 0 }
    end
    return ask_meter(part)
  elseif part.kind == ALLOCATION then
    return held_ask(read_held(part.name) or new_held(), part, holder)
  end
  part.period = running(part)
  return part.period and quota_line(part.period, part)
end

-- ask: what stands and what fits, writing nothing; nil if a part's period ends are stale
function ask(order)
  local lines = {}
  for at, part in ipairs(order.parts) do
    lines[at] = ask_part(part, order.holder)
    if not lines[at] then
      return nil
    end
  end
  return lines
end

-- _take: write a part; what stands after it
local function take_part(order, part, line)
  local reserve = order.verb == RESERVE
  if part.kind <= TOKEN_BUCKET then -- _take_rate
    if not line.fits or part.unlimited or part.size == 0 then
      return line
    end
    return take_meter(part)
  elseif part.kind == QUOTA then
    line = quota_take(part.period, part, reserve)
    write_period(part.name, part.period)
    return line
  end
  local held = read_held(part.name) or new_held()
  line = held_take(held, part, order.holder, reserve)
  write_held(part.name, held)
  return line
end

-- _count_denied
local function count_denied(order, lines)
  for at, part in ipairs(order.parts) do
    if part.kind == QUOTA and not lines[at].fits then
      deny(part.period, part.cost)
      write_period(part.name, part.period)
    end
  end
end

-- _remember: keep what was taken under the operation's id, and the reservation if it is one
local function remember_charge(order, lines)
  if not order.operation or (order.verb == ASSIGN and lines[1].taken == 0) then
    return 0
  end
  local packed, sizes, taken, booked = {}, {}, {}, {}
  for at, part in ipairs(order.parts) do
    local line, name = lines[at], pack('>Bc0', #part.name, part.name)
    packed[at] = pack_line(line)
    sizes[at] = pack('>i8', part.unlimited and -1 or part.size)
    taken[at] = pack('>B', part.kind) .. name
    if part.kind > TOKEN_BUCKET then
      booked[#booked + 1] = pack('>Bi8i8', part.kind, line.taken, line.mark or 0) .. name
    end
  end
  local count = #order.parts
  if order.verb == RESERVE then
    if booking(order.operation) then
      unbook(order.operation, {})
    end
    drop('ended:' .. order.operation)
    add_booking(order.operation, now + order.ttl, table.concat(booked))
    count, taken = 0, {}
  end
  local expires = now + (order.keyed and KEYED_OPERATIONS_KEPT or OPERATIONS_KEPT)
  local rest = order.fingerprint .. pack('>i8B', now, #order.parts) .. table.concat(packed) .. table.concat(sizes)
    .. pack('>B', count) .. table.concat(taken) .. (order.holder or '')
  return remember(order.operation, order.keyed, expires, rest)
end

-- charge: the first outcome of a repeat, or all parts admitted, or none
function charge(order)
  if order.operation then
    local status, reply = recall(order)
    if status then
      return status, reply
    end
  end
  sweep()
  local lines = ask(order)
  if not lines then
    return STALE, outcome(STALE, {})
  end
  local admitted = true
  for at, part in ipairs(order.parts) do
    admitted = admitted and (lines[at].fits or part.shadow)
  end
  local status = admitted and ADMITTED or REFUSED
  if order.verb == PEEK then
    return status, outcome(status, lines)
  end
  if not admitted then
    count_denied(order, lines)
    return REFUSED, outcome(REFUSED, lines)
  end
  for at, part in ipairs(order.parts) do
    lines[at] = take_part(order, part, lines[at])
  end
  local forgotten = remember_charge(order, lines)
  return ADMITTED, outcome(ADMITTED, lines, forgotten)
end
end
