/**
 * What happens in Redis in one step. All keys of a registry share one hash slot, so the scripts run in a Cluster too.
 *
 * - `meta`: format, revision, stamp (a random name of the state), and how many entries each list ever had
 * - `services`, `policies`: name -> document; `texts`: hash -> long text
 * - `changed`: members (services by name, policies behind `policy:`) by the revision of their last change; `stamps`: the stamps by their revision. Together they tell
 *   what changed since a state, and whether that state is part of the present one's past at all.
 * - `audit`, `history`: lists of `id fingerprint json`, newest last
 * - `leases`: `service/instance` by the time of expiry, in milliseconds of Redis
 */
export const redisKeys = ['meta', 'services', 'texts', 'changed', 'stamps', 'audit', 'history', 'policies'] as const;

/** What a policy's member begins with. No service is called so; who does not know of policies sees a service that is gone. */
export const policyMember = 'policy:';

/** Where the document of a member stands. */
const placeLines = `
local function place(member)
  if string.sub(member, 1, ${policyMember.length}) ~= '${policyMember}' then return KEYS[2], member end
  return KEYS[8], string.sub(member, ${policyMember.length + 1})
end
`;

export const redisFormat = '1';

/** Revisions that a gateway may be behind and still read only what changed. */
const rememberedRevisions = 1_000;

/** ARGV: stamp of the state that is known, entries of audit and history that are known. */
export const readScript = `${placeLines}
local meta = redis.call('HMGET', KEYS[1], 'format', 'revision', 'stamp', 'audit', 'history')
if not meta[1] then return {} end
local known, names, docs = ARGV[1], {}, {}
local mode = 'same'
if meta[1] ~= '${redisFormat}' then return {meta[1]} end
if meta[3] ~= known then
  local since = known ~= '' and redis.call('ZSCORE', KEYS[5], known)
  if since then
    mode = 'delta'
    names = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. since, '+inf')
  else
    mode = 'full'
    names = redis.call('HKEYS', KEYS[2])
    for _, name in ipairs(redis.call('HKEYS', KEYS[8])) do names[#names + 1] = '${policyMember}' .. name end
  end
  for i, member in ipairs(names) do
    local key, name = place(member)
    docs[i] = redis.call('HGET', key, name) or ''
  end
end
local function tail(key, total, from)
  local count = tonumber(total or '0') - from
  if count <= 0 then return {} end
  return redis.call('LRANGE', key, -count, -1)
end
return {meta[1], meta[2], meta[3], mode, names, docs,
  meta[4] or '0', tail(KEYS[6], meta[4], tonumber(ARGV[2])),
  meta[5] or '0', tail(KEYS[7], meta[5], tonumber(ARGV[3])), redis.call('LLEN', KEYS[7])}
`;

/**
 * ARGV: expected stamp, or \`any\` for the lists alone; revision, new stamp, channel; then counted lists: documents (member,
 * document), removed members, texts (hash, text), hashes without use, audit (fingerprint, element), its limit, history
 * (element), its limit. Answers 1, or 0 when the stamp is another one.
 */
export const saveScript = `${placeLines}
local format, stamp = unpack(redis.call('HMGET', KEYS[1], 'format', 'stamp'))
if format and format ~= '${redisFormat}' then return {format} end
local any = ARGV[1] == 'any'
if (any and not stamp) or (not any and (stamp or '') ~= ARGV[1]) then return {'${redisFormat}', 0} end
local revision, at = ARGV[2], 5
local function each(width, visit)
  local count = tonumber(ARGV[at])
  at = at + 1
  for i = 1, count do
    visit(ARGV[at], ARGV[at + 1])
    at = at + width
  end
end
each(2, function(member, doc)
  local key, name = place(member)
  redis.call('HSET', key, name, doc)
  redis.call('ZADD', KEYS[4], revision, member)
end)
each(1, function(member)
  local key, name = place(member)
  redis.call('HDEL', key, name)
  redis.call('ZADD', KEYS[4], revision, member)
end)
each(2, function(hash, text) redis.call('HSET', KEYS[3], hash, text) end)
each(1, function(hash) redis.call('HDEL', KEYS[3], hash) end)
local function append(field, key, fingerprint, element)
  local last = fingerprint ~= '' and redis.call('LINDEX', key, -1)
  -- A client that repeats itself must not push what others did out of the list.
  if last and string.match(last, '^%S+ (%S*) ') == fingerprint then redis.call('LSET', key, -1, element)
  else redis.call('RPUSH', key, element) end
  redis.call('HINCRBY', KEYS[1], field, 1)
end
each(2, function(fingerprint, element) append('audit', KEYS[6], fingerprint, element) end)
redis.call('LTRIM', KEYS[6], -tonumber(ARGV[at]), -1)
at = at + 1
each(1, function(element) append('history', KEYS[7], '', element) end)
if tonumber(ARGV[at]) > 0 then redis.call('LTRIM', KEYS[7], -tonumber(ARGV[at]), -1) end
redis.call('HSET', KEYS[1], 'format', '${redisFormat}')
if not any then
  redis.call('HSET', KEYS[1], 'revision', revision, 'stamp', ARGV[3])
  redis.call('ZADD', KEYS[5], revision, ARGV[3])
  local oldest = tonumber(revision) - ${rememberedRevisions}
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', oldest)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', oldest)) do
    if redis.call('HEXISTS', place(member)) == 0 then redis.call('ZREM', KEYS[4], member) end
  end
end
redis.call('PUBLISH', ARGV[4], any and 'list' or ARGV[3])
return {'${redisFormat}', 1}
`;

const nowLine = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
`;

/** ARGV: member and milliseconds, over and over. Answers the time. */
export const renewScript = `${nowLine}
for i = 1, #ARGV, 2 do redis.call('ZADD', KEYS[1], now + tonumber(ARGV[i + 1]), ARGV[i]) end
return now
`;

/** ARGV: member, time of expiry that it has at least, milliseconds of a lease if there is none. Answers the time. */
export const extendScript = `${nowLine}
for i = 1, #ARGV, 3 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not score then redis.call('ZADD', KEYS[1], now + tonumber(ARGV[i + 2]), ARGV[i])
  elseif tonumber(score) < tonumber(ARGV[i + 1]) then redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i]) end
end
return now
`;

/** Answers the time and who ran out. */
export const expiredScript = `${nowLine}
return {now, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)}
`;

/** Answers the time and every lease with its expiry. */
export const leasesScript = `${nowLine}
return {now, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}
`;
