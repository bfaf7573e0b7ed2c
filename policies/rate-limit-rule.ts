/** The rules of rate limits: as they are written, and as the hot path wants them. */
import Type from 'typebox';
import { type ByteCount, isByteCount } from './rate-limit-bytes.ts';
import type { CountRule, LocalShare } from './rate-limit-count.ts';
import { buildKeyReader, type RateLimitSubject, rateLimitKeyPattern } from './rate-limit-key.ts';
import type { QueueRule } from './rate-limit-queue.ts';
import type { Mistake } from './schema-mistakes.ts';
import { Duration, OneOf, Percentage, parseDurationMs, parsePercentage, parseSizeBytes } from './units.ts';

const Key = Type.String({ pattern: rateLimitKeyPattern });
/** Bytes as people write them; nothing would be no limit at all. */
const Units = {
  anyOf: [
    { type: 'integer', minimum: 1, maximum: 1_000_000_000 },
    { type: 'string', pattern: '^(?=[\\d.]*[1-9])\\d{1,9}(\\.\\d+)?(b|kb|mb|gb)$', examples: ['64kb', '10gb'] },
  ],
} as const;
const closed = { additionalProperties: false } as const;

/** One named limit. A viewer, route or field that several rules cover must pass all of them. */
export const RateLimitRule = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z][a-z0-9-]{0,62}$',
      description:
        'Names the rule in the RateLimit headers, metrics and logs. Rules with one name and the same numbers share one count; changed numbers start a new one.',
    }),
    algorithm: Type.Optional(
      OneOf(['gcra', 'sliding-window', 'fixed-window', 'concurrency'], {
        default: 'gcra',
        description:
          '`gcra`: a steady pace. `sliding-window`: never more than `limit` in any span of `window`. `fixed-window`: `limit` in a window that begins with the first request. `concurrency`: `limit` requests at the same time, each until its end.',
      }),
    ),
    limit: Type.Unsafe<number | string>({
      ...Units,
      description:
        'Requests (or units of `count`; bytes may be written as a size) allowed per window; for `concurrency`, at the same time.',
    }),
    // Narrower than Duration: a window of nothing would be no limit at all.
    window: Type.Optional(
      Type.String({
        pattern: '^(?=[\\d.]*[1-9])\\d{1,9}(\\.\\d+)?(ms|s|m|h|d)$',
        examples: ['1s', '1m', '1d'],
        description: 'The window, e.g. `1m`; at most a year. Needed by every algorithm but `concurrency`.',
      }),
    ),
    burst: Type.Optional(
      Type.Unsafe<number | string>({
        ...Units,
        description:
          'For `gcra`: how many requests may come at once before the steady pace limit/window holds. Default: `limit`.',
      }),
    ),
    key: Type.Optional(
      Type.Unsafe<string | readonly string[]>({
        anyOf: [Key, { type: 'array', items: Key, minItems: 1, maxItems: 5 }],
        default: 'viewer',
        description:
          'What is counted: `viewer` (the authenticated viewer, else the ip), `ip` (IPv6 by /64; `ip/24` counts IPv4 networks, `ip/24/48` IPv6 by /48 as well), `api-key`, `client-name`, `header:NAME`, `claim:NAME` (each else the ip; believe headers only where a trusted hop sets them), `route`, `service`, `operation`, `field`; or a list, which counts each combination.',
      }),
    ),
    count: Type.Optional(
      OneOf(['requests', 'cost', 'bytes', 'requestBytes', 'responseBytes'], {
        default: 'requests',
        description:
          'What a request takes of the limit: one; its cost, that of the GraphQL operation (see `graphql.cost`) or of the REST route; or the bytes of both bodies, or of one. Bytes are charged as they pass: a request passes while anything is left, and what it takes beyond the limit is a debt that later ones pay.',
      }),
    ),
    queue: Type.Optional(
      Type.Object(
        {
          size: Type.Integer({ minimum: 1, maximum: 100_000, description: 'Requests of one key that wait at most.' }),
          timeout: Type.Unsafe<string>({ ...Duration, description: 'How long one waits at most.' }),
        },
        { ...closed, description: 'Requests over the limit wait for a while, in the order in which they came.' },
      ),
    ),
    localShare: Type.Optional(
      Type.Object(
        {
          share: Type.Unsafe<string>({
            ...Percentage,
            description:
              'Part of `limit` that a process takes from Redis at once for a key that is asked for often, to spend it by itself.',
          }),
          keep: Type.Optional(
            Type.Unsafe<string>({
              ...Duration,
              default: '1s',
              description: 'What is not spent after this time is lost.',
            }),
          ),
        },
        {
          ...closed,
          description:
            'Asks Redis less often. Never more than the limit passes; less may, by what other processes hold unspent: at most their number times `share`.',
        },
      ),
    ),
    lease: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '10s',
        description:
          'For `concurrency` with shared counts: how long after the death of a gateway its requests still count.',
      }),
    ),
    onStoreError: Type.Optional(
      Type.Union([Type.Literal('local'), Type.Literal('allow'), Type.Literal('deny')], {
        default: 'local',
        description:
          'What happens when Redis cannot be asked: `local` counts in this process, `allow` lets pass, `deny` answers 503.',
      }),
    ),
  },
  closed,
);
export type RateLimitRule = Type.Static<typeof RateLimitRule>;

