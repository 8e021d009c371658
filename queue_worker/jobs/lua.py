"""What the job store's scripts share: the keys, and the functions that keep their invariants.

Keys (prefix ``pingti:``):

    jobs                       sorted set of all job ids (equal scores: order by name, which is by time)
    status:<status>            the same for the jobs of one status
    job:<id>                   hash: document, status, at:<status>, counts, priority, level, error, ...
    job:<id>:waiting           list of units that nobody works on, oldest first
    job:<id>:leased            set of units that somebody works on
    job:<id>:done              set of finished shards
    job:<id>:attempts          hash: unit -> attempts begun; <unit>:why -> how the last one failed
    job:<id>:sources           hash: shard -> where its rows are, for shards that are not cut
    ready:<level>              sorted set of a level's jobs with waiting units, by their last turn (us)
    units                      hash: level -> units that wait
    rising                     sorted set: job -> when it rises a level, in ms
    leases                     sorted set: "<id>/<unit>" -> deadline in ms of the server's clock
    tokens                     hash: "<id>/<unit>" -> token of the attempt that holds the lease
    callbacks                  sorted set: job that ended and whose callback is due -> when it ended, in ms
    idempotency:<key>          hash: job, fingerprint
    owner:<name>               hash: jobs and rows of an owner that have not ended
    totals                     hash: counters that only grow
    workers, worker:<name>     sorted set: worker -> last sign of life in ms; hash: what it told

A unit is ``plan``, a shard's number, or ``finalize``. Invariant: a unit of a living job is in exactly one
of waiting, leased, done; a job is in its ready set exactly when it has waiting units. Time is the
server's. A lease is held by a token, so that a worker that was paused and wakes is refused.
"""

