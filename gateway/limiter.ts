/** The rate limiter of a gateway: shared counts in Redis where one is configured, else counts in this process. */
import { createRateLimiter, type RateLimiter, type RateLimitStore } from '../policies/rate-limit.ts';
import { createMemoryRateLimitStore } from '../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore } from '../policies/rate-limit-redis.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Creates the limiter. `local` counts where no Redis does; it is closed with the limiter. */
export function createLimiter(
  { redisUrl }: Settings,
  log: Log,
  metrics: Metrics,
  local: RateLimitStore = createMemoryRateLimitStore(),
): RateLimiter & { close(): void } {
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
