/**
 * What Redis does in one go. Every script on an instance gets all its keys (see `keysOf`); whatever its owner writes carries the
 * epoch of the copy it is meant for, so that what was held up on its way does no harm to a later one.
 */
function onInstance(body: string): string {
  return `local lease, owner, jobs, progress, tries, claim, aside, freshJobs, freshProgress = unpack(KEYS)\n${body}`;
}

/** Keeps a copy of a job for a person to look at. */
const KEEP = `
local function keep(field)
  local record = redis.call('hget', jobs, field)
  local kept = { record = record, progress = redis.call('hget', progress, field) or nil }
  if record then redis.call('hset', aside, field, cjson.encode(kept)) end
end`;

/** Takes a job out. */
const REMOVE = `
local function remove(field)
  for _, key in ipairs({ jobs, progress, tries }) do redis.call('hdel', key, field) end
end`;

/** Whether a field is UTF-8. What is none comes to us as another one: we could not even remove it. */
const IS_TEXT = `
local characters = {
  '^[\\194-\\223][\\128-\\191]', '^\\224[\\160-\\191][\\128-\\191]', '^[\\225-\\236\\238\\239][\\128-\\191][\\128-\\191]',
  '^\\237[\\128-\\159][\\128-\\191]', '^\\240[\\144-\\191][\\128-\\191][\\128-\\191]',
  '^[\\241-\\243][\\128-\\191][\\128-\\191][\\128-\\191]', '^\\244[\\128-\\143][\\128-\\191][\\128-\\191]'
}
local function isText(field)
  local at = string.find(field, '[\\128-\\255]')
  while at do
    local last
    for _, character in ipairs(characters) do
      local _, found = string.find(field, character, at)
      last = last or found
    end
    if not last then return false end
    at = string.find(field, '[\\128-\\255]', last + 1)
  end
  return true
end`;

/** `<instance> <leaseMs>` on the index: it lives that much longer. */
export const ENLIST = `
local now = redis.call('time')
local ends = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2]
return redis.call('zadd', KEYS[1], ends, ARGV[1])`;

/** `<offset> <most>` on the index: whose lease is over. Only a hint, the lease itself decides. */
export const LOOK = `
local now = redis.call('time')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
return redis.call('zrangebyscore', KEYS[1], '-inf', ms, 'limit', ARGV[1], ARGV[2])`;

/** `<epoch> <leaseMs> <about>`: a new copy of all jobs is about to come. */
export const BEGIN_COPY = onInstance(`
redis.call('set', lease, '1', 'px', ARGV[2])
redis.call('hset', owner, 'next', ARGV[1], 'next-batches', 0, 'about', ARGV[3])
redis.call('del', freshJobs, freshProgress)
return 1`);

/**
 * `<epoch> <batches> <leaseMs> <field> …`: after so many batches it is whole, and takes the place of the one before, of which these
 * jobs are set aside. Whoever had claimed that one has nothing in hand any more.
 * @returns 1, or as `WRITE`.
 */
export const END_COPY = onInstance(`${KEEP}
if redis.call('hget', owner, 'next') ~= ARGV[1] then return -1 end
if redis.call('hget', owner, 'next-batches') ~= ARGV[2] then return -2 end
redis.call('set', lease, '1', 'px', ARGV[3])
for i = 4, #ARGV do keep(ARGV[i]) end
redis.call('del', jobs, progress, tries, claim)
if redis.call('exists', freshJobs) == 1 then redis.call('rename', freshJobs, jobs) end
if redis.call('exists', freshProgress) == 1 then redis.call('rename', freshProgress, progress) end
redis.call('hset', owner, 'epoch', ARGV[1], 'epoch-batches', 0)
redis.call('hdel', owner, 'next', 'next-batches')
return 1`);

/**
 * `<epoch> <"epoch" | "next"> <batches> <leaseMs> <about or ""> <records> <checkpoints> <bare> <aside>`, then so many pairs of field and
 * record, pairs of field and checkpoint, fields that lose their checkpoint, fields that are set aside, and for the rest fields that go.
 * @returns how many jobs the copy has; -1 when it is not that copy, or the lease was over; -2 when it has not had so many batches before.
 */
