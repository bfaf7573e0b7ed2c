/** What a team may say about the choice among the instances of its service, and the same in numbers. */
import Type from 'typebox';
import { Duration, OneOf, Percentage, parseDurationMs, parsePercentage } from '../policies/units.ts';

export const balancingAlgorithms = [
  'p2c',
  'least-connections',
  'response-time',
  'round-robin',
  'weighted',
  'random',
  'ip-hash',
  'consistent-hash',
] as const;
export type BalancingAlgorithm = (typeof balancingAlgorithms)[number];

/** A token of RFC 9110 section 5.6.2: names of header fields and of cookies. */
const tokenPattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$";
const closed = { additionalProperties: false } as const;

const HashOptions = Type.Object(
  {
    header: Type.Optional(Type.String({ pattern: tokenPattern, description: 'Name of a header of the client.' })),
    cookie: Type.Optional(Type.String({ pattern: tokenPattern, description: 'Name of a cookie of the client.' })),
    claim: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: "Name of a claim of the viewer's token." }),
    ),
    ip: Type.Optional(Type.Literal(true, { description: 'The address of the client.' })),
    boundedLoad: Type.Optional(
      Type.Number({
        minimum: 1.05,
        maximum: 10,
        default: 1.25,
        description:
          'Most calls in flight of an instance, as a multiple of the mean; what is beyond goes to the next one of the key.',
      }),
    ),
  },
  {
    ...closed,
    description:
      'For `consistent-hash`: what decides; one of the four. Requests that do not have it are balanced as by `p2c`.',
  },
);

const ZoneOptions = Type.Object(
  {
    prefer: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'Whether instances in the zone of the gateway (`zone`) come first.',
      }),
    ),
    minHealthy: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '50%',
        description:
          'Share of the local instances, by weight, that must be able to take calls; below it all zones help.',
      }),
    ),
    maxLoad: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '80%',
        description: 'Share of `concurrency` in use at the local instances from which on all zones help.',
      }),
    ),
  },
  closed,
);

const StickyOptions = Type.Object(
  {
    cookie: Type.Optional(
      Type.String({ pattern: tokenPattern, description: 'Name of the cookie. Default: `selvage-` and the service.' }),
    ),
    maxAge: Type.Optional(
      Type.Unsafe<string>({ ...Duration, description: 'How long a browser keeps it. Default: until it is closed.' }),
    ),
    sameSite: Type.Optional(
      OneOf(['lax', 'strict', 'none'], { default: 'lax', description: 'The SameSite attribute.' }),
    ),
    secure: Type.Optional(
      Type.Boolean({ description: 'The Secure attribute. Default: when the client came by HTTPS.' }),
    ),
  },
  {
    ...closed,
    description:
      'Sessions at the REST door: a signed cookie (`sessions.secrets`) brings a client back to its instance as long as that can take calls.',
  },
);
export type StickyOptions = Type.Static<typeof StickyOptions>;

export const LoadBalancingOptions = Type.Object(
  {
    algorithm: Type.Optional(OneOf(balancingAlgorithms, { default: 'p2c', description: 'How an instance is chosen.' })),
    hash: Type.Optional(HashOptions),
    latencyDecay: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '10s',
        description: 'For `p2c` and `response-time`: time in which a slow answer loses about two thirds of its weight.',
      }),
    ),
    slowStart: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description:
          'Time in which the share of an instance that is new, or back, grows from a tenth to the whole. Default: none.',
      }),
    ),
    maxConnectionAge: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description:
          'Time after which a connection takes no further call, so that what stands between the gateway and the instances can spread connections anew. Calls on it end. Default: none.',
      }),
    ),
    zones: Type.Optional(ZoneOptions),
    sticky: Type.Optional(StickyOptions),
  },
  closed,
);
export type LoadBalancingOptions = Type.Static<typeof LoadBalancingOptions>;

/** What a consistent hash looks at. */
export interface HashSource {
  readonly from: 'header' | 'cookie' | 'claim' | 'ip';
  /** Empty for the address; headers in lower case. */
  readonly name: string;
}

/** {@link LoadBalancingOptions} in numbers. */
export interface BalancingSettings {
  readonly algorithm: BalancingAlgorithm;
  readonly hash: HashSource | null;
  readonly boundedLoad: number;
  readonly latencyDecayMs: number;
  /** 0: none. */
  readonly slowStartMs: number;
  /** 0: connections may grow as old as they like. */
  readonly maxConnectionAgeMs: number;
  readonly prefersZone: boolean;
  readonly zoneMinHealthy: number;
  readonly zoneMaxLoad: number;
  readonly sticky: StickyOptions | null;
}

/** Options as numbers. What is not set gets the default. */
export function buildBalancingSettings(options: LoadBalancingOptions = {}): BalancingSettings {
  return {
    algorithm: options.algorithm ?? 'p2c',
    hash: buildHashSource(options),
    boundedLoad: options.hash?.boundedLoad ?? 1.25,
    latencyDecayMs: parseDurationMs(options.latencyDecay ?? '10s'),
    slowStartMs: options.slowStart === undefined ? 0 : parseDurationMs(options.slowStart),
    maxConnectionAgeMs: options.maxConnectionAge === undefined ? 0 : parseDurationMs(options.maxConnectionAge),
    prefersZone: options.zones?.prefer ?? true,
    zoneMinHealthy: parsePercentage(options.zones?.minHealthy ?? '50%'),
    zoneMaxLoad: parsePercentage(options.zones?.maxLoad ?? '80%'),
    sticky: options.sticky ?? null,
  };
}

function buildHashSource({ algorithm, hash }: LoadBalancingOptions): HashSource | null {
  if (algorithm === 'ip-hash' || hash?.ip === true) return { from: 'ip', name: '' };
  if (hash?.header !== undefined) return { from: 'header', name: hash.header.toLowerCase() };
  if (hash?.cookie !== undefined) return { from: 'cookie', name: hash.cookie };
  return hash?.claim === undefined ? null : { from: 'claim', name: hash.claim };
}

/** A contradiction: a JSON pointer from the definition on, and what is wrong there. */
export interface BalancingMistake {
  readonly path: string;
  readonly message: string;
}

/** What contradicts itself in options that fit the schema. */
export function findBalancingMistakes(options: LoadBalancingOptions = {}): readonly BalancingMistake[] {
  const { algorithm = 'p2c', hash, sticky } = options;
  const mistakes: BalancingMistake[] = [];
  const sources = [hash?.header, hash?.cookie, hash?.claim, hash?.ip].filter((source) => source !== undefined).length;
  if (algorithm === 'consistent-hash' && sources !== 1) {
    const message = '`consistent-hash` needs one of `header`, `cookie`, `claim` or `ip: true`';
    mistakes.push({ path: '/loadBalancing/hash', message });
  }
  if (algorithm !== 'consistent-hash' && hash !== undefined) {
    mistakes.push({
      path: '/loadBalancing/hash',
      message: `\`hash\` is for \`consistent-hash\`, not \`${algorithm}\``,
    });
  }
  if (sticky?.sameSite === 'none' && sticky.secure === false) {
    const message = 'browsers refuse cookies with `sameSite: none` that are not `secure`';
    mistakes.push({ path: '/loadBalancing/sticky/secure', message });
  }
  return mistakes;
}
