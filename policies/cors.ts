/**
 * CORS (Fetch standard, section 3.3): which pages of other origins may read answers. The gateway answers preflights
 * itself and says on every answer who may read it; what a service says of it is replaced.
 */
import Type from 'typebox';
import { toHeaderMap } from './http-headers.ts';
import type { Mistake } from './schema-mistakes.ts';
import { Duration, parseDurationMs } from './units.ts';

const token = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/** `cors` of the gateway, a service, a route, or the GraphQL door. */
export const CorsOptions = Type.Object(
  {
    origins: Type.Array(
      Type.String({
        pattern:
          '^(\\*|null|https?://(\\*\\.)?[A-Za-z0-9.-]+(:(\\d{1,5}|\\*))?|https?://\\[[0-9a-fA-F:]+\\](:(\\d{1,5}|\\*))?)$',
        maxLength: 300,
      }),
      {
        maxItems: 1_000,
        description:
          'Origins whose pages may read answers: exactly (`https://app.example`), all subdomains (`https://*.example.com`), any port (`http://localhost:*`), all (`*`), or `null` for pages without an origin, which any page can make itself. An empty list: none, also where the level above allows some.',
      },
    ),
    methods: Type.Optional(
      Type.Array(Type.String({ pattern: token, maxLength: 50 }), {
        minItems: 1,
        description: 'Methods that pages may use. Default: those of the route; GET and POST for GraphQL.',
      }),
    ),
    headers: Type.Optional(
      Type.Array(Type.String({ pattern: token, maxLength: 200 }), {
        description: 'Request headers that pages may set. Default: those that they ask for.',
      }),
    ),
    exposedHeaders: Type.Optional(
      Type.Array(Type.String({ pattern: token, maxLength: 200 }), {
        description: 'Headers of answers that pages may read, beside the few that every page may.',
      }),
    ),
    credentials: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Whether pages may send cookies and read the answer. Not with `*`.',
      }),
    ),
    maxAge: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '10m', description: 'How long browsers remember a preflight.' }),
    ),
    privateNetwork: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Whether pages of public networks may reach a gateway in a private one (Private Network Access).',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Which pages of other origins may read answers. Default: what a service says passes; the gateway says nothing.',
  },
);
export type CorsOptions = Type.Static<typeof CorsOptions>;

type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface CorsPolicy {
  /** Whether pages of an origin may read answers. */
  allows(origin: string): boolean;
  /** Whether pages of an origin may send credentials and read the answer. */
  trusts(origin: string): boolean;
  /** The head of the answer to a preflight: what its page may do, or nothing where it may not. */
  answerPreflight(headers: RequestHeaders): string[];
  /** The fields of an answer, with what this policy says in place of what the service said. */
  apply(answer: readonly string[], headers: RequestHeaders): string[];
}

/** What a configuration must not say. */
export function findCorsMistakes(cors: CorsOptions | undefined): Mistake[] {
  if (cors === undefined) return [];
  const mistakes: Mistake[] = [];
  if (cors.credentials === true && cors.origins.includes('*')) {
    const message = 'with `*` any page of the world could act for whoever is logged in: name the origins';
    mistakes.push({ path: ['credentials'], message });
  }
  cors.origins.forEach((origin, index) => {
    const host = /^https?:\/\/\*\.([^:]+)/.exec(origin)?.[1];
    if (host === undefined || host === 'localhost' || host.replace(/\.$/, '').includes('.')) return;
    const message = `expected a domain below which origins are trusted, e.g. https://*.example.com, got ${JSON.stringify(origin)}`;
    mistakes.push({ path: ['origins', index], message });
  });
  return mistakes;
}

/** Whether a request asks what a page may do (Fetch standard, section 3.3.2). */
export function isPreflight(method: string, headers: RequestHeaders): boolean {
  return method === 'OPTIONS' && 'origin' in headers && 'access-control-request-method' in headers;
}

/** `methods`: those of the route, for which a policy that names none stands. */
export function compileCors(options: CorsOptions, methods: readonly string[]): CorsPolicy {
  const { credentials = false, exposedHeaders = [], privateNetwork = false } = options;
  const anyOrigin = options.origins.includes('*');
  const isKnown = compileOrigins(options.origins);
  // With `*` the answer is the same for all origins, so caches may give it to all.
  const varies = !anyOrigin && options.origins.length > 0;
  const allowMethods = (options.methods ?? methods).join(', ');
  const maxAge = String(Math.floor(parseDurationMs(options.maxAge ?? '10m') / 1_000));
  const exposed = exposedHeaders.join(', ');

  const allow = (origin: unknown): string[] => {
    if (typeof origin !== 'string' || !(anyOrigin || isKnown(origin))) return [];
    const fields = ['access-control-allow-origin', anyOrigin ? '*' : origin];
    if (credentials) fields.push('access-control-allow-credentials', 'true');
    return fields;
  };
  return {
    allows: (origin) => anyOrigin || isKnown(origin),
    trusts: (origin) => credentials && isKnown(origin),
    answerPreflight(headers) {
      const fields = allow(headers['origin']);
      const vary = varies ? ['Origin'] : [];
      if (options.headers === undefined) vary.push('Access-Control-Request-Headers');
      if (fields.length > 0) {
        fields.push('access-control-allow-methods', allowMethods, 'access-control-max-age', maxAge);
        const allowed = options.headers?.join(', ') ?? readNames(headers['access-control-request-headers']);
        if (allowed !== '') fields.push('access-control-allow-headers', allowed);
        if (privateNetwork && headers['access-control-request-private-network'] === 'true') {
          fields.push('access-control-allow-private-network', 'true');
        }
      }
      return vary.length === 0 ? fields : [...fields, 'vary', vary.join(', ')];
    },
    apply(answer, headers) {
      const fields = withoutCors(answer);
      const allowed = allow(headers['origin']);
      fields.push(...allowed);
      if (allowed.length > 0 && exposed !== '') fields.push('access-control-expose-headers', exposed);
      // Also where there is no origin, or one that is not allowed: a cache must not give this answer to another.
      if (varies && !namesOrigin(fields)) fields.push('vary', 'Origin');
      return fields;
    },
  };
}

function compileOrigins(origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set(origins.filter((origin) => !origin.includes('*')).map((origin) => origin.toLowerCase()));
  const patterns = origins.filter((origin) => origin !== '*' && origin.includes('*')).map(compilePattern);
  return (origin) => exact.has(origin) || (origin.length <= 300 && patterns.some((pattern) => pattern.test(origin)));
}

/** Browsers write origins in lower case. */
function compilePattern(origin: string): RegExp {
  const escaped = origin.toLowerCase().replaceAll(/[.[\]]/g, '\\$&');
  const withPort = escaped.replace(/:\*$/, '(?::\\d{1,5})?');
  return new RegExp(`^${withPort.replace('//*\\.', '//(?:[a-z0-9_-]+\\.)+')}$`);
}

/** The names that a page asks for, unless they are no list of names: they go back as they came. */
function readNames(value: string | string[] | undefined): string {
  return typeof value === 'string' && /^[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,4096}$/.test(value) ? value : '';
}

function withoutCors(answer: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < answer.length; i += 2) {
    const name = answer[i] ?? '';
    if (!/^access-control-/i.test(name)) kept.push(name, answer[i + 1] ?? '');
  }
  return kept;
}

function namesOrigin(fields: readonly string[]): boolean {
  const vary = toHeaderMap(fields)['vary'] ?? '';
  return vary.split(',').some((name) => ['origin', '*'].includes(name.trim().toLowerCase()));
}
