-- The index of an account's scopes: a sorted set whose members are all of score 0, so that it is in their order. A member
-- is a scope, a zero byte, and the time up to which its record lives, 2^53 - 1 while it stays. Of a scope whose record
-- stays there is another one, \1<scope>: while there are any, the index stays too. Otherwise it lives up to the latest
-- of those times, which the first member holds, \0<time>. A scope has no control characters.
--
-- Each entry looks at a few others, so that scopes whose records have expired are a small part of the index.

-- Enter a scope whose record lives up to *ends*, or *stays*; 0: it is gone.
local function enter_scope(index, name, ends, stays, now)
  local call, pack, parse = redis.call, struct.pack, struct.unpack
  local latest, held = 0, '\1' .. name
  for _, member in ipairs(call('ZRANGE', index, '[' .. name .. '\0', '(' .. name .. '\1', 'BYLEX')) do
    call('ZREM', index, member)
  end
  local first = call('ZRANGE', index, '[\0', '(\1', 'BYLEX', 'LIMIT', 0, 1)[1]
  if first then
    latest = parse('>i8', first, 2)
  end
  if ends > latest then
    if first then call('ZREM', index, first) end
    latest = ends
    call('ZADD', index, 0, '\0' .. pack('>i8', latest))
  end
  if stays then
    call('ZADD', index, 0, held, 0, name .. '\0' .. pack('>i8', 9007199254740991))
  else
    call('ZREM', index, held)
    if ends > now then call('ZADD', index, 0, name .. '\0' .. pack('>i8', ends)) end
  end
  local count = call('ZCARD', index)
  if count <= 1 then -- no scope is left
    call('DEL', index)
    return
  end
  local rank = now % count
  for _, member in ipairs(call('ZRANGE', index, rank, rank + 3)) do
    local at = string.find(member, '\0', 1, true)
    if at and at > 1 and parse('>i8', member, at + 1) <= now then
      call('ZREM', index, member)
    end
  end
  if #call('ZRANGE', index, '[\1', '(\2', 'BYLEX', 'LIMIT', 0, 1) > 0 then
    call('PERSIST', index)
  else
    call('PEXPIRE', index, math.max(1, (latest - now - (latest - now) % 1000) / 1000 + 1))
  end
end