/** A rule worked out once per snapshot: what the hot path needs. */
export interface CompiledRule {
  readonly name: string;
  readonly limit: number;
  /** What the store is told. */
  readonly counting: CountRule;
  readonly count: 'requests' | 'cost' | ByteCount;
  readonly queue: QueueRule | null;
  readonly onStoreError: 'local' | 'allow' | 'deny';
  /** Whether the operation must be known: such rules are asked when it has been parsed. */
  readonly needsOperation: boolean;
  /** Whether each root field of an operation is counted for itself. */
  readonly perField: boolean;
  /** Who is counted, as a key of bounded length that holds no secret. */
  readonly readKey: (subject: RateLimitSubject) => string;
  /** The rule's item in RateLimit-Policy. */
  readonly policy: string;
  /** The quota in words, for messages. */
  readonly quota: string;
}

const maxWindowMs = 366 * 86_400_000;
/** Shorter leases would be renewed all the time; and run out at every hiccup. */
const minLeaseMs = 1_000;

/** What the schema cannot say about a rule, with the key that it concerns. */
export function findLimitMistakes(rule: RateLimitRule): Mistake[] {
  const { algorithm = 'gcra', limit, window, burst, count = 'requests', localShare, lease } = rule;
  const isConcurrency = algorithm === 'concurrency';
  const mistakes: Mistake[] = [];
  const blame = (key: string, message: string) => mistakes.push({ path: [key], message });
  if (!isConcurrency && window === undefined)
    mistakes.push({ path: [], message: `\`${algorithm}\` needs a \`window\`` });
  if (isConcurrency && window !== undefined) blame('window', '`concurrency` has no window: it counts until the end');
  if (burst !== undefined && algorithm !== 'gcra')
    blame('burst', `\`burst\` is for \`gcra\`, not for \`${algorithm}\``);
  if (isConcurrency && count !== 'requests') blame('count', '`concurrency` counts requests');
  if (!isByteCount(count)) {
    if (typeof limit === 'string') blame('limit', 'a size is for rules that count bytes');
    if (typeof burst === 'string') blame('burst', 'a size is for rules that count bytes');
  } else if (toUnits(limit) < 1 || toUnits(burst ?? 1) < 1) {
    mistakes.push({ path: [], message: 'a limit of bytes is at least 1b' });
  } else if (listKeys(rule).includes('field')) {
    blame('key', 'bytes are those of the whole request, not of a `field`');
  } else if (rule.queue !== undefined) {
    blame('queue', 'nobody can say when a debt of bytes is paid: such a rule has no queue');
  }
  if (isConcurrency && localShare !== undefined) blame('localShare', '`concurrency` has no local share');
  if (!isConcurrency && lease !== undefined) blame('lease', '`lease` is for `concurrency`');
  if (lease !== undefined && parseDurationMs(lease) < minLeaseMs) blame('lease', 'a lease lasts at least 1s');
  return mistakes;
}

/** Rules as the hot path wants them. Of several with one name the last counts, in the place of the first. */
export function compileRules(rules: readonly RateLimitRule[]): readonly CompiledRule[] {
  const byName = new Map<string, CompiledRule>();
  for (const rule of rules) byName.set(rule.name, compileRule(rule));
  return [...byName.values()];
}