export const WRITE = onInstance(`${KEEP}
if redis.call('hget', owner, ARGV[2]) ~= ARGV[1] then return -1 end
if ARGV[2] == 'epoch' and redis.call('exists', lease) == 0 then return -1 end
if redis.call('hget', owner, ARGV[2] .. '-batches') ~= ARGV[3] then return -2 end
if ARGV[2] == 'next' then jobs, progress = freshJobs, freshProgress end
redis.call('set', lease, '1', 'px', ARGV[4])
redis.call('hincrby', owner, ARGV[2] .. '-batches', 1)
if ARGV[5] ~= '' then redis.call('hset', owner, 'about', ARGV[5]) end
local at = 10
for _ = 1, ARGV[6] do redis.call('hset', jobs, ARGV[at], ARGV[at + 1]) at = at + 2 end
for _ = 1, ARGV[7] do redis.call('hset', progress, ARGV[at], ARGV[at + 1]) at = at + 2 end
for _ = 1, ARGV[8] do redis.call('hdel', progress, ARGV[at]) at = at + 1 end
for i = at, at + ARGV[9] - 1 do keep(ARGV[i]) end
for i = at, #ARGV do redis.call('hdel', jobs, ARGV[i]) redis.call('hdel', progress, ARGV[i]) end
return redis.call('hlen', jobs)`);

/** `<epoch> <about>`: the owner lets go. @returns how many jobs it leaves, or -1. */
export const GOODBYE = onInstance(`
if redis.call('hget', owner, 'epoch') ~= ARGV[1] then return -1 end
redis.call('del', lease)
local left = redis.call('hlen', jobs)
if left == 0 then redis.call('del', owner, progress, tries, claim, freshJobs, freshProgress)
else redis.call('hset', owner, 'about', ARGV[2]) end
return left`);

/**
 * `<claimer> <leaseMs> <epoch in hand> <JSON: its fields> <most bytes> <most of the untried> <of those tried once> <of others> <most tries>`.
 * Those that were never tried come first, many together; whatever killed its reporter before comes alone in the end.
 * @returns `[what, strange]`: `alive`, `taken` by another claimer, `gone` with nothing left, `in hand` all that is left, `later` what was
 * tried too often; or
 * `['orphans', strange, epoch, about, field, record, checkpoint, tries, …]`. So many fields were `strange`, and set aside.
 */
export const CLAIM = onInstance(`${KEEP}${REMOVE}${IS_TEXT}
if redis.call('exists', lease) == 1 then return { 'alive', 0 } end
local holder = redis.call('get', claim)
if holder and holder ~= ARGV[1] then return { 'taken', 0 } end
local epoch = redis.call('hget', owner, 'epoch') or ''
local seen = {}
if ARGV[3] == epoch then
  for _, field in ipairs(cjson.decode(ARGV[4])) do seen[field] = true end
end
local mostBytes = tonumber(ARGV[5])
local groups = {}
for i = 1, 3 do groups[i] = { most = tonumber(ARGV[5 + i]), bytes = 0, full = false } end
local function triesOf(field)
  return tonumber(string.match(redis.call('hget', tries, field) or '', '^%d%d?%d?$') or 0)
end
local strange, isLater = 0, false
local cursor = '0'
repeat
  local page = redis.call('hscan', jobs, cursor, 'count', 50)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local field, record = page[2][i], page[2][i + 1]
    if not isText(field) then
      strange = strange + 1
      keep(field)
      remove(field)
    elseif not seen[field] then
      seen[field] = true
      local before = triesOf(field)
      local group = groups[math.min(before, 2) + 1]
      if before >= tonumber(ARGV[9]) then isLater = true
      elseif not group.full then
        group[#group + 1] = field
        group[#group + 1] = record
        group.bytes = group.bytes + #record
        group.full = #group >= 2 * group.most or group.bytes >= mostBytes
      end
    end
  end
until cursor == '0' or groups[1].full
if redis.call('exists', jobs) == 0 then
  redis.call('del', owner, progress, tries, claim, freshJobs, freshProgress)
  return { 'gone', strange }
end
local chosen = groups[1]
if #chosen == 0 then chosen = groups[2] end
if #chosen == 0 then chosen = groups[3] end
if #chosen == 0 then return { isLater and 'later' or 'in hand', strange } end
redis.call('set', claim, ARGV[1], 'px', ARGV[2])
local answer = { 'orphans', strange, epoch, redis.call('hget', owner, 'about') or '' }
for i = 1, #chosen, 2 do
  answer[#answer + 1] = chosen[i]
  answer[#answer + 1] = chosen[i + 1]
  answer[#answer + 1] = redis.call('hget', progress, chosen[i])
  local now = triesOf(chosen[i]) + 1
  redis.call('hset', tries, chosen[i], now)
  answer[#answer + 1] = now
end
return answer`);

