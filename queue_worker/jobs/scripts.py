"""The job store's Lua scripts: every change of state happens in one, atomically. Keys: see ``lua``."""

from collections.abc import Mapping, Sequence

from queue_worker.jobs import lua
from queue_worker.keys import PREFIX

_BODIES = {
    # ARGV: id, document, priority, idempotency key or '', fingerprint, seconds, owner or '', callback or '',
    # '1' if it is small, rows (0: not known), ms of ageing (0: none), '1' if it must be durable
    # -> {'new' | 'same' | 'other' | 'volatile', id, when accepted, tickets to publish}
    "create": """
local id, mark = ARGV[1], P .. 'idempotency:' .. ARGV[4]
if ARGV[4] ~= '' then
  local job, fingerprint = unpack(call('HMGET', mark, 'job', 'fingerprint'))
  if job then
    local alike = fingerprint == ARGV[5]
    for word in string.gmatch(ARGV[5], '%S+') do alike = alike or string.find(fingerprint, word, 1, true) end
    count('repeated', 1)  -- the connection must have written, that it can wait for the disk to have the job
    return {alike and 'same' or 'other', job, '0', 0}
  end
end
if call('EXISTS', key(id)) == 1 then  -- the client sent its command again
  count('repeated', 1)
  return {'same', id, '0', 0}
end
if ARGV[12] == '1' and not string.find(call('INFO', 'persistence'), 'aof_enabled:1', 1, true) then
  return {'volatile', id, '0', 0}
end
local at = string.format('%.3f', now() / 1000)
call('HSET', key(id), 'document', ARGV[2], 'priority', ARGV[3], 'level', ARGV[3], 'status', 'queued',
     'at:queued', at, 'small', ARGV[9])
call('ZADD', P .. 'jobs', 0, id)
call('ZADD', P .. 'status:queued', 0, id)
if ARGV[7] ~= '' then
  call('HSET', key(id), 'owner', ARGV[7])
  call('HINCRBY', P .. 'owner:' .. ARGV[7], 'jobs', 1)
  owe(id, tonumber(ARGV[10]))
end
if ARGV[10] ~= '0' then call('HSET', key(id), 'total', ARGV[10]) end
if ARGV[8] ~= '' then call('HSET', key(id), 'callback', ARGV[8]) end
if ARGV[11] ~= '0' and ARGV[3] ~= '0' then call('ZADD', P .. 'rising', now() + ARGV[11], id) end
enqueue(id, {'plan'})
count('jobs:accepted', 1)
if ARGV[4] ~= '' then
  call('HSET', key(id), 'idempotency', ARGV[4])
  call('HSET', mark, 'job', id, 'fingerprint', ARGV[5])
  call('EXPIRE', mark, ARGV[6])
end
return {'new', id, at, wanted(1)}
""",
    # ARGV: token, lease ms, ms of ageing, most units
    # -> {tickets to publish as more waits, {id, unit, attempt, job's fields, source} of each unit}
    # Most urgent level first, turns within it. More than one unit only of small jobs that are begun here.
    "claim": """
if ARGV[3] ~= '0' then rise(tonumber(ARGV[3])) end
local claims, most = {}, tonumber(ARGV[4])
local function answer()
  local waiting = 0
  for _, units in ipairs(call('HVALS', P .. 'units')) do waiting = waiting + units end
  return {wanted(math.min(1, waiting)), claims}
end
for level = 0, 9 do
  local queue = P .. 'ready:' .. level
  while #claims < most do
    local id = call('ZRANGE', queue, 0, 0)[1]
    if not id then break end
    local unit = call('LINDEX', key(id, 'waiting'), 0)
    local whole = unit == 'plan' and call('HGET', key(id), 'small') == '1' and
                  call('EXISTS', key(id, 'attempts')) == 0
    if #claims > 0 and not whole then return answer() end
    call('LPOP', key(id, 'waiting'))
    call('HINCRBY', P .. 'units', level, -1)
    call('ZREM', queue, id)
    if call('EXISTS', key(id, 'waiting')) == 1 then take_place(id, level) end
    call('ZADD', P .. 'leases', now() + ARGV[2], id .. '/' .. unit)
    call('HSET', P .. 'tokens', id .. '/' .. unit, ARGV[1])
    call('SADD', key(id, 'leased'), unit)
    if call('HGET', key(id), 'status') == 'queued' then move(id, 'running') end
    local attempt = call('HINCRBY', key(id, 'attempts'), unit, 1)
    if attempt > 1 then call('HDEL', key(id, 'attempts'), unit .. ':why') end
    local source = call('HGET', key(id, 'sources'), unit) or ''
    claims[#claims + 1] = {id, unit, attempt, call('HGETALL', key(id)), source}
    if not whole then return answer() end
  end
end
return answer()
""",
    # ARGV: id, unit, token, lease ms -> 'held' | 'cancelling' | 'lost'
    "beat": """
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return 'lost' end
call('ZADD', P .. 'leases', 'XX', now() + ARGV[4], ARGV[1] .. '/' .. ARGV[2])
return call('HGET', key(ARGV[1]), 'status') == 'cancelling' and 'cancelling' or 'held'
""",
    # ARGV: id, token, rows, bytes -> most rows and bytes of a shard of this job, which the first to ask
    # decides: a later attempt at the plan must cut alike; nil: the lease is lost
    "fix_size": """
if not holds(ARGV[1], 'plan', ARGV[2]) then return nil end
call('HSETNX', key(ARGV[1]), 'shard_rows', ARGV[3])
call('HSETNX', key(ARGV[1]), 'shard_bytes', ARGV[4])
return call('HMGET', key(ARGV[1]), 'shard_rows', 'shard_bytes')
""",
    # ARGV: id, token, number of the first shard, sources of the shards from there ('': cut)
    # -> tickets to publish because of this, or -1 when the lease is lost (so too in those that follow)
    "shards_ready": """
local id, first = ARGV[1], tonumber(ARGV[3])
if not holds(id, 'plan', ARGV[2]) then return -1 end
local known = tonumber(call('HGET', key(id), 'shards_cut') or 0)
local status, failure = unpack(call('HMGET', key(id), 'status', 'error'))
local units = {}
for at = 4, #ARGV do
  local shard = first + at - 4
  if shard >= known then
    units[#units + 1] = shard
    if ARGV[at] ~= '' then call('HSET', key(id, 'sources'), shard, ARGV[at]) end
  end
end
call('HSET', key(id), 'shards_cut', math.max(known, first + #ARGV - 3))
if status ~= 'running' or failure then return 0 end
enqueue(id, units)
return wanted(#units)
""",
    # ARGV: id, token, shards, rows in, bad rows, folder of the cut input, sources of the first shards
    "planned": """
local id = ARGV[1]
if not holds(id, 'plan', ARGV[2]) then return -1 end
drop_lease(id, 'plan')
call('HSET', key(id), 'shards_total', ARGV[3], 'total', ARGV[4], 'input', ARGV[6])
call('HINCRBY', key(id), 'failed', ARGV[5])
count('failed_rows', tonumber(ARGV[5]))
local rows, owed, done, failed = unpack(call('HMGET', key(id), 'total', 'owed', 'completed', 'failed'))
owe(id, rows - (done or 0) - failed - (owed or 0))
local status, failure, known = unpack(call('HMGET', key(id), 'status', 'error', 'shards_cut'))
if status == 'running' and not failure then
  local units = {}
  for shard = tonumber(known or 0), ARGV[3] - 1 do
    units[#units + 1] = shard
    if (ARGV[7 + shard] or '') ~= '' then call('HSET', key(id, 'sources'), shard, ARGV[7 + shard]) end
  end
  enqueue(id, units)
  if #units > 0 then return wanted(#units) end
end
return settle(id)
""",
    # ARGV: id, shard, token, rows, bad rows, seconds, bucket, JSON of rows by task
    "finish_shard": """
local id = ARGV[1]
if not holds(id, ARGV[2], ARGV[3]) then return -1 end
drop_lease(id, ARGV[2])
if call('SADD', key(id, 'done'), ARGV[2]) == 1 then
  call('HINCRBY', key(id), 'completed', ARGV[4])
  if ARGV[5] ~= '0' then call('HINCRBY', key(id), 'failed', ARGV[5]) end
  call('HSET', key(id), 'shards_done', call('SCARD', key(id, 'done')))
  if call('HEXISTS', key(id), 'shards_total') == 1 then owe(id, -(ARGV[4] + ARGV[5])) end
  measured(unpack(ARGV, 4, 8))
end
return settle(id)
""",
    # ARGV: id, token, rows in, rows out, bad rows, seconds, bucket, JSON of rows by task, why it failed or ''
    # A small job was worked on whole, its manifest is written. If it is being cancelled, another is due.
    "finish_whole": """
local id = ARGV[1]
if not holds(id, 'plan', ARGV[2]) then return -1 end
drop_lease(id, 'plan')
local status = call('HGET', key(id), 'status')
call('HSET', key(id), 'total', ARGV[3], 'completed', ARGV[4], 'failed', ARGV[5],
     'shards_total', 1, 'shards_done', 1)
measured(unpack(ARGV, 4, 8))
if status == 'running' then
  move(id, 'finalizing')
  if ARGV[9] ~= '' then call('HSET', key(id), 'error', ARGV[9]) end
  move(id, ARGV[9] ~= '' and 'failed' or 'completed')
  forget_units(id)
  return 0
end
call('SADD', key(id, 'done'), 0)
return settle(id)
""",
    # ARGV: id, unit, token, reason, most attempts, ms after which the reaper hands it out again (0: at once),
    # '1' if the attempt does not count
    "release": """
local id, unit = ARGV[1], ARGV[2]
if not holds(id, unit, ARGV[3]) then return -1 end
if ARGV[7] == '1' then call('HINCRBY', key(id, 'attempts'), unit, -1) end
local status, failure = unpack(call('HMGET', key(id), 'status', 'error'))
if ARGV[6] ~= '0' and status ~= 'cancelling' and not failure and
    tonumber(call('HGET', key(id, 'attempts'), unit)) < tonumber(ARGV[5]) then
  call('ZADD', P .. 'leases', now() + ARGV[6], id .. '/' .. unit)
  call('HSET', P .. 'tokens', id .. '/' .. unit, PUT_OFF)
  call('HSET', key(id, 'attempts'), unit .. ':why', ARGV[4])
  return 0
end
drop_lease(id, unit)
return give_back(ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5]))
""",
    # ARGV: id, unit, token, reason
    "give_up": """
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return -1 end
drop_lease(ARGV[1], ARGV[2])
return give_up(ARGV[1], ARGV[2], ARGV[4])
""",
    # ARGV: id, token, why a job fails whose units are all done, or ''
    # -> the final status, or nil when the lease is lost
    "close": """
local id = ARGV[1]
if not holds(id, 'finalize', ARGV[2]) then return nil end
drop_lease(id, 'finalize')
if ARGV[3] ~= '' then call('HSETNX', key(id), 'error', ARGV[3]) end
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
  drop_put_off(id)
  settle(id)
end
return call('HGET', key(id), 'status') or ''
""",
    # ARGV: id -> '' when it is deleted, or why not: its status, 'unknown'
    "delete": """
local id = ARGV[1]
local status, mark = unpack(call('HMGET', key(id), 'status', 'idempotency'))
if not status then return 'unknown' end
if next(MOVES[status]) then return status end
forget_units(id)
mark = P .. 'idempotency:' .. (mark or '')
if call('HGET', mark, 'job') == id then call('DEL', mark) end
for _, name in ipairs({'jobs', 'status:' .. status, 'callbacks'}) do call('ZREM', P .. name, id) end
call('DEL', key(id))
return ''
""",
    # ARGV: most attempts, reason -> units whose lease had expired (at most 1000 in one call)
    "reap": """
local names = call('ZRANGEBYSCORE', P .. 'leases', '-inf', now(), 'LIMIT', 0, 1000)
for _, name in ipairs(names) do
  local id, unit = string.match(name, '^(.*)/(.*)$')
  local why = call('HGET', key(id, 'attempts'), unit .. ':why') or 'unit ' .. unit .. ': ' .. ARGV[2]
  drop_lease(id, unit)
  give_back(id, unit, why, tonumber(ARGV[1]))
end
return names
""",
    # -> for each of the ten levels {units that wait, jobs, ms since the one that waits longest had a turn}
    "depths": """
local waits = {}
for level = 0, 9 do
  local oldest = call('ZRANGE', P .. 'ready:' .. level, 0, 0, 'WITHSCORES')[2]
  waits[level + 1] = {tonumber(call('HGET', P .. 'units', level) or 0), call('ZCARD', P .. 'ready:' .. level),
                      oldest and math.max(0, now() - math.floor(oldest / 1000)) or 0}
end
return waits
""",
    # ARGV: id -> the job's fields; how many jobs get a worker before its next turn, nil if it does not wait
    "look": """
local level = call('HGET', key(ARGV[1]), 'level')
local rank = level and call('ZRANK', P .. 'ready:' .. level, ARGV[1])
if rank then
  for before = 0, level - 1 do rank = rank + call('ZCARD', P .. 'ready:' .. before) end
end
return {call('HGETALL', key(ARGV[1])), rank}
""",
    # ARGV: worker, then fields and values of what it tells
    "present": """
call('ZADD', P .. 'workers', now(), ARGV[1])
if #ARGV > 1 then
  call('HSET', P .. 'worker:' .. ARGV[1], unpack(ARGV, 2))
  call('EXPIRE', P .. 'worker:' .. ARGV[1], 3600)
end
call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', now() - 3600000)
""",
}


def build(moves: Mapping[str, frozenset[str]], tickets: Sequence[str], most_tickets: int) -> dict[str, str]:
    """The source of every script by name.

    Args:
        moves: the statuses that may follow a job's status.
        tickets: the broker's lists of tickets.
        most_tickets: that may wait there.
    """
    table = ", ".join(
        f"{start} = {{{', '.join(f'{end} = true' for end in sorted(ends))}}}"
        for start, ends in sorted(moves.items())
    )
    names = ", ".join(f"'{name}'" for name in tickets)
    constants = (
        f"local P = '{PREFIX}'\n"
        f"local MOVES, TICKETS, MOST_TICKETS = {{{table}}}, {{{names}}}, {most_tickets}\n"
    )
    return {name: f"{constants}{lua.PRELUDE}{body}" for name, body in _BODIES.items()}