function compileRule(rule: RateLimitRule): CompiledRule {
  const { name, algorithm = 'gcra', count = 'requests', queue } = rule;
  const limit = toUnits(rule.limit);
  const windowMs = Math.min(parseDurationMs(rule.window ?? '1m'), maxWindowMs);
  const burst = algorithm === 'gcra' ? toUnits(rule.burst ?? limit) : limit;
  const keys = listKeys(rule);
  // The numbers are part of the key: what was owed under other numbers says nothing under these.
  const numbers = algorithm === 'concurrency' ? `${limit}` : `${limit}:${windowMs}:${burst}`;
  const variant = `${algorithm === 'gcra' ? '' : `${algorithm}:`}${count === 'requests' ? '' : `${count}:`}`;
  return {
    name,
    limit,
    counting: buildCounting(rule, windowMs, burst),
    count,
    queue: queue === undefined ? null : { size: queue.size, timeoutMs: parseDurationMs(queue.timeout) },
    onStoreError: rule.onStoreError ?? 'local',
    needsOperation: count === 'cost' || keys.includes('operation') || keys.includes('field'),
    perField: keys.includes('field'),
    readKey: buildKeyReader(`${name}:${variant}${numbers}:${keys.join('+')}:`, keys),
    policy: buildPolicy(rule, limit, windowMs, burst),
    quota:
      algorithm === 'concurrency'
        ? `${limit} requests at the same time`
        : `${limit} ${units[count]} per ${rule.window}`,
  };
}

/** What is counted, in words. */
const units: Readonly<Record<CompiledRule['count'], string>> = {
  requests: 'requests',
  cost: 'units of cost',
  bytes: 'bytes',
  requestBytes: 'bytes of requests',
  responseBytes: 'bytes of answers',
};

function listKeys({ key = 'viewer' }: RateLimitRule): readonly string[] {
  return typeof key === 'string' ? [key] : key;
}

function toUnits(value: number | string): number {
  return typeof value === 'string' ? parseSizeBytes(value) : value;
}

function buildCounting(rule: RateLimitRule, windowMs: number, burst: number): CountRule {
  const { algorithm = 'gcra', count = 'requests' } = rule;
  const limit = toUnits(rule.limit);
  if (algorithm === 'concurrency') {
    return { algorithm, limit, leaseMs: Math.max(minLeaseMs, parseDurationMs(rule.lease ?? '10s')) };
  }
  const share = buildShare(rule);
  if (algorithm !== 'gcra') return { algorithm, limit, windowMs, share };
  // Bytes are many in a microsecond: what is rounded away of the time of one charge does not matter to them.
  if (isByteCount(count)) {
    return { algorithm, burst, emissionUs: (windowMs * 1_000) / limit, debtUs: maxWindowMs * 1_000, share };
  }
  // Whole quarters of a microsecond: sums with a Unix time in microseconds stay exact in a double until 2041, so that
  // a burst of N lets exactly N pass.
  return { algorithm, burst, emissionUs: Math.max(0.25, Math.round((windowMs * 4_000) / limit) / 4), share };
}

/** A share of less than two units would save no question. */
function buildShare({ limit, localShare }: RateLimitRule): LocalShare | undefined {
  if (localShare === undefined) return undefined;
  const units = Math.floor(toUnits(limit) * parsePercentage(localShare.share));
  return units < 2 ? undefined : { units, keepMs: parseDurationMs(localShare.keep ?? '1s') };
}

/**
 * Section 3.1 of draft-ietf-httpapi-ratelimit-headers-11. `w` has no fractions of a second (3.1.3) and is left out rather
 * than told wrong. `qu` (3.1.2) is `requests` where it is not said.
 */
function buildPolicy(
  { name, algorithm, count = 'requests' }: RateLimitRule,
  limit: number,
  windowMs: number,
  burst: number,
): string {
  if (algorithm === 'concurrency') return `"${name}";q=${limit};qu="concurrent-requests"`;
  const unit = count === 'cost' ? ';qu="selvage-cost"' : isByteCount(count) ? ';qu="content-bytes"' : '';
  const window = windowMs % 1_000 === 0 ? `;w=${windowMs / 1_000}` : '';
  return `"${name}";q=${limit}${unit}${window}${burst === limit ? '' : `;selvage-burst=${burst}`}`;
}
