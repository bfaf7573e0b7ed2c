/** What all routes of the OpenAPI document have in common: errors, and who may ask. */
import { errorKinds } from '../policies/errors.ts';
import type { Requirement } from '../policies/requirement.ts';
import type { Settings } from './config.ts';

type Part = Readonly<Record<string, unknown>>;

const reference = (name: string): Part => ({ $ref: `#/components/responses/${name}` });

/** Answers that the gateway gives in place of the route. */
export function problemResponses(route: { readonly isGuarded: boolean; readonly isLimited: boolean }): Part {
  return {
    ...(route.isGuarded && { '401': reference('Unauthenticated'), '403': reference('Problem') }),
    ...(route.isLimited && { '429': reference('RateLimited') }),
    default: reference('Problem'),
  };
}

/** The problem documents (RFC 9457) and the answers that hold them. */
export function sharedComponents(): { readonly schemas: Part; readonly responses: Part } {
  const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
  const text = (description: string) => ({ description, schema: { type: 'string' } });
  return {
    schemas: {
      Problem: {
        type: 'object',
        required: ['type', 'title', 'status', 'detail', 'code', 'requestId'],
        properties: {
          type: { type: 'string', format: 'uri-reference' },
          title: { type: 'string' },
          status: { type: 'integer' },
          detail: { type: 'string' },
          code: { type: 'string', description: 'What programs read.', examples: Object.keys(errorKinds).slice(0, 5) },
          requestId: { type: 'string' },
          service: { type: 'string' },
          retryAfter: { type: 'integer', description: 'Seconds.' },
          reasons: { type: 'array', items: { type: 'object' } },
        },
      },
    },
    responses: {
      Problem: { description: 'What went wrong (RFC 9457).', content },
      Unauthenticated: {
        description: 'A credential is needed, or does not hold.',
        headers: { 'www-authenticate': text('The challenge.') },
        content,
      },
      RateLimited: {
        description: 'A limit is used up.',
        headers: {
          'retry-after': { description: 'Seconds.', schema: { type: 'integer' } },
          ratelimit: text('What is left.'),
          'ratelimit-policy': text('The limits.'),
        },
        content,
      },
    },
  };
}

type Authentication = Settings['authentication'];

/** The credentials that the gateway takes. */
export function listSecuritySchemes(authentication: Authentication): Part {
  const { jwt = [], apiKeys = [], managedApiKeys, introspection, session, clientCertificates } = authentication;
  return {
    ...(jwt.length > 0 && { jwt: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } }),
    ...(introspection !== undefined && { token: { type: 'http', scheme: 'bearer' } }),
    ...((apiKeys.length > 0 || managedApiKeys === true) && {
      apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
    }),
    ...(session !== undefined && { session: { type: 'apiKey', in: 'cookie', name: session.cookie } }),
    ...(clientCertificates !== undefined && { certificate: { type: 'mutualTLS' } }),
  };
}

/** One of the credentials, with the scopes that are asked for. Nothing where anonymous requests may pass. */
export function describeSecurity(
  authentication: Authentication,
  requirement: Requirement | null,
  needsViewer: boolean,
): { readonly security?: readonly Part[] } {
  if (!needsViewer && requirement?.authenticated !== true) return {};
  const names = Object.keys(listSecuritySchemes(authentication));
  if (names.length === 0) return {};
  const alternatives = combine(requirement?.scopes ?? []);
  return { security: names.flatMap((name) => alternatives.map((scopes) => ({ [name]: scopes }))) };
}

const maxAlternatives = 16;

/** Lists of scopes of which one suffices, of lists of alternatives that must all be met. */
function combine(all: Requirement['scopes']): readonly (readonly string[])[] {
  return all
    .reduce<readonly (readonly string[])[]>(
      (known, alternatives) =>
        known.flatMap((scopes) => alternatives.map((more) => [...new Set([...scopes, ...more])])),
      [[]],
    )
    .slice(0, maxAlternatives);
}
