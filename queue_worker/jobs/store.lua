-- What the store changes, each command atomically. ARGV: a command and its arguments, named below. Before this stand
-- P, the prefix of all keys, and MOVES: of `job` and of `run`, status -> the statuses that may follow.
-- Answers {result (false: the lease is lost), messages to publish: {id, unit, level, attempt, ms, taught}}. Units: `plan`, a
-- shard's number, `finalize`, or `retrain` (of `run:...`); out from publication to end. Keys (server's time, ms):
--   job:<id>, run:...    hash: document, status, at:<status>, priority, level, counts, error, ...; window: a number
--   ...:out, :held, :attempts, :sources, :done, :parts   by unit: "<level> <ms>" of its publication; worker; ...
--   out, tokens          "<id>/<unit>" -> when its lease ends or its message may be lost; token of its lease
--   taught, untaught     when a worker with a teacher was heard last; there while none has been for too long
--   asking               jobs that ask a teacher and have not ended
--   ready:<level>, waiting   jobs with units that nobody has, by last turn (us); level -> such units
local call, commands, messages, LOOK_MS, AGAIN_MS = redis.call, {}, {}, 5000, 10000
local function now() local t = call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function is_run(id) return string.sub(id, 1, 4) == 'run:' end
local function key(id, part) return P .. (is_run(id) and '' or 'job:') .. id .. (part and ':' .. part or '') end
local function get(id, ...) return unpack(call('HMGET', key(id), ...)) end
local function set(id, ...) call('HSET', key(id), ...) end
local function set_once(id, name, to) if to ~= '' then call('HSETNX', key(id), name, to) end end
local function add(id, name, by) return call('HINCRBY', key(id), name, by) end
local function count(name, by) if tonumber(by) ~= 0 then call('HINCRBY', P .. 'totals', name, by) end end
local function holds(id, unit, token) return call('HGET', P .. 'tokens', id .. '/' .. unit) == token end
local function tried(id, unit, by) add(id, 'attempts', by); return call('HINCRBY', key(id, 'attempts'), unit, by) end
local function owe(id, by)  -- rows of a job that its owner still has in the queue
  local owner = get(id, 'owner')
  if owner and by ~= 0 then add(id, 'owed', by); call('HINCRBY', P .. 'owner:' .. owner, 'rows', by) end
end
local function move(id, to)  -- the one place that changes a status
  local from, callback, owner, owed = get(id, 'status', 'callback', 'owner', 'owed')
  local moves = MOVES[is_run(id) and 'run' or 'job']
  if not from or not (moves[from] or {})[to] then error('illegal move from ' .. tostring(from) .. ' to ' .. to) end
  set(id, 'status', to); set_once(id, 'at:' .. to, now() / 1000)
  if is_run(id) then return end
  call('ZREM', P .. 'status:' .. from, id); call('ZADD', P .. 'status:' .. to, 0, id)
  if moves[to] then return end
  call('SREM', P .. 'asking', id)
  count('jobs:' .. to, 1); if callback then call('ZADD', P .. 'callbacks', now(), id) end
  if owner then owe(id, -(owed or 0)); call('HINCRBY', P .. 'owner:' .. owner, 'jobs', -1) end
end
local function level(id)  -- its priority, and a level higher for each so many ms that it has waited
  local priority, since, every = get(id, 'priority', 'at:queued', 'ageing')
  local risen = (tonumber(every) or 0) > 0 and math.floor(math.max(0, now() - since * 1000) / every) or 0
  return math.max(0, (priority or 0) - risen)
end
-- A job with waiting units (`by` more of them) stands in the line of its level; after a turn at its end.
local function line(id, by, turn)
  local waiting, stood, to, t = add(id, 'waiting', by), get(id, 'level'), level(id), call('TIME')
  if is_run(id) then return end
  local place = call('ZSCORE', P .. 'ready:' .. stood, id)
  call('ZREM', P .. 'ready:' .. stood, id); set(id, 'level', to)
  call('HINCRBY', P .. 'waiting', stood, by - waiting); call('HINCRBY', P .. 'waiting', to, waiting)
  if turn or not place then place = string.format('%.0f', t[1] * 1000000 + t[2]) end
  if waiting > 0 then call('ZADD', P .. 'ready:' .. to, place, id) end
