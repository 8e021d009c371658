"""The job store's Lua scripts: every change of state happens in one of them, atomically.

Keys (prefix ``pingti:``):

    jobs                       sorted set of all job ids (equal scores: order by name, which is by time)
    job:<id>                   hash: document, status, at:<status>, counts, priority, error, ...
    job:<id>:waiting           list of units that nobody works on, oldest first
    job:<id>:leased            set of units that somebody works on
    job:<id>:done              set of finished shards
    job:<id>:attempts          hash: unit -> attempts begun
    ready:<level>              list of the jobs of a priority level that have waiting units
    leases                     sorted set: "<id>/<unit>" -> deadline in ms of the server's clock
    tokens                     hash: "<id>/<unit>" -> token of the attempt that holds the lease
    idempotency:<key>          hash: job, fingerprint
    workers                    sorted set: worker -> last sign of life in ms

A unit is ``plan``, a shard's number, or ``finalize``. Invariant: a unit of a living job is in exactly one
of waiting, leased, done; a job is in its ready list exactly when it has waiting units. Time is the
server's. A lease is held by a token, so that a worker that was paused and wakes is refused.
"""

from collections.abc import Mapping

_PRELUDE = """
local P = 'pingti:'
local call = redis.call
local function key(id, part) return P .. 'job:' .. id .. (part and ':' .. part or '') end
local function now() local t = call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end

-- The one place that changes a status.
local function move(id, to)
  local from = call('HGET', key(id), 'status')
  if not from or not MOVES[from][to] then
    return redis.error_reply('PINGTI illegal move from ' .. tostring(from) .. ' to ' .. to)
  end
  call('HSET', key(id), 'status', to, 'at:' .. to, string.format('%.3f', now() / 1000))
  return true
end

local function ready(id) return P .. 'ready:' .. call('HGET', key(id), 'priority') end

local function enqueue(id, unit, first)
  if call('EXISTS', key(id, 'waiting')) == 0 then call('RPUSH', ready(id), id) end
  call(first and 'LPUSH' or 'RPUSH', key(id, 'waiting'), unit)
end

local function drop_waiting(id)
  call('DEL', key(id, 'waiting'))
  call('LREM', ready(id), 0, id)
end

local function forget_units(id)
  drop_waiting(id)
  call('DEL', key(id, 'leased'), key(id, 'done'), key(id, 'attempts'))
end

local function holds(id, unit, token) return call('HGET', P .. 'tokens', id .. '/' .. unit) == token end

local function drop_lease(id, unit)
  call('ZREM', P .. 'leases', id .. '/' .. unit)
  call('HDEL', P .. 'tokens', id .. '/' .. unit)
  call('SREM', key(id, 'leased'), unit)
end

-- After every end of a lease: when nothing of the job runs or waits, its finalize unit is due.
-- Returns the number of units that it made wait, as do the two functions below.
local function settle(id)
  if call('SCARD', key(id, 'leased')) > 0 or call('EXISTS', key(id, 'waiting')) == 1 then return 0 end
  local status, total, failure = unpack(call('HMGET', key(id), 'status', 'shards_total', 'error'))
  if status == 'running' and total and
      (failure or call('SCARD', key(id, 'done')) == tonumber(total)) then
    move(id, 'finalizing')
  elseif status ~= 'cancelling' then
    return 0
  end
  enqueue(id, 'finalize')
  return 1
end

-- The job cannot be completed: what runs may end, nothing new starts.
local function give_up(id, unit, reason)
  call('HSET', key(id), 'error', reason)
  local cancelling = call('HGET', key(id), 'status') == 'cancelling'
  if unit == 'finalize' or (unit == 'plan' and not cancelling) then
    move(id, 'failed')
    forget_units(id)
    return 0
  end
  drop_waiting(id)
  return settle(id)
end

-- A unit whose lease ended without a result goes back to the front of its job, or the job is given up.
local function give_back(id, unit, reason, most)
  local status, failure = unpack(call('HMGET', key(id), 'status', 'error'))
  if not status then return 0 end
  if (status == 'cancelling' or failure) and unit ~= 'finalize' then return settle(id) end
  if tonumber(call('HGET', key(id, 'attempts'), unit) or 0) >= most then
    return give_up(id, unit, reason .. ' (' .. most .. ' attempts)')
  end
  enqueue(id, unit, true)
  return 1
end
"""