/** Its owner is dead. */
export const EXPIRE = onInstance(`return redis.call('del', lease)`);

/** `<claimer> <leaseMs> <epoch>`: goes on holding. @returns 0 when another one has it, or the owner is back. */
export const RENEW = onInstance(`
local holder = redis.call('get', claim)
if holder and holder ~= ARGV[1] then return 0 end
if redis.call('exists', lease) == 1 or (redis.call('hget', owner, 'epoch') or '') ~= ARGV[3] then return 0 end
redis.call('set', claim, ARGV[1], 'px', ARGV[2])
return 1`);

/**
 * `<claimer> <epoch> <"delivered" | "aside" | "untried" | "tried" | "kept"> <"1": nothing else in hand> <field> …`.
 * @returns 2 when the instance is gone with its last job, else 1; 0 when its jobs are not those that were claimed.
 */
export const SETTLE = onInstance(`${KEEP}${REMOVE}
if (redis.call('hget', owner, 'epoch') or '') ~= ARGV[2] then return 0 end
local fate = ARGV[3]
for i = 5, #ARGV do
  local field = ARGV[i]
  local isTakenBack = fate == 'untried' or fate == 'kept'
  if isTakenBack and redis.call('hincrby', tries, field, -1) <= 0 then redis.call('hdel', tries, field) end
  if fate == 'aside' then keep(field) end
  if fate == 'delivered' or fate == 'aside' then remove(field) end
end
if ARGV[4] == '1' and redis.call('get', claim) == ARGV[1] then redis.call('del', claim) end
if redis.call('exists', jobs) == 1 or redis.call('exists', lease) == 1 then return 1 end
redis.call('del', owner, progress, tries, claim, freshJobs, freshProgress)
return 2`);

/** `<instance>` on the index: worth a look, whenever its lease ends. */
export const SUSPECT = `return redis.call('zadd', KEYS[1], 0, ARGV[1])`;

/** `<instance>` on the index: it is gone. */
export const UNLIST = `return redis.call('zrem', KEYS[1], ARGV[1])`;

/** Whether an instance has, or may soon have, something to report. */
export const IS_BACK = onInstance(`return redis.call('exists', lease, jobs) > 0 and 1 or 0`);

/**
 * `<token> <leaseMs> <"1": what is not there belongs to nobody>` on a name: takes it for a lease.
 * @returns 1; 0 when somebody has it; -1 when it is not there, and may be lost.
 */
export const OWN_NAME = `
local holder = redis.call('get', KEYS[1])
if holder and holder ~= '' then return 0 end
if not holder and ARGV[3] ~= '1' then return -1 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1`;

/** `<token> <leaseMs>` on a name: goes on owning it, also when Redis has lost it. @returns 0 when somebody else has it, or it was given up. */
export const KEEP_NAME = `
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1`;

/** `<token> <freeMs>` on a name: gives it up, and says so for a while. @returns 0 when it is somebody else's, or not there. */
export const RELEASE_NAME = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], '', 'px', ARGV[2])
return 1`;
