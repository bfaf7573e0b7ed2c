/** How the instances of a service are checked: the options, what contradicts itself in them, and the same in numbers. */
import Type from 'typebox';
import { Duration, OneOf, Percentage, parseDurationMs, parsePercentage } from '../policies/units.ts';
import { speaksHttp2 } from './instance-connector.ts';

const healthCheckKinds = ['http', 'graphql', 'grpc', 'tcp'] as const;

export const HealthOptions = Type.Object(
  {
    kind: Type.Optional(
      OneOf(healthCheckKinds, {
        default: 'http',
        description:
          '`http`: GET of `path`. `graphql`: `{ __typename }` must be answered with data. `grpc`: `grpc.health.v1.Health/Check` must say SERVING. `tcp`: it accepts connections. All but `tcp` speak HTTP/2 where calls of the service do.',
      }),
    ),
    path: Type.Optional(
      Type.String({
        pattern: '^/[!-~]*$',
        default: '/health',
        description: 'What is asked. For `graphql` the default is the path of the GraphQL endpoint.',
      }),
    ),
    service: Type.Optional(
      Type.String({
        pattern: '^[!-~]{1,200}$',
        description:
          'For `grpc`: the service that is asked about, as its server knows it. Default: the server as a whole.',
        examples: ['shop.v1.Orders'],
      }),
    ),
    expectedStatuses: Type.Optional(
      Type.Array(
        Type.Union([
          Type.Integer({ minimum: 100, maximum: 599 }),
          Type.String({ pattern: '^[1-5]\\d\\d-[1-5]\\d\\d$', examples: ['200-399'] }),
        ]),
        {
          minItems: 1,
          maxItems: 50,
          default: ['200-399'],
          description: 'For `http`: statuses that are healthy, each one or a range.',
        },
      ),
    ),
    host: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9.-]+(:\\d+)?$',
        maxLength: 255,
        description: 'Host header of the check. Default: host and port of the instance.',
      }),
    ),
    headers: Type.Optional(
      Type.Record(
        Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$" }),
        Type.String({ pattern: '^[ -~]*$' }),
        {
          additionalProperties: false,
          maxProperties: 50,
          description: 'Further headers of the check. No secrets: the admin API shows them.',
        },
      ),
    ),
    interval: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '10s', description: 'Time between probes of a healthy instance.' }),
    ),
    jitter: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '20%',
        description: 'How far the time between probes strays, so that instances are not probed in step.',
      }),
    ),
    timeout: Type.Optional(Type.Unsafe<string>({ ...Duration, default: '2s', description: 'Time for one probe.' })),
    unhealthyAfter: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        default: 2,
        description: 'Failed probes in a row that take an instance out.',
      }),
    ),
    healthyAfter: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, default: 1, description: 'Good probes in a row that bring it back.' }),
    ),
  },
  { additionalProperties: false },
);
export type HealthOptions = Type.Static<typeof HealthOptions>;

/** First and last status of a range. */
export type StatusRange = readonly [first: number, last: number];

/** What one probe looks at. */
export type HealthCheck =
  | {
      readonly kind: 'http';
      readonly path: string;
      readonly expected: readonly StatusRange[];
      readonly headers: Readonly<Record<string, string>>;
      readonly http2: boolean;
    }
  | {
      readonly kind: 'graphql';
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly http2: boolean;
    }
  | { readonly kind: 'grpc'; readonly service: string; readonly headers: Readonly<Record<string, string>> }
  | { readonly kind: 'tcp' };

/** {@link HealthOptions} in numbers. */
export interface HealthSettings {
  /** Null: no active checks, and being able to connect brings an ejected instance back. */
  readonly check: HealthCheck | null;
  readonly intervalMs: number;
  /** Between 0 and 1. */
  readonly jitter: number;
  readonly timeoutMs: number;
  readonly unhealthyAfter: number;
  readonly healthyAfter: number;
}