end
-- A shard of a job whose students ask a teacher goes where one is, while one can be had.
local function taught(id, unit)
  return tonumber(unit) and get(id, 'teacher') == '1' and call('EXISTS', P .. 'untaught') == 0 and 1 or 0
end
local function publish(id, unit, wait_ms)  -- with `wait_ms` the reaper does it, so much later
  call('HSET', key(id, 'out'), unit, level(id) .. ' ' .. (wait_ms and 0 or now()))
  call('ZADD', P .. 'out', now() + (wait_ms or LOOK_MS), id .. '/' .. unit)
  if wait_ms then return end
  local attempt = (call('HGET', key(id, 'attempts'), unit) or 0) + 1
  messages[#messages + 1] = {id, tostring(unit), level(id), attempt, now(), taught(id, unit)}
end
local function drop(id, unit)
  call('ZREM', P .. 'out', id .. '/' .. unit); call('HDEL', P .. 'tokens', id .. '/' .. unit)
  for _, part in ipairs({'out', 'held'}) do call('HDEL', key(id, part), unit) end
end
local function forget(id, every)  -- units that nobody has are not wanted any more, or `every` unit
  for _, unit in ipairs(call('HKEYS', key(id, 'out'))) do
    if every or call('HEXISTS', key(id, 'held'), unit) == 0 then drop(id, unit) end
  end
  line(id, -(get(id, 'waiting') or 0))
end
local function finish(id, to)
  move(id, to); forget(id, true)
  for _, part in ipairs({'out', 'held', 'done', 'attempts', 'sources', 'parts'}) do call('DEL', key(id, part)) end
end
-- After every end: publish the next shards as the window allows, or the job's end when nothing is out.
local function settle(id)
  local status, failure, total, first, cut = get(id, 'status', 'error', 'shards_total', 'published', 'shards_cut')
  local rivals = math.max(1, call('ZCARD', P .. 'ready:' .. get(id, 'level')))
  local room = math.max(1, math.floor((call('GET', P .. 'window') or 3) / rivals)) - call('HLEN', key(id, 'out'))
  local last = status == 'running' and not failure and math.min(cut or 0, (first or 0) + room) or 0
  for shard = first or 0, last - 1 do publish(id, shard); set(id, 'published', shard + 1) end
  local whole = failure or total and call('SCARD', key(id, 'done')) >= tonumber(total)
  if call('HLEN', key(id, 'out')) > 0 or not (status == 'cancelling' or status == 'running' and whole) then return end
  if status == 'running' then move(id, 'finalizing') end; publish(id, 'finalize'); line(id, 1)
end
local function give_up(id, unit, reason)  -- it cannot be completed: what runs may end, nothing new starts
  set_once(id, is_run(id) and 'reason' or 'error', reason)
  local alone = call('HLEN', key(id, 'held')) + call('SCARD', key(id, 'done')) == 0 and get(id, 'status') ~= 'cancelling'
  if is_run(id) or unit == 'finalize' or unit == 'plan' and alone then return finish(id, 'failed') end
  forget(id); settle(id)
end
local function try_again(id, unit, reason, most, wait_ms)  -- its lease has ended without a result
  local status, failure = get(id, 'status', 'error')
  if (status == 'cancelling' or failure) and unit ~= 'finalize' then return settle(id) end
  if tonumber(call('HGET', key(id, 'attempts'), unit) or 0) >= tonumber(most) then
    return give_up(id, unit, most == '0' and reason or reason .. ' (' .. most .. ' attempts)')
  end
  if is_run(id) then set(id, 'reason', reason); move(id, 'queued') else count('retries', 1) end
  publish(id, unit, wait_ms); line(id, 1)
end
-- -> {'new' | 'known' | 'volatile' (no append-only file), id, when it was accepted, or the known one's fingerprint}
function commands.create(
    id, document, priority, small, rows, owner, callback, ageing, mark, words, mark_s, durable, teacher)
  local marked = P .. 'idempotency:' .. mark
  local job, known = unpack(call('HMGET', marked, 'job', 'fingerprint'))
  job = mark ~= '' and job or call('EXISTS', key(id)) == 1 and id  -- a client may send its command again
  if job then count('repeated', 1); return {'known', job, known or ''} end  -- counted: WAITAOF waits for a write
  local kept = durable ~= '1' or string.find(call('INFO', 'persistence'), 'aof_enabled:1', 1, true)
  if not kept then return {'volatile', id, ''} end
  set(id, 'document', document, 'priority', priority, 'level', priority, 'small', small, 'ageing', ageing,
      'status', 'queued', 'at:queued', now() / 1000, 'total', rows, 'teacher', teacher)
  for _, index in ipairs({'jobs', 'status:queued'}) do call('ZADD', P .. index, 0, id) end
  if teacher == '1' then call('SADD', P .. 'asking', id) end
  for name, value in pairs({callback = callback, owner = owner, idempotency = mark}) do set_once(id, name, value) end
  if owner ~= '' then call('HINCRBY', P .. 'owner:' .. owner, 'jobs', 1); owe(id, tonumber(rows)) end
  if mark ~= '' then call('HSET', marked, 'job', id, 'fingerprint', words); call('EXPIRE', marked, mark_s) end
  count('jobs:accepted', 1); publish(id, 'plan'); line(id, 1)
  return {'new', id, get(id, 'at:queued')}
end
local function take(id, unit, token, worker, lease_ms)
  local name, out = id .. '/' .. unit, call('HGET', key(id, 'out'), unit)
  if not out or call('HEXISTS', P .. 'tokens', name) == 1 then return nil end
  local waited = math.max(0, now() - string.match(out, '%d+$'))
  call('ZADD', P .. 'out', now() + lease_ms, name); call('HSET', P .. 'tokens', name, token)
  call('HSET', key(id, 'held'), unit, worker); call('HDEL', key(id), 'reason'); line(id, -1, true)
  if get(id, 'status') == 'queued' then move(id, 'running') end
  return {id, tried(id, unit, 1), call('HGET', key(id, 'sources'), unit) or '', call('HGETALL', key(id)), waited}
end
-- -> for each unit {id, attempt, where a shard's rows are, the job's fields, ms since its publication}; none where it
-- is over, or held. A small job that nobody has begun brings others of its kind, `most` in all, of no less urgent lines.
function commands.claim(id, unit, token, worker, lease_ms, most)
  local claims = {take(id, unit, token, worker, lease_ms)}
  if unit ~= 'plan' or not claims[1] or get(id, 'small') ~= '1' or claims[1][2] > 1 then return claims end
  for to = 0, level(id) do
    for _, other in ipairs(call('ZRANGE', P .. 'ready:' .. to, 0, most)) do
      local fresh = get(other, 'small') == '1' and call('EXISTS', key(other, 'attempts')) == 0
      if fresh and #claims < tonumber(most) then claims[#claims + 1] = take(other, 'plan', token, worker, lease_ms) end
    end
  end
  return claims
end
function commands.beat(id, unit, token, lease_ms)  -- -> 'held' | 'cancelling' | 'lost'
  if not holds(id, unit, token) then return 'lost' end
  call('ZADD', P .. 'out', 'XX', now() + lease_ms, id .. '/' .. unit)
  return get(id, 'status') == 'cancelling' and 'cancelling' or 'held'
end
-- Shards from `first` on can be worked on ('': cut); with a `total` of rows these are the last.
function commands.plan(id, token, first, total, failed, folder, ...)
  if not holds(id, 'plan', token) then return false end
  local sources, known, status, failure = {...}, get(id, 'shards_cut', 'status', 'error')
  local cut = math.max(known or 0, first + #sources)
  for shard = known or 0, cut - 1 do call('HSET', key(id, 'sources'), shard, sources[shard - first + 1]) end
  set(id, 'shards_cut', cut)
  if status == 'running' and not failure then line(id, cut - (known or 0)) end
  if total ~= '' then
    drop(id, 'plan'); set(id, 'shards_total', cut, 'total', total, 'input', folder)
    local bad, owed, done = add(id, 'failed', failed), get(id, 'owed', 'completed')
    count('failed_rows', failed); owe(id, total - (done or 0) - bad - (owed or 0))
  end
  settle(id); return true
end
-- A part is in place: a shard's, or that of a small job (`plan`) with its manifest. `counts`: JSON of what it adds to
-- the totals, `by:...` to the job's own; `refused`: why a small job fails all the same, or ''; `part`: JSON of where it is in a store, or ''.
function commands.finish(id, unit, token, rows, failed, counts, refused, part)
  if not holds(id, unit, token) then return false end
  if (part or '') ~= '' then call('HSET', key(id, 'parts'), unit, part) end
  local whole = unit == 'plan'
  drop(id, unit); call('SADD', key(id, 'done'), whole and 0 or unit)
  for name, by in pairs({completed = rows, failed = failed, shards_done = 1}) do add(id, name, by) end
  for name, by in pairs(cjson.decode(counts)) do
    if string.sub(name, 1, 3) == 'by:' then add(id, name, by) else call('HINCRBYFLOAT', P .. 'totals', name, by) end
  end
  if whole then set(id, 'total', rows + failed, 'shards_total', 1, 'shards_cut', 1, 'published', 1)
  elseif get(id, 'shards_total') then owe(id, -(rows + failed)) end
  if not whole or get(id, 'status') ~= 'running' then settle(id); return true end
  set_once(id, 'error', refused); move(id, 'finalizing')
  finish(id, refused ~= '' and 'failed' or 'completed'); return true
end
function commands.release(id, unit, token, reason, most, wait_ms, uncounted)  -- most 0: it can never succeed
  if not holds(id, unit, token) then return false end
  drop(id, unit); if uncounted == '1' then tried(id, unit, -1) end
  try_again(id, unit, reason, most, wait_ms ~= '0' and wait_ms or nil); return true
end
-- A job whose manifest is written ends, a retraining as `to` says. `reason`: why, or ''. -> the final status
function commands.close(id, unit, token, to, reason, version)
  if not holds(id, unit, token) then return false end
  if is_run(id) then set(id, 'reason', reason, 'version', version) else set_once(id, 'error', reason) end
  local status, failure = get(id, 'status', 'error')
  to = is_run(id) and to or status == 'cancelling' and 'cancelled' or failure and 'failed' or 'completed'
  finish(id, to); return to
end
function commands.cancel(id)  -- -> the status afterwards
  local status = get(id, 'status')
  if status == 'queued' or (status == 'running' and is_run(id)) then finish(id, 'cancelled')
  elseif status == 'running' then move(id, 'cancelling'); forget(id); settle(id) end
  return get(id, 'status') or ''
end
function commands.hear(present, wait_ms)  -- whether a worker with a teacher is there -> whether none can be had
  local seen = call('GET', P .. 'taught')
  if present == '1' or not seen then seen = now(); call('SET', P .. 'taught', seen) end
  local absent = now() - seen > tonumber(wait_ms)
  if absent then call('SET', P .. 'untaught', seen) else call('DEL', P .. 'untaught') end
  return absent
end
-- A unit that is out for too long: its lease has ended (-> true), or its message is `lost` or not yet taken.
function commands.reap(id, unit, most, reason, lost)
  local name, at = id .. '/' .. unit, string.match(call('HGET', key(id, 'out'), unit) or '', '^%d+')
  local leased = call('HEXISTS', P .. 'tokens', name) == 1
  if now() < tonumber(call('ZSCORE', P .. 'out', name) or math.huge) then return false end
  if at and leased then drop(id, unit); try_again(id, unit, reason, most)
  elseif at and (lost == '1' or level(id) < tonumber(at)) then publish(id, unit); line(id, 0)
  elseif at then call('ZADD', P .. 'out', now() + AGAIN_MS, name)
  else drop(id, unit) end
  return at and leased
end
return {commands[ARGV[1]](unpack(ARGV, 2)), messages}
