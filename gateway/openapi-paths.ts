/** Paths of routes as templates of OpenAPI, and the way back from a path at a service to that at the gateway. */
import { parseRoutePattern, type Segment } from '../subgraphs/route-pattern.ts';
import type { Route } from '../subgraphs/service-definition.ts';

/** What the rest of a path is called, where nobody says what may stand there. */
export const wildcard = 'wildcard';

/** `/orders/:id` as `/orders/{id}`; what a wildcard takes is one parameter. */
export function toTemplate(pattern: string): string {
  return writeTemplate(parseRoutePattern(pattern).segments, new Map());
}

/** Names of the parameters of a template, in their order. */
export function listTemplateParams(template: string): string[] {
  return [...template.matchAll(/\{([^{}]*)\}/g)].map(([, name = '']) => name);
}

const wellFormed = /^(\/[^/{}?#\s\\]*(\{[\w.-]+\}[^/{}?#\s\\]*)*)+$/;

/**
 * Gives, of the template of a path at the service, that of the path by which the route leads there: `/v1/users/{id}` of
 * `/api/*` and its rewrite `/v1/*` is `/api/users/{id}`. Null where it does not lead there. No function at all where a
 * regular expression makes the path, which cannot be turned round.
 */
export function compileLeadBack({
  match,
  rewrite,
}: Pick<Route, 'match' | 'rewrite'>): ((template: string) => string | null) | null {
  const { segments } = parseRoutePattern(match.path);
  const target = rewrite === undefined ? segments : readTarget(rewrite);
  const forms = new Map(segments.map((segment) => [nameOf(segment), segment]));
  if (target.some((segment) => segment.kind !== 'literal' && !forms.has(nameOf(segment)))) return null;
  return (template) => {
    if (!wellFormed.test(template)) return null;
    const values = capture(target, template.split('/').slice(1), rewrite === undefined && match.ignoreCase === true);
    if (values === null) return null;
    for (const [name, value] of values) {
      // Whether a text is what a parameter must look like is the router's to say.
      const form = forms.get(name);
      if (form?.kind === 'parameter' && form.regex !== null && !value.includes('{')) return null;
    }
    const own = writeTemplate(segments, values);
    const names = listTemplateParams(own);
    return new Set(names).size === names.length ? own : null;
  };
}

/** The segments of a rewrite: captures may also be groups of an expression, by number. */
function readTarget(rewrite: string): readonly Segment[] {
  return rewrite
    .split('/')
    .slice(1)
    .map((text, index, all): Segment => {
      if (text === '*' && index === all.length - 1) return { kind: 'rest' };
      const name = /^:(\w+)$/.exec(text)?.[1];
      return name === undefined ? { kind: 'literal', text } : { kind: 'parameter', name, regex: null };
    });
}

function capture(
  target: readonly Segment[],
  parts: readonly string[],
  ignoreCase: boolean,
): Map<string, string> | null {
  const values = new Map<string, string>();
  for (const [index, segment] of target.entries()) {
    const part = parts[index];
    if (part === undefined) return null;
    if (segment.kind === 'rest') return values.set(nameOf(segment), parts.slice(index).join('/'));
    if (segment.kind === 'parameter') values.set(segment.name, part);
    else if (ignoreCase ? segment.text.toLowerCase() !== part.toLowerCase() : segment.text !== part) return null;
  }
  return parts.length === target.length ? values : null;
}

/** What was not captured is a parameter of the route alone, under a name that the others do not have. */
function writeTemplate(segments: readonly Segment[], values: ReadonlyMap<string, string>): string {
  const taken = new Set([...values.values()].flatMap(listTemplateParams));
  const fresh = (name: string): string => (taken.has(name) ? fresh(`${name}_`) : name);
  return segments
    .map((segment) => {
      if (segment.kind === 'literal') return `/${segment.text}`;
      const name = nameOf(segment);
      return `/${values.get(name) ?? `{${fresh(name)}}`}`;
    })
    .join('');
}

function nameOf(segment: Segment): string {
  return segment.kind === 'parameter' ? segment.name : segment.kind === 'rest' ? wildcard : '';
}