_BODIES = {
    # ARGV: id, document, priority, idempotency key or '', fingerprint, seconds
    # -> {'new' | 'same' | 'other', id}
    "create": """
local id, mark = ARGV[1], P .. 'idempotency:' .. ARGV[4]
if ARGV[4] ~= '' then
  local job, fingerprint = unpack(call('HMGET', mark, 'job', 'fingerprint'))
  if job then return {fingerprint == ARGV[5] and 'same' or 'other', job} end
end
if call('EXISTS', key(id)) == 1 then return {'same', id} end  -- the client sent its command again
call('HSET', key(id), 'document', ARGV[2], 'priority', ARGV[3], 'status', 'queued',
     'at:queued', string.format('%.3f', now() / 1000))
call('ZADD', P .. 'jobs', 0, id)
enqueue(id, 'plan')
if ARGV[4] ~= '' then
  call('HSET', mark, 'job', id, 'fingerprint', ARGV[5])
  call('EXPIRE', mark, ARGV[6])
end
return {'new', id}
""",
    # ARGV: token, lease ms -> {id, unit, attempt} or nil. Most urgent level first; round robin within it.
    "claim": """
for level = 0, 9 do
  local id = call('LPOP', P .. 'ready:' .. level)
  local unit = id and call('LPOP', key(id, 'waiting'))
  if unit then
    if call('EXISTS', key(id, 'waiting')) == 1 then call('RPUSH', P .. 'ready:' .. level, id) end
    call('ZADD', P .. 'leases', now() + ARGV[2], id .. '/' .. unit)
    call('HSET', P .. 'tokens', id .. '/' .. unit, ARGV[1])
    call('SADD', key(id, 'leased'), unit)
    if call('HGET', key(id), 'status') == 'queued' then move(id, 'running') end
    return {id, unit, call('HINCRBY', key(id, 'attempts'), unit, 1)}
  end
end
return nil
""",
    # ARGV: id, unit, token, lease ms -> 'held' | 'cancelling' | 'lost'
    "beat": """
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return 'lost' end
call('ZADD', P .. 'leases', 'XX', now() + ARGV[4], ARGV[1] .. '/' .. ARGV[2])
return call('HGET', key(ARGV[1]), 'status') == 'cancelling' and 'cancelling' or 'held'
""",
    # ARGV: id, token, shards, rows in, bad rows, folder of the cut input
    # -> units that wait because of this, or -1 when the lease is lost (so too in the next three)
    "planned": """
local id = ARGV[1]
if not holds(id, 'plan', ARGV[2]) then return -1 end
drop_lease(id, 'plan')
call('HSET', key(id), 'shards_total', ARGV[3], 'total', ARGV[4], 'failed', ARGV[5], 'input', ARGV[6])
local shards = tonumber(ARGV[3])
if shards > 0 and call('HGET', key(id), 'status') == 'running' then
  for shard = 0, shards - 1 do enqueue(id, shard) end
  return shards
end
return settle(id)
""",
    # ARGV: id, shard, token, rows
    "finish_shard": """
local id = ARGV[1]
if not holds(id, ARGV[2], ARGV[3]) then return -1 end
drop_lease(id, ARGV[2])
if call('SADD', key(id, 'done'), ARGV[2]) == 1 then
  call('HINCRBY', key(id), 'completed', ARGV[4])
  call('HSET', key(id), 'shards_done', call('SCARD', key(id, 'done')))
end
return settle(id)
""",
    # ARGV: id, unit, token, reason, most attempts
    "release": """
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return -1 end
drop_lease(ARGV[1], ARGV[2])
return give_back(ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5]))
""",
    # ARGV: id, unit, token, reason
    "give_up": """
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return -1 end
drop_lease(ARGV[1], ARGV[2])
return give_up(ARGV[1], ARGV[2], ARGV[4])
""",
    # ARGV: id, token -> the final status, or nil when the lease is lost
    "close": """
local id = ARGV[1]
if not holds(id, 'finalize', ARGV[2]) then return nil end
drop_lease(id, 'finalize')
local status, failure = unpack(call('HMGET', key(id), 'status', 'error'))
local to = status == 'cancelling' and 'cancelled' or failure and 'failed' or 'completed'
local moved = move(id, to)
if moved ~= true then return moved end
forget_units(id)
return to
""",
    # ARGV: id -> the status afterwards ('' for an unknown job)
    "cancel": """
local id = ARGV[1]
local status = call('HGET', key(id), 'status')
if status == 'queued' then
  move(id, 'cancelled')
  forget_units(id)
elseif status == 'running' then
  move(id, 'cancelling')
  drop_waiting(id)
  settle(id)
end
return call('HGET', key(id), 'status') or ''
""",
    # ARGV: most attempts, reason -> units whose lease had expired (at most 1000 in one call)
    "reap": """
local names = call('ZRANGEBYSCORE', P .. 'leases', '-inf', now(), 'LIMIT', 0, 1000)
for _, name in ipairs(names) do
  local id, unit = string.match(name, '^(.*)/(.*)$')
  drop_lease(id, unit)
  give_back(id, unit, 'unit ' .. unit .. ': ' .. ARGV[2], tonumber(ARGV[1]))
end
return names
""",
    # -> units that wait, a number for each of the ten levels
    "waiting": """
local counts = {}
for level = 0, 9 do
  local sum = 0
  for _, id in ipairs(call('LRANGE', P .. 'ready:' .. level, 0, -1)) do
    sum = sum + call('LLEN', key(id, 'waiting'))
  end
  counts[level + 1] = sum
end
return counts
""",
    # ARGV: worker -> the server's time in ms
    "present": """
call('ZADD', P .. 'workers', now(), ARGV[1])
call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', now() - 3600000)
return now()
""",
}


def build(moves: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """The source of every script by name; ``moves`` are the allowed changes of a job's status."""
    table = ", ".join(
        f"{start} = {{{', '.join(f'{end} = true' for end in sorted(ends))}}}"
        for start, ends in sorted(moves.items())
    )
    return {name: f"local MOVES = {{{table}}}\n{_PRELUDE}{body}" for name, body in _BODIES.items()}