PRELUDE = """
local call = redis.call
local function key(id, part) return P .. 'job:' .. id .. (part and ':' .. part or '') end
local function now() local t = call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function count(name, by) if by ~= 0 then call('HINCRBY', P .. 'totals', name, by) end end

-- Rows of a job that its owner still has in the queue.
local function owe(id, by)
  local owner = call('HGET', key(id), 'owner')
  if owner and by ~= 0 then
    call('HINCRBY', key(id), 'owed', by)
    call('HINCRBY', P .. 'owner:' .. owner, 'rows', by)
  end
end

-- The one place that changes a status.
local function move(id, to)
  local from, callback, owner, owed = unpack(call('HMGET', key(id), 'status', 'callback', 'owner', 'owed'))
  if not from or not MOVES[from][to] then
    return redis.error_reply('PINGTI illegal move from ' .. tostring(from) .. ' to ' .. to)
  end
  call('HSET', key(id), 'status', to, 'at:' .. to, string.format('%.3f', now() / 1000))
  call('ZREM', P .. 'status:' .. from, id)
  call('ZADD', P .. 'status:' .. to, 0, id)
  if not next(MOVES[to]) then
    count('jobs:' .. to, 1)
    call('ZREM', P .. 'rising', id)
    if callback then call('ZADD', P .. 'callbacks', now(), id) end
    if owner then
      owe(id, -(tonumber(owed) or 0))
      if call('HINCRBY', P .. 'owner:' .. owner, 'jobs', -1) <= 0 then call('DEL', P .. 'owner:' .. owner) end
    end
  end
  return true
end

-- The end of a level's queue: now, and behind whoever is there, even if the clock was set back.
local function take_place(id, level)
  local t = call('TIME')
  local at = t[1] * 1000000 + t[2]
  local last = call('ZRANGE', P .. 'ready:' .. level, -1, -1, 'WITHSCORES')[2]
  if last and tonumber(last) >= at then at = tonumber(last) + 1 end
  call('ZADD', P .. 'ready:' .. level, string.format('%.0f', at), id)
end

local function enqueue(id, units, first)
  if #units == 0 then return end
  local level = call('HGET', key(id), 'level')
  if call('EXISTS', key(id, 'waiting')) == 0 then take_place(id, level) end
  for start = 1, #units, 1000 do
    local last = math.min(start + 999, #units)
    call(first and 'LPUSH' or 'RPUSH', key(id, 'waiting'), unpack(units, start, last))
  end
  call('HINCRBY', P .. 'units', level, #units)
end

local function drop_waiting(id)
  local level, units = call('HGET', key(id), 'level'), call('LLEN', key(id, 'waiting'))
  if units > 0 then call('HINCRBY', P .. 'units', level, -units) end
  call('DEL', key(id, 'waiting'))
  call('ZREM', P .. 'ready:' .. level, id)
end

local function forget_units(id)
  drop_waiting(id)
  call('DEL', key(id, 'leased'), key(id, 'done'), key(id, 'attempts'), key(id, 'sources'))
end

local function holds(id, unit, token) return call('HGET', P .. 'tokens', id .. '/' .. unit) == token end

local function drop_lease(id, unit)
  call('ZREM', P .. 'leases', id .. '/' .. unit)
  call('HDEL', P .. 'tokens', id .. '/' .. unit)
  call('SREM', key(id, 'leased'), unit)
end

-- Units that were put off after a failure are leased to nobody; here they are given up.
local PUT_OFF = 'put off'
local function drop_put_off(id)
  for _, unit in ipairs(call('SMEMBERS', key(id, 'leased'))) do
    if holds(id, unit, PUT_OFF) then drop_lease(id, unit) end
  end
end

-- How many of the units that now wait need a ticket, given those that wait in the broker.
local function wanted(units)
  local tickets = 0
  for _, name in ipairs(TICKETS) do tickets = tickets + call('LLEN', name) end
  return math.max(0, math.min(units, MOST_TICKETS - tickets))
end

-- After every end of a lease: when nothing of the job runs or waits, its finalize unit is due.
-- Returns the number of tickets to publish, as do the two functions below.
local function settle(id)
  if call('SCARD', key(id, 'leased')) > 0 or call('EXISTS', key(id, 'waiting')) == 1 then return 0 end
  local status, total, failure = unpack(call('HMGET', key(id), 'status', 'shards_total', 'error'))
  if status == 'running' and (failure or total and call('SCARD', key(id, 'done')) == tonumber(total)) then
    move(id, 'finalizing')
  elseif status ~= 'cancelling' then
    return 0
  end
  enqueue(id, {'finalize'})
  return wanted(1)
end

-- The job cannot be completed: what runs may end, nothing new starts.
local function give_up(id, unit, reason)
  call('HSETNX', key(id), 'error', reason)
  drop_put_off(id)
  local cancelling = call('HGET', key(id), 'status') == 'cancelling'
  local begun = call('SCARD', key(id, 'leased')) + call('SCARD', key(id, 'done')) > 0
  if unit == 'finalize' or (unit == 'plan' and not cancelling and not begun) then
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
  enqueue(id, {unit}, true)
  count('retries', 1)
  return wanted(1)
end

-- Jobs whose time has come rise, and stand at their new level as long as they have waited.
local function rise(every)
  local due = call('ZRANGEBYSCORE', P .. 'rising', '-inf', now(), 'WITHSCORES', 'LIMIT', 0, 20)
  for at = 1, #due, 2 do
    local id, since = due[at], tonumber(due[at + 1])
    local level = tonumber(call('HGET', key(id), 'level') or 0)
    local steps = 1 + math.floor((now() - since) / every)
    local to = math.max(0, level - steps)
    if to == 0 then
      call('ZREM', P .. 'rising', id)
    else
      call('ZADD', P .. 'rising', since + steps * every, id)
    end
    if to < level then
      call('HSET', key(id), 'level', to)
      local turn, units = call('ZSCORE', P .. 'ready:' .. level, id), call('LLEN', key(id, 'waiting'))
      if turn then
        call('ZREM', P .. 'ready:' .. level, id)
        call('ZADD', P .. 'ready:' .. to, turn, id)
        call('HINCRBY', P .. 'units', level, -units)
        call('HINCRBY', P .. 'units', to, units)
      end
    end
  end
end

-- A shard's end, as its worker told it: rows, bad rows, seconds, histogram bucket, JSON of rows by task.
local function measured(rows, failed, seconds, bucket, tasks)
  count('shards', 1)
  count('rows', tonumber(rows))
  count('failed_rows', tonumber(failed))
  count('bucket:' .. bucket, 1)
  call('HINCRBYFLOAT', P .. 'totals', 'shard_seconds', seconds)
  for task, asked in pairs(cjson.decode(tasks)) do
    count('task:' .. task, asked)
    count('label_scores', asked)
  end
end
"""
