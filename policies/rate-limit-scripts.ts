/**
 * The Lua scripts of rate limits in Redis: each decides and counts in one step, by the clock of Redis, so that gateways
 * need not agree on the time. They decide as the memory store does.
 */
import { slotRetryMs } from './rate-limit-count.ts';

/** Whether it is allowed, what remains, milliseconds until another may pass, milliseconds until nothing is counted. */
export type ScriptReply = readonly [number, number, number, number];

/** Whether there must be room for what is counted. */
export type CountMode = 'take' | 'charge';

/** The scripts as commands of a client. */
export interface LimitScripts {
  selvageGcra(
    key: string,
    emissionUs: number,
    burst: number,
    cost: number,
    debtUs: number,
    mode: CountMode,
  ): Promise<ScriptReply>;
  selvageFixedWindow(key: string, limit: number, windowMs: number, cost: number, mode: CountMode): Promise<ScriptReply>;
  selvageSlidingWindow(
    key: string,
    limit: number,
    windowMs: number,
    parts: number,
    cost: number,
    mode: CountMode,
  ): Promise<ScriptReply>;
  selvageSlotTake(key: string, limit: number, holder: string, leaseMs: number): Promise<ScriptReply>;
  selvageSlotRenew(key: string, holder: string, leaseMs: number): Promise<void>;
}

/**
 * Times are microseconds; `%.2f` keeps their quarters. The theoretical arrival time is capped: a clock set back cannot
 * lock anyone out for longer than a full burst.
 */
const gcraScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local emission, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tolerance = emission * burst
local latest = now + tolerance + tonumber(ARGV[4])
local arrival = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or now), now), latest)
local wait = arrival + emission * cost - tolerance - now
local allowed = 0
if wait <= 0 or ARGV[5] == 'charge' then
  allowed = 1
  arrival = math.min(arrival + emission * cost, latest)
  wait = arrival + emission - tolerance - now
  local ttl = string.format('%.0f', math.ceil((arrival - now) / 1000))
  redis.call('SET', KEYS[1], string.format('%.2f', arrival), 'PX', ttl)
end
local remaining = math.max(0, math.floor((now + tolerance - arrival) / emission))
return {allowed, remaining, math.max(0, math.ceil(wait / 1000)), math.ceil((arrival - now) / 1000)}
`;

/** The window is the life of the key. */
const fixedWindowScript = `
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used = tonumber(redis.call('GET', KEYS[1]) or 0)
local allowed = 0
if used + cost <= limit or ARGV[4] == 'charge' then
  allowed = 1
  if used == 0 then redis.call('SET', KEYS[1], cost, 'PX', string.format('%.0f', math.ceil(window)))
  else redis.call('INCRBY', KEYS[1], cost) end
  used = used + cost
end
local reset = math.max(0, redis.call('PTTL', KEYS[1]))
local remaining = math.max(0, limit - used)
local wait = reset
if allowed == 1 and remaining > 0 then wait = 0 end
return {allowed, remaining, wait, reset}
`;

/** A hash from the number of a part of the window to what was counted in it. */
const slidingWindowScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local limit, window, parts, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local width = window / parts
local current = math.floor(now / width)
local stored = redis.call('HGETALL', KEYS[1])
local counted, used = {}, 0
for i = 1, #stored, 2 do
  local part, count = tonumber(stored[i]), tonumber(stored[i + 1])
  if part < current - parts or part > current + 1 then redis.call('HDEL', KEYS[1], stored[i])
  else
    counted[#counted + 1] = {part, count}
    used = used + count
  end
end
table.sort(counted, function(a, b) return a[1] < b[1] end)
local allowed, excess = 0, used + cost - limit
if excess <= 0 or ARGV[5] == 'charge' then
  allowed = 1
  redis.call('HINCRBY', KEYS[1], string.format('%.0f', current), cost)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(window + width)))
  used = used + cost
  excess = used + 1 - limit
  local last = counted[#counted]
  if last and last[1] == current then last[2] = last[2] + cost
  else counted[#counted + 1] = {current, cost} end
end
local wait, reset, freed = 0, 0, 0
for i = 1, #counted do
  reset = math.ceil((counted[i][1] + parts + 1) * width - now)
  if freed < excess then wait = reset end
  freed = freed + counted[i][2]
end
return {allowed, math.max(0, limit - used), wait, reset}
`;

/** A sorted set of holders by the end of their lease. */
const slotTakeScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local limit, lease = tonumber(ARGV[1]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local held, allowed = redis.call('ZCARD', KEYS[1]), 0
if held < limit then
  allowed = 1
  held = held + 1
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease), ARGV[2])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', lease))
end
local remaining = math.max(0, limit - held)
local wait = 0
if remaining == 0 then wait = ${slotRetryMs} end
return {allowed, remaining, wait, 0}
`;

/** Also after the lease ran out: the request is under way all the same. */
const slotRenewScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2]))
`;

export const limitScripts = {
  selvageGcra: gcraScript,
  selvageFixedWindow: fixedWindowScript,
  selvageSlidingWindow: slidingWindowScript,
  selvageSlotTake: slotTakeScript,
  selvageSlotRenew: slotRenewScript,
} as const satisfies Record<keyof LimitScripts, string>;