/** The part of a definition that says how a service is checked. */
export interface CheckedDefinition {
  readonly health?: HealthOptions;
  readonly graphql?: { readonly path?: string };
  readonly http2?: boolean;
  readonly grpc?: object;
}

/** Settings of a service's health checks; without options there are no active ones. */
export function buildHealthSettings(definition: CheckedDefinition): HealthSettings {
  const { health } = definition;
  return {
    check: health === undefined ? null : buildCheck(health, definition),
    intervalMs: parseDurationMs(health?.interval ?? '10s'),
    jitter: parsePercentage(health?.jitter ?? '20%'),
    timeoutMs: parseDurationMs(health?.timeout ?? '2s'),
    unhealthyAfter: health?.unhealthyAfter ?? 2,
    healthyAfter: health?.healthyAfter ?? 1,
  };
}

function buildCheck(health: HealthOptions, definition: CheckedDefinition): HealthCheck {
  const http2 = speaksHttp2(definition);
  const headers = { ...health.headers, ...(health.host !== undefined && { host: health.host }) };
  switch (health.kind ?? 'http') {
    case 'tcp':
      return { kind: 'tcp' };
    case 'graphql':
      return { kind: 'graphql', path: health.path ?? definition.graphql?.path ?? '/graphql', headers, http2 };
    case 'grpc':
      return { kind: 'grpc', service: health.service ?? '', headers };
    case 'http': {
      const expected = (health.expectedStatuses ?? ['200-399']).map(parseRange);
      return { kind: 'http', path: health.path ?? '/health', expected, headers, http2 };
    }
  }
}

function parseRange(status: number | string): StatusRange {
  const [first, last = first] = String(status).split('-').map(Number);
  return [first ?? 0, last ?? 0];
}

/** A contradiction in the options of a service's health checks. */
export interface HealthMistake {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Options that the kind of check does not have. */
const foreignOptions = {
  http: ['service'],
  graphql: ['expectedStatuses', 'service'],
  grpc: ['path', 'expectedStatuses'],
  tcp: ['path', 'expectedStatuses', 'host', 'headers', 'service'],
} as const;

/** They frame the message or belong to the connection; `host` has an option of its own. */
const reservedHeaders: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function isReserved(name: string, kind: (typeof healthCheckKinds)[number]): boolean {
  return reservedHeaders.has(name) || (kind === 'grpc' && (name === 'content-type' || name.startsWith('grpc-')));
}

/** What contradicts itself, by paths below the definition. */
export function findHealthMistakes(definition: CheckedDefinition): readonly HealthMistake[] {
  const { health } = definition;
  if (health === undefined) return [];
  const kind = health.kind ?? 'http';
  const foreign = foreignOptions[kind].filter((option) => health[option] !== undefined);
  const reserved = Object.keys(health.headers ?? {}).filter((name) => isReserved(name.toLowerCase(), kind));
  return [
    ...(kind === 'graphql' && definition.graphql === undefined && health.path === undefined
      ? [{ path: ['health', 'kind'], message: 'the service has no `graphql`: set `path`, or another kind' }]
      : []),
    ...(kind === 'grpc' && !speaksHttp2(definition)
      ? [{ path: ['health', 'kind'], message: 'gRPC is spoken in HTTP/2: the service has neither `grpc` nor `http2`' }]
      : []),
    ...foreign.map((option) => ({ path: ['health', option], message: `a check of kind \`${kind}\` has none` })),
    ...reserved.map((name) => ({
      path: ['health', 'headers', name],
      message: `\`${name}\` is set by the gateway${name.toLowerCase() === 'host' ? ', or by `host`' : ''}`,
    })),
    ...(health.expectedStatuses ?? []).flatMap((status, index) => {
      const [first, last] = parseRange(status);
      const message = `the range ${status} ends before it begins`;
      return last < first ? [{ path: ['health', 'expectedStatuses', index], message }] : [];
    }),
  ];
}
