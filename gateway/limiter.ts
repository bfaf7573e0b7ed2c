/** The rate limiter of a gateway: shared counts in Redis where one is configured, else counts in this process. */
import { createRateLimiter, type RateLimiter } from '../policies/rate-limit.ts';
import { createMemoryRateLimitStore } from '../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore } from '../policies/rate-limit-redis.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export function createLimiter({ redisUrl }: Settings, log: Log, metrics: Metrics): RateLimiter & { close(): void } {
  const local = createMemoryRateLimitStore();
  const shared = redisUrl === undefined ? undefined : createRedisRateLimitStore({ url: redisUrl });
  const limiter = createRateLimiter({
    shared,
    local,
    onStoreFailure: (error) => log.warn('Redis cannot be asked: each limit does what its onStoreError says', { error }),
    onDecision: (rule, outcome) => metrics.observeLimit(rule, outcome),
  });
  return {
    check: (rules, subject) => limiter.check(rules, subject),
    close() {
      shared?.close();
      local.close();
    },
  };
}
