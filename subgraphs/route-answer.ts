/** Routes that the gateway answers by itself: redirects, and fixed answers. */
import Type from 'typebox';
import { isReserved } from '../policies/reserved-headers.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';
import type { RouteMatch } from './route-match.ts';
import { readPattern } from './route-pattern.ts';
import { findUnknownCaptures } from './route-rewrite.ts';

const redirectStatuses = [301, 302, 303, 307, 308] as const;

export const RouteRedirect = Type.Object(
  {
    to: Type.String({
      pattern: '^(https?://[A-Za-z0-9.-]+(:\\d+)?)?/[!-~]*$',
      maxLength: 2_048,
      description:
        'A path, or a URL whose host is written out. `:name`, `:1` and `*` stand for what the match captured; they stay in the path.',
      examples: ['/new/:id', 'https://new.example.com/*'],
    }),
    status: Type.Optional(
      Type.Unsafe<(typeof redirectStatuses)[number]>({
        anyOf: redirectStatuses.map((status) => ({ type: 'integer', const: status })),
        default: 308,
        description:
          '301 and 302 let a client make a GET of a POST, 303 says so, 307 and 308 forbid it (RFC 9110 section 15.4).',
      }),
    ),
    keepQuery: Type.Optional(Type.Boolean({ default: true, description: 'Whether the query goes along.' })),
  },
  { additionalProperties: false, description: 'Sends the client elsewhere. No service is asked.' },
);
export type RouteRedirect = Type.Static<typeof RouteRedirect>;

export const RouteRespond = Type.Object(
  {
    status: Type.Optional(Type.Integer({ minimum: 200, maximum: 599, default: 200, description: 'Its status.' })),
    headers: Type.Optional(
      Type.Record(
        Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }),
        Type.String({ pattern: '^[\\t\\x20-\\x7e]*$', maxLength: 4_096 }),
        { additionalProperties: false, maxProperties: 50, description: 'Headers of the answer.' },
      ),
    ),
    body: Type.Optional(
      Type.Unknown({ description: 'A text is sent as it is (`text/plain`), anything else as JSON.' }),
    ),
  },
  { additionalProperties: false, description: 'Answers with this. No service is asked.' },
);
export type RouteRespond = Type.Static<typeof RouteRespond>;

interface AnsweredRoute {
  readonly match: RouteMatch;
  readonly redirect?: RouteRedirect;
  readonly respond?: RouteRespond;
}

/** What no schema can say of them, by paths from the route. */
export function findAnswerMistakes(route: AnsweredRoute): Mistake[] {
  const { match, redirect, respond } = route;
  const asksService = ['rewrite', 'host', 'preserveHost', 'version', 'split', 'mirror', 'fallback', 'cache'] as const;
  const mistakes: Mistake[] = [];
  if (redirect !== undefined && respond !== undefined) {
    mistakes.push({ path: ['respond'], message: 'a route has either `redirect` or `respond`' });
  }
  if (redirect !== undefined || respond !== undefined) {
    for (const key of asksService.filter((name) => name in route)) {
      mistakes.push({ path: [key], message: 'no service is asked where a route has `redirect` or `respond`' });
    }
  }
  if (redirect !== undefined) {
    const path = redirect.to.replace(/^https?:\/\/[^/]*/, '');
    const messages = [...readPattern(path.split('?')[0] ?? '', true).mistakes, ...findUnknownCaptures(match, path)];
    if (path.startsWith('//')) messages.push('expected a path, or a URL with its scheme: `//` begins a host');
    mistakes.push(...messages.map((message) => ({ path: ['redirect', 'to'], message })));
  }
  if (respond !== undefined) {
    const { status = 200, headers = {}, body } = respond;
    // RFC 9110 sections 15.3.5 and 15.4.5: these have no content.
    if (body !== undefined && (status === 204 || status === 304)) {
      mistakes.push({ path: ['respond', 'body'], message: `an answer with status ${status} has no body` });
    }
    for (const name of Object.keys(headers).filter((each) => isReserved(each.toLowerCase(), 'response'))) {
      mistakes.push({ path: ['respond', 'headers', name], message: 'the gateway says this field itself' });
    }
  }
  return mistakes;
}
